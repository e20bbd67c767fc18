"""The scenarios of event streams: names, titles, contestants. Measures through Uvicorn."""

from __future__ import annotations

from functools import partial

from benchmarks.model import Contestant, Reference, Scenario
from benchmarks.streams.client import EVENTS, STREAMS
from benchmarks.streams.sample import sample

_FLASK = "Flask, bridge"
_DJANGO = "Django, bridge"
_A2WSGI = "Flask, a2wsgi"
_ASGI = "Starlette"

# Contestant to module of benchmarks.served, path of the streams, and note.
_CONTESTANTS = {
    _FLASK: ("streams_flask_bridge", "/events", ""),
    _DJANGO: ("streams_django_bridge", "/events", ""),
    _A2WSGI: (
        "streams_flask_a2wsgi",
        "/events-in-thread",
        "a stream holds a thread, and with all four held no request is answered",
    ),
    _ASGI: ("streams_starlette", "/events", "reference: no bridge"),
}


def _one(rounds: int) -> int:
    # The number is what it is, and memory hardly varies.
    return 1


def _two_at_most(rounds: int) -> int:
    # Most of a sample is the opening of the streams, and each event is already measured once a stream.
    return min(rounds, 2)


def _contestants(kind: str) -> tuple[Contestant, ...]:
    return tuple(
        Contestant(name, partial(sample, kind, module, target), note)
        for name, (module, target, note) in _CONTESTANTS.items()
    )


_REFERENCES = (Reference(_ASGI, (_ASGI,)),)

SCENARIOS = (
    Scenario(
        name="streams_held",
        title=f"event streams held of {STREAMS:,} asked for, Uvicorn, 4 threads",
        unit="streams",
        subjects=(_FLASK, _DJANGO),
        contestants=_contestants("held"),
        further=("KiB a stream",),
        rounds=_one,
        summary="figure",
    ),
    Scenario(
        name="streams_events",
        title=f"{EVENTS} events, one after the other, to each of {STREAMS:,} streams",
        unit="events/s",
        subjects=(_FLASK, _DJANGO),
        contestants=_contestants("events"),
        references=_REFERENCES,
        rounds=_two_at_most,
    ),
    Scenario(
        name="streams_latency",
        title=f"from the making of an event to its arrival at {STREAMS:,} streams, p99",
        unit="ms",
        subjects=(_FLASK, _DJANGO),
        contestants=_contestants("latency"),
        references=_REFERENCES,
        further=(
            "p50",
            "first event p50",
            "first event p99",
            "plain view p99, no streams",
            "plain view p99, all streams",
            "all ended",
        ),
        higher_is_better=False,
        rounds=_two_at_most,
    ),
)

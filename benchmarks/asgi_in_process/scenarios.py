"""The in-process scenarios of ASGI applications: names, titles, contestants, targets. Each sample is a process."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from benchmarks.asgi_in_process.contestants import CONTESTANTS, NOTES
from benchmarks.asgi_wrappers import REQUEST_LOOP, SHARED_LOOP, WRAPPERS
from benchmarks.model import Contestant, Reference, Scenario, Target
from benchmarks.processes import python_figure


def _sample(workload: str, contestant: str, seconds: float) -> float:
    return python_figure(["-m", "benchmarks.asgi_in_process", workload, contestant, str(seconds)], seconds)


def _scenario(
    name: str, title: str, contestants: Iterable[str], references: tuple[str, ...], *targets: Target
) -> Scenario:
    return Scenario(
        name=name,
        title=title,
        unit="responses/s",
        subjects=(REQUEST_LOOP, SHARED_LOOP),
        contestants=tuple(
            Contestant(contestant, partial(_sample, name, contestant), NOTES.get(contestant, ""))
            for contestant in contestants
        ),
        references=tuple(Reference(reference, (reference,)) for reference in references),
        targets=targets,
    )


SCENARIOS = (
    _scenario(
        "asgi_in_process",
        "in process, trivial ASGI application called as a WSGI one, 1 thread",
        CONTESTANTS,
        ("a2wsgi", "run_until_complete"),
        Target(REQUEST_LOOP, "a2wsgi", at_least=6),
        Target(REQUEST_LOOP, "run_until_complete", at_least=0.6),
        Target(SHARED_LOOP, "a2wsgi", at_least=3.5),
    ),
    _scenario(
        "asgi_in_process_threads",
        "in process, trivial ASGI application called as a WSGI one, 16 threads",
        CONTESTANTS,
        ("a2wsgi", "run_until_complete"),
        Target(REQUEST_LOOP, "a2wsgi", at_least=3),
        Target(SHARED_LOOP, "a2wsgi", at_least=3.5),
    ),
    _scenario(
        "asgi_streaming",
        "in process, ASGI application that sends 100 chunks of 1 KiB, 1 thread",
        WRAPPERS,
        ("a2wsgi",),
    ),
)

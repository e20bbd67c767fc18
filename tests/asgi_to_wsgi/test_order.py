"""The table of what may follow what in an application's messages, against the ASGI specification."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.asgi_to_wsgi.order import NEXT, Phase, Signal, describe

KIND = {
    Signal.HINT: "http.response.early_hint",
    Signal.START: "http.response.start",
    Signal.CHUNK: "http.response.body",
    Signal.LAST: "http.response.body",
    Signal.FILE: "http.response.pathsend",
}


def follow(signals: list[Signal]) -> Phase | None:
    """The phase after *signals*, None if one of them is an error."""
    phase: Phase | None = Phase.IDLE
    for signal in signals:
        phase = NEXT.get((phase, signal)) if phase is not None else None
    return phase


@pytest.mark.parametrize(
    "signals",
    [
        pytest.param([Signal.START, Signal.LAST], id="one body message"),
        pytest.param([Signal.START, Signal.CHUNK, Signal.CHUNK, Signal.LAST], id="chunks"),
        pytest.param([Signal.START, Signal.FILE], id="a file"),
        pytest.param([Signal.HINT, Signal.START, Signal.LAST], id="a hint"),
        pytest.param([Signal.HINT, Signal.HINT, Signal.START, Signal.FILE], id="two hints"),
    ],
)
def test_response_that_asgi_allows(signals: list[Signal]) -> None:
    """ASGI HTTP specification, "Response Start" and "Response Body"; extensions "Path Send", "Early Hints"."""
    assert follow(signals) is Phase.DONE


@pytest.mark.parametrize("signals", [[], [Signal.HINT], [Signal.START], [Signal.START, Signal.CHUNK]], ids=str)
def test_response_without_its_last_message_is_not_done(signals: list[Signal]) -> None:
    """ "more_body" tells whether another message follows."""
    assert follow(signals) not in (None, Phase.DONE)


@pytest.mark.parametrize(
    ("before", "signal", "said"),
    [
        pytest.param([], Signal.CHUNK, "before http.response.start", id="a chunk without a start"),
        pytest.param([], Signal.LAST, "before http.response.start", id="a body without a start"),
        pytest.param([], Signal.FILE, "before http.response.start", id="a file without a start"),
        pytest.param([Signal.START], Signal.START, "after http.response.start", id="two starts"),
        pytest.param([Signal.START], Signal.HINT, "after http.response.start", id="a hint that is late"),
        pytest.param([Signal.START, Signal.CHUNK], Signal.START, "after the body had begun", id="a start in the body"),
        pytest.param([Signal.START, Signal.CHUNK], Signal.FILE, "after the body had begun", id="a file in the body"),
        pytest.param([Signal.START, Signal.LAST], Signal.CHUNK, "was complete", id="a chunk after the end"),
        pytest.param([Signal.START, Signal.LAST], Signal.LAST, "was complete", id="two ends"),
        pytest.param([Signal.START, Signal.LAST], Signal.START, "was complete", id="a second response"),
        pytest.param([Signal.START, Signal.FILE], Signal.LAST, "was complete", id="a body after a file"),
        pytest.param([Signal.START, Signal.FILE], Signal.FILE, "was complete", id="two files"),
    ],
)
def test_response_that_asgi_forbids(before: list[Signal], signal: Signal, said: str) -> None:
    """The text names the message, and what had happened."""
    phase = follow(before)
    assert phase is not None

    assert follow([*before, signal]) is None
    assert (KIND[signal] in describe(phase, KIND[signal]), said in describe(phase, KIND[signal])) == (True, True)


@pytest.mark.parametrize(("phase", "signal"), list(product(Phase, Signal)), ids=lambda member: member.name)
def test_every_pair_is_allowed_or_explained(phase: Phase, signal: Signal) -> None:
    """No pair ends in a KeyError."""
    assert (phase, signal) in NEXT or describe(phase, KIND[signal])


@given(st.lists(st.sampled_from(Signal), max_size=8))
def test_what_is_allowed_is_hints_then_one_start_then_a_body(signals: list[Signal]) -> None:
    """The specification in one expression: hint* start (chunk* last | file)."""
    letters = "".join(signal.name[0] for signal in signals)
    head = letters.lstrip("H")
    whole = head[:1] == "S" and ((head[1:].strip("C") == "L" and head[-1] == "L") or head[1:] == "F")

    assert (follow(signals) is Phase.DONE) == whole

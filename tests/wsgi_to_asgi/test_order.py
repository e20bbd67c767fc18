"""The table of what may follow what in a response, against PEP 3333."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.wsgi_to_asgi.order import NEXT, WRONG, Phase, Signal

PAIRS = list(product(Phase, Signal))

# PEP 3333, "Error Handling": once the headers are out, start_response raises what it was given.
RERAISED = {(Phase.SENT, Signal.RESTART), (Phase.DONE, Signal.RESTART)}


@pytest.mark.parametrize(("phase", "signal"), PAIRS, ids=lambda member: member.name)
def test_every_pair_is_allowed_or_explained_or_raised_again(phase: Phase, signal: Signal) -> None:
    """No pair ends in a KeyError, and none is both right and wrong."""
    pair = (phase, signal)

    assert [pair in NEXT, pair in WRONG, pair in RERAISED].count(True) == 1


@pytest.mark.parametrize(
    ("signals", "phase"),
    [
        pytest.param([Signal.START], Phase.HELD, id="start_response alone sends nothing"),
        pytest.param([Signal.START, Signal.CHUNK], Phase.SENT, id="headers leave with the first chunk"),
        pytest.param([Signal.START, Signal.END], Phase.DONE, id="headers leave at the end of an empty body"),
        pytest.param([Signal.START, Signal.CHUNK, Signal.CHUNK, Signal.END], Phase.DONE, id="chunks"),
        pytest.param([Signal.RESTART, Signal.CHUNK], Phase.SENT, id="exc_info at the first call"),
        pytest.param([Signal.START, Signal.RESTART, Signal.CHUNK], Phase.SENT, id="headers replaced"),
        pytest.param([Signal.START, Signal.RESTART, Signal.RESTART, Signal.END], Phase.DONE, id="replaced twice"),
    ],
)
def test_response_that_pep_3333_allows(signals: list[Signal], phase: Phase) -> None:
    """PEP 3333, "The start_response() Callable" and "Error Handling"."""
    assert follow(signals)[-1] is phase


@pytest.mark.parametrize(
    ("signals", "said"),
    [
        pytest.param([Signal.CHUNK], "before it called start_response", id="body without a head"),
        pytest.param([Signal.END], "never called", id="no head at all"),
        pytest.param([Signal.START, Signal.START], "second time without exc_info", id="two heads"),
        pytest.param(
            [Signal.START, Signal.CHUNK, Signal.START], "second time without exc_info", id="a head in the body"
        ),
        pytest.param(
            [Signal.START, Signal.END, Signal.CHUNK], "after its response was complete", id="body after the end"
        ),
        pytest.param(
            [Signal.START, Signal.END, Signal.START], "after its response was complete", id="head after the end"
        ),
    ],
)
def test_response_that_pep_3333_forbids(signals: list[Signal], said: str) -> None:
    """The text says what the application did."""
    *before, last = signals
    phase = follow(before)[-1]

    assert (phase, last) not in NEXT
    assert said in WRONG[phase, last]


@given(signals=st.lists(st.sampled_from(Signal)))
def test_headers_that_are_out_stay_out(signals: list[Signal]) -> None:
    """No sequence leads back: not from DONE, not from SENT to a phase in which headers could change."""
    phases = follow(signals)

    assert phases == sorted(phases)


@given(signals=st.lists(st.sampled_from(Signal)))
def test_nothing_is_sent_before_start_response(signals: list[Signal]) -> None:
    """PEP 3333: start_response comes before the first chunk, whatever else the application does."""
    started = {Signal.START, Signal.RESTART} & set(signals)

    assert started or follow(signals)[-1] is Phase.IDLE


def follow(signals: list[Signal]) -> list[Phase]:
    """The phases that a response goes through; a signal that is an error leaves it where it is."""
    phases = [Phase.IDLE]
    for signal in signals:
        phases.append(NEXT.get((phases[-1], signal), phases[-1]))
    return phases

"""Runs a scenario: contestants in turn, several rounds, the order rotated each round. Knows no contestant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from benchmarks.model import NotMeasured, Result, Row, Scenario
from benchmarks.processes import last_line

T = TypeVar("T")


def rotated(items: Sequence[T], by: int) -> Iterator[T]:
    """Yield *items* once each, starting *by* places later and wrapping around."""
    for index in range(len(items)):
        yield items[(index + by) % len(items)]


def run(scenario: Scenario, rounds: int, seconds: float, progress: Callable[[str], None]) -> Result:
    """Measure every contestant once a round.

    Interleaving spreads a slow minute of the machine over all contestants, and rotation keeps
    one contestant from always following the heaviest one. A contestant that fails once is out:
    repeating a time limit round after round would cost more than the figure is worth.

    Args:
        rounds: rounds asked for; the scenario may run more or fewer.
        seconds: length of one sample.
        progress: called with one line for each round.
    """
    pairs = [(contestant, Row(contestant.name, contestant.note)) for contestant in scenario.contestants]
    total = scenario.rounds(rounds)
    for number in range(total):
        progress(f"{scenario.name}: round {number + 1} of {total}")
        for contestant, row in rotated(pairs, number):
            if row.failure:
                continue
            try:
                sample = contestant.sample(seconds)
            except NotMeasured as error:
                row.failure = f"round {number + 1}: {error}"
            except Exception as error:
                # Whatever a server or its starter thinks of: the other contestants go on, and the
                # minutes that were measured already are not lost.
                row.failure = f"round {number + 1}: {type(error).__name__}: {last_line(str(error))}"
            else:
                figure, *further = sample if isinstance(sample, tuple) else (sample,)
                row.samples.append(figure)
                row.further.append(tuple(further))
    return Result(scenario, total, seconds, tuple(row for _, row in pairs))

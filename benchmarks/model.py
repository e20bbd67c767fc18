"""What is measured: contestants, scenarios, references, targets, results. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field


class NotMeasured(Exception):
    """A contestant gave no figure; the message names the reason and is printed in its row."""


# A figure alone, or followed by the further figures of its scenario.
Sample = float | tuple[float, ...]


@dataclass(frozen=True)
class Contestant:
    """One competitor in a scenario.

    Attributes:
        name: unique within its scenario.
        sample: given a duration in seconds, measures once and returns a figure in the
            scenario's unit, with its further figures if it has some. Scenarios that count work
            instead of time ignore the duration. Raises NotMeasured.
        note: what a reader of the row has to know; ``""`` for nothing.
    """

    name: str
    sample: Callable[[float], Sample]
    note: str = ""


@dataclass(frozen=True)
class Reference:
    """A column of ratios: every row divided by the best of *names*.

    Attributes:
        label: column heading, after "of"; unique within its scenario.
        names: contestants; the best one measured is the divisor.
    """

    label: str
    names: tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """What one contestant has to reach.

    Attributes:
        contestant: its name.
        of: label of the reference whose ratio is judged; ``None`` for the figure itself, in the scenario's unit.
        at_least: lowest value that reaches the target.
        at_most: highest value that reaches it; one of the two is given.
    """

    contestant: str
    of: str | None = None
    at_least: float | None = None
    at_most: float | None = None

    def __post_init__(self) -> None:
        if (self.at_least is None) == (self.at_most is None):
            raise ValueError(f"a target has one bound, at_least or at_most; got {self!r}")


def _as_asked(rounds: int) -> int:
    return rounds


@dataclass(frozen=True)
class Scenario:
    """One question, asked of several contestants in turn.

    Attributes:
        name: what ``--only`` takes.
        title: one line for a reader.
        unit: of every figure, e.g. ``"responses/s"``.
        subjects: the contestants that the scenario is about; the chart sets them off.
        references: ratio columns, possibly none.
        targets: what is judged, possibly nothing.
        further: names of the figures that a sample has beside the first, in the same unit unless the name
            says another one ("KiB a stream"). They are shown, and neither divided by a reference nor judged.
        higher_is_better: decides the best of a reference, and the order of rows.
        seconds: default length of one sample; ``--seconds`` overrides it.
        rounds: from the rounds asked for to the rounds this scenario runs.
        summarise: from the samples of one contestant to the figure that is judged.
        summary: how the table names that figure, e.g. ``"median"``.
    """

    name: str
    title: str
    unit: str
    subjects: tuple[str, ...]
    contestants: tuple[Contestant, ...]
    references: tuple[Reference, ...] = ()
    targets: tuple[Target, ...] = ()
    further: tuple[str, ...] = ()
    higher_is_better: bool = True
    seconds: float = 1.0
    rounds: Callable[[int], int] = _as_asked
    summarise: Callable[[Sequence[float]], float] = statistics.median
    summary: str = "median"

    def __post_init__(self) -> None:
        # Here and not when the minutes of measuring are over.
        contestants = {contestant.name for contestant in self.contestants}
        named = {*self.subjects, *(target.contestant for target in self.targets)}
        named.update(name for reference in self.references for name in reference.names)
        labels = {reference.label for reference in self.references}
        judged = {target.of for target in self.targets if target.of is not None}
        unknown = (named - contestants) | (judged - labels)
        if unknown:
            raise ValueError(f"scenario {self.name!r} has no contestant or reference {', '.join(sorted(unknown))}")


@dataclass
class Row:
    """The samples of one contestant, in the order of the rounds.

    Attributes:
        further: for each sample, the further figures of the scenario.
        failure: why the contestant is out, from the round in which it failed; ``""`` while it is in.
    """

    name: str
    note: str
    samples: list[float] = field(default_factory=list)
    further: list[tuple[float, ...]] = field(default_factory=list)
    failure: str = ""


@dataclass(frozen=True)
class Result:
    """A scenario and what came out of it.

    Attributes:
        rounds: rounds that were run.
        seconds: length of one sample.
        rows: one for each contestant, in the scenario's order.
    """

    scenario: Scenario
    rounds: int
    seconds: float
    rows: tuple[Row, ...]

"""Turns samples into figures, ratios and verdicts. Pure; knows no table and no file."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.model import Reference, Result, Row, Target

MISSING = "not measured"


@dataclass(frozen=True)
class Verdict:
    """One target and what became of it.

    Attributes:
        contestant: whom it is about.
        rule: the target in words.
        value: the ratio or figure that was reached; ``None`` if it could not be measured.
        outcome: ``"reached"``, ``"missed"`` or ``"not measured"``.
    """

    contestant: str
    rule: str
    value: float | None
    outcome: str


def figure(result: Result, row: Row) -> float | None:
    """Return the figure of *row* that is judged, or ``None`` without a sample."""
    return result.scenario.summarise(row.samples) if row.samples else None


def further(result: Result, row: Row) -> dict[str, float]:
    """Return the further figures of *row* by their names; empty without a sample."""
    if not row.further:
        return {}
    columns = zip(*row.further, strict=True)
    scenario = result.scenario
    return {name: scenario.summarise(column) for name, column in zip(scenario.further, columns, strict=True)}


def divisor(result: Result, reference: Reference) -> float | None:
    """Return the best figure among the contestants of *reference*, or ``None`` if none was measured."""
    best = max if result.scenario.higher_is_better else min
    figures = [figure(result, row) for row in result.rows if row.name in reference.names]
    return best((value for value in figures if value is not None), default=None)


def ratio(result: Result, row: Row, reference: Reference) -> float | None:
    """Return the figure of *row* divided by that of *reference*, or ``None`` if either is missing or zero."""
    value, base = figure(result, row), divisor(result, reference)
    return value / base if value is not None and base else None


def verdicts(result: Result) -> list[Verdict]:
    """Judge every target of the scenario, in the order in which it lists them."""
    rows = {row.name: row for row in result.rows}
    references = {reference.label: reference for reference in result.scenario.references}
    found = []
    for target in result.scenario.targets:
        row = rows[target.contestant]
        if target.of is None:
            rule, value = f"{_bound(target)} {result.scenario.unit}", figure(result, row)
        else:
            rule, value = f"{_bound(target)} times {target.of}", ratio(result, row, references[target.of])
        found.append(Verdict(target.contestant, rule, value, _outcome(target, value)))
    return found


def _bound(target: Target) -> str:
    """Write the bound of *target* in words."""
    return f"at least {target.at_least:g}" if target.at_least is not None else f"at most {target.at_most:g}"


def _outcome(target: Target, value: float | None) -> str:
    if value is None:
        return MISSING
    low = target.at_least is not None and value < target.at_least
    high = target.at_most is not None and value > target.at_most
    return "missed" if low or high else "reached"

"""Turns samples into figures, ratios and verdicts. Pure; knows no table and no file."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.model import Reference, Result, Row

MISSING = "not measured"


@dataclass(frozen=True)
class Verdict:
    """One target and what became of it.

    Attributes:
        rule: the target in words.
        value: the ratio or figure that was reached; ``None`` if it could not be measured.
        outcome: ``"reached"``, ``"missed"`` or ``"not measured"``.
    """

    rule: str
    value: float | None
    outcome: str


def figure(result: Result, row: Row) -> float | None:
    """Return the figure of *row* that is judged, or ``None`` without a sample."""
    return result.scenario.summarise(row.samples) if row.samples else None


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
    """Judge every target of the scenario, in the order of its columns."""
    scenario = result.scenario
    subject = next(row for row in result.rows if row.name == scenario.subject)
    found = []
    for reference in scenario.references:
        if reference.at_least is not None or reference.at_most is not None:
            rule = f"{_bound(reference.at_least, reference.at_most)} times {reference.label}"
            value = ratio(result, subject, reference)
            found.append(_verdict(rule, value, reference.at_least, reference.at_most))
    if scenario.at_most is not None:
        rule = f"{_bound(None, scenario.at_most)} {scenario.unit}"
        found.append(_verdict(rule, figure(result, subject), None, scenario.at_most))
    return found


def _bound(at_least: float | None, at_most: float | None) -> str:
    return f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"


def _verdict(rule: str, value: float | None, at_least: float | None, at_most: float | None) -> Verdict:
    if value is None:
        return Verdict(rule, None, MISSING)
    low = at_least is not None and value < at_least
    high = at_most is not None and value > at_most
    return Verdict(rule, value, "missed" if low or high else "reached")

"""Results as a Markdown table that also reads well in a terminal. Pure."""

from __future__ import annotations

from benchmarks.judge import MISSING, figure, further, ratio, verdicts
from benchmarks.model import Reference, Result, Row


def number(value: float) -> str:
    """Write a figure with three digits at least, and thousands separated."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def render(result: Result) -> str:
    """Return heading, table and verdicts of one scenario."""
    scenario = result.scenario
    head = ["contestant", f"{scenario.summary}, {scenario.unit}", "lowest to highest"]
    head += scenario.further
    head += [f"of {reference.label}" for reference in scenario.references]
    lines = [head, *(_cells(result, row) for row in result.rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    table = [_line(head, widths), f"| {' | '.join(ruler)} |", *(_line(line, widths) for line in lines[1:])]
    title = f"{scenario.name}: {scenario.title} ({_effort(result)})"
    return "\n".join([title, "", *table, "", *_remarks(result)])


def _effort(result: Result) -> str:
    return f"{result.rounds} round{'s' * (result.rounds != 1)}"


def _cells(result: Result, row: Row) -> list[str]:
    value = figure(result, row)
    cells = [row.name]
    cells.append(MISSING if value is None else number(value))
    cells.append(f"{number(min(row.samples))} to {number(max(row.samples))}" if row.samples else "")
    others = further(result, row)
    cells += [number(others[name]) if name in others else "" for name in result.scenario.further]
    cells += [_ratio_cell(result, row, reference) for reference in result.scenario.references]
    return cells


def _ratio_cell(result: Result, row: Row, reference: Reference) -> str:
    value = ratio(result, row, reference)
    text = "" if value is None else f"{value:.2f}"
    for target in result.scenario.targets:
        if (target.contestant, target.of) == (row.name, reference.label):
            text += f" (>= {target.at_least:g})" if target.at_least is not None else f" (<= {target.at_most:g})"
    return text.strip()


def _line(cells: list[str], widths: list[int]) -> str:
    first, *others = cells
    padded = [
        first.ljust(widths[0]),
        *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)),
    ]
    return f"| {' | '.join(padded)} |"


def _remarks(result: Result) -> list[str]:
    remarks = [
        f"- target: {verdict.contestant} {verdict.rule}: "
        + (verdict.outcome if verdict.value is None else f"{number(verdict.value)}, {verdict.outcome}")
        for verdict in verdicts(result)
    ]
    remarks += [f"- {row.name}: {row.note}" for row in result.rows if row.note]
    remarks += [f"- {row.name}: {_failure(row)}" for row in result.rows if row.failure]
    return remarks


def _failure(row: Row) -> str:
    return f"{'out' if row.samples else MISSING}, {row.failure}"

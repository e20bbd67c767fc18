"""Results as an SVG bar chart, one panel a scenario, written by hand. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from benchmarks.facts import Facts
from benchmarks.judge import MISSING, figure
from benchmarks.model import Result, Row
from benchmarks.report.table import number

# Pixels.
WIDTH = 760
MARGIN = 20
BARS_AT = 210
LONGEST = WIDTH - BARS_AT - 130
LINE = 24
BAR = 16
HEADING = 40

# Readable on white and, with the background that is drawn below, in a dark viewer too.
SUBJECT = "#1f6feb"
OTHERS = "#9aa4b2"
STYLE = (
    "text{font:13px sans-serif;fill:#1f2328}.title{font-weight:bold}.small{font-size:11px;fill:#59636e}"
    ".name{text-anchor:end}"
)


def render(facts: Facts, results: Sequence[Result]) -> str:
    """Return a whole SVG document."""
    top = MARGIN
    parts: list[str] = []
    for result in results:
        parts += _panel(result, top)
        top += HEADING + LINE * len(result.rows) + MARGIN
    footer = f"{facts.python}, {facts.system}, {facts.cpus} x {facts.processor}, {facts.date}"
    parts.append(f'<text class="small" x="{MARGIN}" y="{top + 4}">{escape(footer)}</text>')
    size = f'width="{WIDTH}" height="{top + MARGIN}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top + MARGIN}" {size}>',
            f"<style>{STYLE}</style>",
            f'<rect {size} fill="#ffffff"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _panel(result: Result, top: int) -> list[str]:
    scenario = result.scenario
    meaning = f"{scenario.summary}, {scenario.unit}; {'more' if scenario.higher_is_better else 'less'} is better"
    longest = max((value for row in result.rows if (value := figure(result, row)) is not None), default=0.0)
    parts = [
        f'<text class="title" x="{MARGIN}" y="{top + 12}">{escape(scenario.title)}</text>',
        f'<text class="small" x="{MARGIN}" y="{top + 28}">{escape(meaning)}</text>',
    ]
    for index, row in enumerate(result.rows):
        parts += _bar(result, row, top + HEADING + LINE * index, longest)
    return parts


def _bar(result: Result, row: Row, top: int, longest: float) -> list[str]:
    value = figure(result, row)
    # A pixel at least, so that a very small figure does not look like a missing one.
    length = max(1.0, LONGEST * value / longest) if value is not None and longest else 0.0
    color = SUBJECT if row.name in result.scenario.subjects else OTHERS
    label = MISSING if value is None else number(value)
    middle = top + BAR - 4
    return [
        f'<text class="name" x="{BARS_AT - 8}" y="{middle}">{escape(row.name)}</text>',
        f'<rect x="{BARS_AT}" y="{top}" width="{length:.1f}" height="{BAR}" fill="{color}"/>',
        f'<text x="{BARS_AT + length + 6:.1f}" y="{middle}">{label}</text>',
    ]

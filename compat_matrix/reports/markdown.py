"""The README's table: what each adapter passes. Pure."""

from __future__ import annotations

from compat_matrix.model import NATIVE
from compat_matrix.results import Results, Tally

_NONE = "–"


def render(results: Results) -> str:
    """Return a Markdown table: for each adapter and direction, checks passed of checks run.

    The native runs are what the adapters are compared with; they have no row.
    """
    names = [name for name in results.adapters() if name != NATIVE]
    groups = {name: results.groups(name) for name in names}
    directions = sorted({direction for group in groups.values() for direction in group}, reverse=True)
    lines = [
        ["adapter", *(direction or "passed" for direction in directions)],
        *(
            [_text(name), *(_figure(Tally.of(groups[name].get(direction, ()))) for direction in directions)]
            for name in names
        ),
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    return "\n".join(_line(line, widths) for line in (lines[0], ruler, *lines[1:]))


def _figure(tally: Tally) -> str:
    if not tally.run:
        return _NONE
    known = f" ({tally.known:,} known)" if tally.known else ""
    return f"{tally.passed:,} of {tally.run:,}{known}"


def _text(name: str) -> str:
    return name.replace("|", "\\|")


def _line(cells: list[str], widths: list[int]) -> str:
    first, *others = cells
    padded = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))]
    return f"| {' | '.join(padded)} |"

"""The tables of matrix.md, from runs that record_matrix.py has kept. A hook of MkDocs; runs no check."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
MARKER = re.compile(r"<!-- docs/site/(matrix|adapters)\.json -->")
_NONE = "–"


def on_page_markdown(markdown: str, **context: Any) -> str:
    """Put the tables where the markers are."""
    return MARKER.sub(lambda marker: render_file(marker[1]), markdown)


def render_file(name: str) -> str:
    """Return the Markdown of one recorded run.

    Args:
        name: ``"matrix"``, a run of the bridge, of which each cell is shown; ``"adapters"``, a run of several
            adapters, of which the sums are.
    """
    run = json.loads((HERE / f"{name}.json").read_text(encoding="utf-8"))
    parts = [_conditions(run), compare(run) if name == "adapters" else show(run)]
    return "\n\n".join(parts)


def _conditions(run: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in run["packages"].items())
    rows = [
        ("when", f"{run['began'][:16].replace('T', ' ')} UTC"),
        ("interpreter", f"Python {run['python']}, {run['platform']}"),
        ("checks", f"{run['checks']}"),
        ("versions", versions),
    ]
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join([lines[0], "| --- | --- |", *lines[1:]])


def show(run: dict[str, Any]) -> str:
    """Return a table for each direction, then what failed and why."""
    parts: list[str] = []
    for adapter in run["adapters"]:
        for direction in adapter["directions"]:
            parts += [f"## {direction['name']}", _sum(direction["cells"]), _grid(direction)]
    parts += ["## What failed", _list(run["failures"], "Nothing.")]
    parts += ["## What is known to fail", _list(run["known"], "Nothing.")]
    return "\n\n".join(parts)


def compare(run: dict[str, Any]) -> str:
    """Return one table: checks passed of checks run, for each adapter and direction."""
    names = [direction["name"] for adapter in run["adapters"] for direction in adapter["directions"]]
    directions = sorted(dict.fromkeys(names), reverse=True)  # WSGI first
    lines = [["adapter", *directions], ["---", *["---:"] * len(directions)]]
    for adapter in run["adapters"]:
        cells = {direction["name"]: direction["cells"] for direction in adapter["directions"]}
        lines.append([adapter["name"], *(_figure(cells.get(name, [])) for name in directions)])
    return _table(lines)


def _grid(direction: dict[str, Any]) -> str:
    cells = {(cell["server"], cell["app"]): cell for cell in direction["cells"]}
    apps = direction["apps"]
    lines = [["server", *apps], ["---", *["---:"] * len(apps)]]
    lines += [[server, *(_short(cells.get((server, app))) for app in apps)] for server in direction["servers"]]
    return _table(lines)


def _sum(cells: list[dict[str, Any]]) -> str:
    skipped = sum(cell["not_applicable"] for cell in cells)
    return f"{_figure(cells)} checks passed; {skipped:,} did not apply."


def _short(cell: dict[str, Any] | None) -> str:
    """A number alone where all that ran has passed."""
    if cell is None:
        return _NONE
    if cell["failed"] or cell["known"]:
        return f"**{_figure([cell])}**"
    return f"{cell['passed']:,}"


def _figure(cells: list[dict[str, Any]]) -> str:
    passed = sum(cell["passed"] for cell in cells)
    run = sum(cell["passed"] + cell["failed"] + cell["known"] for cell in cells)
    return f"{passed:,} of {run:,}" if run else _NONE


def _list(failures: list[dict[str, Any]], nothing: str) -> str:
    lines = [
        f"- `{one['check']}`: {one['meaning']} ({one['clause']}) {_sentence(one['reason'])} {', '.join(one['places'])}."
        for one in failures
    ]
    return "\n".join(lines) or nothing


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _table(lines: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)

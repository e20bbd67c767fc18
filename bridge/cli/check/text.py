"""The report as text, for people. Decides nothing."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, Final, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bridge.cli.check.checks import CHECKS, LIFESPAN

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.cli.check.model import Outcome, Report, Result

# Control characters, and those that change the direction of the text after them: answers are shown in a terminal.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")

# Frameworks send a whole one when they cannot start. In one line its last one says more; --json has all of it.
_TRACEBACK: Final = re.compile(r"Traceback \(most recent call last\):\n(?:[ \t].*\n)+")

_KINDS: Final = {"wsgi": "WSGI", "asgi2": "ASGI 2", "asgi3": "ASGI 3"}
_LIFESPANS: Final = {
    "none": "WSGI has none",
    "not taken part": "the application takes no part",
    "taken part": "the application takes part",
    "failed": "the application could not be started",
}
_LOOPS: Final = {
    "shared": "one for all requests, since the application takes part in the lifespan",
    "request": "one for each request",
    None: "none: requests run in worker threads, several at once",
}
_STYLES: Final = {"pass": "green", "fail": "bold red", "n/a": "dim"}
_WORST: Final = ("fail", "pass", "n/a")


def show(report: Report, out: TextIO) -> None:
    """Write the report to *out*, in colours if it is a terminal."""
    console = Console(file=out)
    wsgi = report.interface == "wsgi"
    facts = Table.grid(padding=(0, 2))
    facts.add_row("Application", Text(_plain(report.target)))
    facts.add_row("Kind", _KINDS[report.interface])
    facts.add_row("Adapter", f"bridge.{report.adapter}, on {'an ASGI' if wsgi else 'a WSGI'} server")
    facts.add_row("Lifespan", _LIFESPANS[report.lifespan])
    facts.add_row("Event loop", _LOOPS[report.loop])
    asked = [f"{path} ({status or 'no status'})" for path, status in report.statuses.items()]
    facts.add_row("Asked", Text(_plain(f"GET, HEAD and OPTIONS of {', '.join(asked) or 'nothing'}")))
    console.print(facts)
    _show_checks(report, console)
    _show_differences(report, console)
    _show_lines(
        console,
        "Not asked: some of the checks",
        (f"{one.path}, {'natively' if one.side == 'native' else one.side}: {one.why}" for one in report.unasked),
        "yellow",
    )
    _show_lines(
        console,
        "Little was asked: the application refused natively",
        (
            f"{path} is answered {status}; --path names another path, --header what it wants, such as Host or Cookie"
            for path, status in report.statuses.items()
            if status is not None and 400 <= status < 500
        ),
        "yellow",
    )
    _show_lines(
        console, "Warnings: what may go wrong later", (f"{one.id}: {one.text}" for one in report.warnings), "yellow"
    )
    _show_times(report, console)
    console.print()
    if report.reasons:
        _show_lines(console, "Not ready:", report.reasons, "bold red", first=True)
    else:
        console.print(Text("Nothing was found that keeps it from running behind the bridge.", "green"))


def _show_checks(report: Report, console: Console) -> None:
    by_check: dict[str, list[Result]] = defaultdict(list)
    for result in report.results:
        by_check[result.check].append(result)
    table = Table("Check", "Natively", "Bridged", "What has to be so", box=box.SIMPLE_HEAD)
    reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
    for id, meaning in [*((check.id, check.meaning) for check in CHECKS), LIFESPAN[:2]]:
        results = by_check.get(id)
        if not results:
            continue
        table.add_row(
            id, _state([one.native for one in results]), _state([one.bridged for one in results]), Text(meaning)
        )
        for result in results:
            for reason in _reasons(result):
                reasons[id, reason] += [] if result.path is None else [result.path]
    console.print(table)
    _show_lines(
        console,
        "Why",
        (f"{id}{' ' if paths else ''}{', '.join(paths)}: {reason}" for (id, reason), paths in reasons.items()),
        "",
    )


def _reasons(result: Result) -> list[str]:
    native, bridged = result.native, result.bridged
    if "fail" not in (native.state, bridged.state) and (native.state, bridged.state) != ("pass", "n/a"):
        return []  # what cannot be asked is no news
    if native == bridged:  # the application's own
        return [f"natively and bridged, {native.reason}"]
    both = (("natively", native), ("bridged", bridged))
    return [f"{side}, {outcome.reason}" for side, outcome in both if outcome.reason]


def _state(outcomes: list[Outcome]) -> Text:
    states = [outcome.state for outcome in outcomes]
    worst = next(state for state in _WORST if state in states)
    count = f" ({states.count(worst)} of {len(states)})" if worst == "fail" and len(states) > 1 else ""
    return Text(worst + count, _STYLES[worst])


def _show_differences(report: Report, console: Console) -> None:
    lines = [
        f"{one.method} {one.mount}{one.path}, {one.part}{one.name and ' '}{one.name}: "
        f"natively {one.native}; bridged {one.bridged}"
        for one in report.differences
    ]
    if lines:
        _show_lines(console, "Differences", lines, "bold red")
    else:
        console.print("Differences: none in status, headers and body of what was asked")
    merged: dict[tuple[str, str], list[str]] = defaultdict(list)
    for one in report.excused:
        merged[one.what, one.why].append(f"{one.method} {one.mount}{one.path}")
    _show_lines(
        console, "Not compared", (f"{what}, {why}: {', '.join(of)}" for (what, why), of in merged.items()), "dim"
    )


def _show_times(report: Report, console: Console) -> None:
    if not report.times:
        return
    table = Table("Time of a GET, ms", "Natively", "Bridged", "Requests", box=box.SIMPLE_HEAD)
    for column in table.columns[1:]:
        column.justify = "right"
    for time in report.times:
        table.add_row(
            Text(_plain(time.path)), f"{time.native * 1e3:.3f}", f"{time.bridged * 1e3:.3f}", str(time.requests)
        )
    console.print(table)
    console.print(
        Text(
            "Medians, one request at a time, in this process and without a server; a server's own time comes to both.",
            "dim",
        )
    )


def _show_lines(console: Console, title: str, lines: Iterable[str], style: str, *, first: bool = False) -> None:
    lines = list(lines)
    if not lines:
        return
    if not first:
        console.print()
    console.print(Text(title, style))
    grid = Table.grid(padding=(0, 1))
    for line in lines:
        grid.add_row(" -", Text(_plain(_TRACEBACK.sub("", line))))
    console.print(grid)


def _plain(text: str) -> str:
    return _CONTROL.sub(" ", text)

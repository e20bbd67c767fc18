"""The run in a terminal or in a log of CI: live progress, tables, the failures. Decides nothing."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from types import TracebackType

from rich import box
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from compat_matrix.model import NATIVE, Adapter, App, Cell, Check, Outcome, Place
from compat_matrix.plan import Planned
from compat_matrix.results import START, START_MEANING, SUBJECT, Results, Tally, outcomes
from compat_matrix.servers import Recipe

# Control characters, and those that change the direction of the text after them.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]+")

_GOOD, _BAD, _ASIDE = "green", "bold red", "yellow"


class Progress:
    """What is under way. Any thread.

    In a terminal: a bar over all checks of all cells, what is being asked, and a line for each cell that fails.
    Elsewhere: a line for each cell.
    """

    def __init__(self, console: Console, cells: int, checks: int) -> None:
        self._console = console
        self._cells = cells
        self._checks = checks
        self._bar = Bar(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("checks"),
            TimeElapsedColumn(),
            TextColumn("left:"),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
        )
        self._task = self._bar.add_task("", total=cells * checks)
        # Guards the attributes below: cells run in several threads, and Live draws in one of its own.
        self._lock = threading.Lock()
        self._done = 0
        self._counts: Counter[str] = Counter()
        self._under_way: dict[Place, list[str]] = {}
        self._live = (
            Live(console=console, get_renderable=self.__rich__, refresh_per_second=4, transient=True)
            if console.is_interactive
            else None
        )

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def outcome(self, planned: Planned, outcome: Outcome) -> None:
        """Take note of one outcome."""
        place = Place(
            planned.app.name, planned.recipe.name, planned.adapter.name if planned.adapter is not None else NATIVE
        )
        with self._lock:
            self._under_way.setdefault(place, []).append(outcome.check)
            self._counts[outcome.outcome] += 1
        self._bar.advance(self._task)

    def cell(self, cell: Cell) -> None:
        """Take note of a cell."""
        with self._lock:
            self._done += 1
            done = self._done
            told = len(self._under_way.pop(cell.place, ()))
        self._bar.advance(self._task, self._checks - told)  # what it was not asked, it will not be asked
        tally = Tally.of([cell])
        if self._live is None or tally.failed:
            number = f"[{done:{len(str(self._cells))}}/{self._cells}]"
            style = _BAD if tally.failed else _ASIDE if cell.not_run else ""
            text = _plain(self._console, f"{number} {_word(cell, tally)} {_where(cell.place)}: {_summary(cell, tally)}")
            self._console.print(Text(text, style), soft_wrap=True)

    def __rich__(self) -> RenderableType:
        # What rich asks of whatever it draws.
        with self._lock:
            counts = (
                (f"{self._counts['pass']} passed", _GOOD if self._counts["pass"] else ""),
                (f"{self._counts['fail']} failed", _BAD if self._counts["fail"] else ""),
                (f"{self._counts['known']} known", _ASIDE if self._counts["known"] else ""),
                (f"{self._counts['n/a']} n/a", ""),
                (f"{self._done} of {self._cells} cells", ""),
            )
            under_way = [
                f"  {_where(place)}: {len(checks)}/{self._checks} {checks[-1]}"
                for place, checks in self._under_way.items()
            ]
        line = Text("  ")
        for index, (text, style) in enumerate(counts):
            line.append(", " if index else "")
            line.append(text, style)
        rows = [Text(_plain(self._console, row), "dim", no_wrap=True, overflow="ellipsis") for row in under_way]
        return Group(self._bar, line, *rows)


def show_plan(console: Console, native: Sequence[Planned], others: Sequence[Planned], checks: Sequence[Check]) -> None:
    """Print what a run would do: applications, servers, adapters and checks, and what is not installed."""
    planned = [*native, *others]
    apps = {one.app.name: one.app for one in planned}
    recipes = {one.recipe.name: one.recipe for one in planned}
    adapters = {(one.adapter.name, one.adapter.takes): one.adapter for one in planned if one.adapter is not None}

    table = _table("Applications", "name", "framework", "interface", "does not have")
    for app in apps.values():
        table.add_row(app.name, app.title, app.interface.upper(), ", ".join(app.lacks))
    console.print(table)

    table = _table("Servers", "name", "interface", "package", "event loop")
    for recipe in recipes.values():
        table.add_row(recipe.name, recipe.interface.upper(), recipe.package, recipe.event_loop)
    console.print(table)

    table = _table("Adapters", "name", "runs", "on", "is")
    for adapter in adapters.values():
        other = "ASGI" if adapter.takes == "wsgi" else "WSGI"
        servers = "" if adapter.servers is None else ": " + ", ".join(adapter.servers)
        table.add_row(adapter.name, f"{adapter.takes.upper()} applications", f"{other} servers{servers}", adapter.wrap)
    console.print(table)

    # Meaning and clause below each other: beside each other they would be pillars of single words.
    table = _table("Checks", "id, kind", "meaning, clause")
    for check in checks:
        table.add_row(
            Text(check.id).append(f"\n{check.kind}", "dim"), Text(check.meaning).append(f"\n{check.clause}", "dim")
        )
    console.print(table)

    everything: list[App | Recipe | Adapter] = [*apps.values(), *recipes.values(), *adapters.values()]
    missing = {one.name: reason for one in everything if (reason := one.missing()) is not None}
    if missing:
        console.print(Text("Not installed", "bold"))
        for reason in missing.values():
            console.print(Text(f"  {reason}", _ASIDE))
        console.print()
    cells = _plural(len(planned), "cell")
    console.print(Text(f"{cells} ({len(native)} at home to compare with), {_plural(len(checks), 'check')} each"))


def show(console: Console, results: Results) -> None:
    """Print a table for each adapter, the totals, what was not run and why, and what the bridge fails."""
    for adapter in results.adapters():
        for direction, cells in results.groups(adapter).items():
            title = f"{adapter}: {direction}" if direction else adapter
            for table in _heat_maps(console, results, title, cells):
                console.print(table)
    signs = _Signs(console)
    console.print(
        Text(f"passed/run; {signs.failed} failed, {signs.known} known failure, {signs.not_run} not run", "dim")
    )
    console.print()
    console.print(_totals(results))
    _show_not_run(console, results)
    _show_failures(console, results)


class _Signs:
    """Signs in the table: colour alone says nothing in a log."""

    def __init__(self, console: Console) -> None:
        utf8 = console.encoding.lower().startswith("utf")
        self.failed = "✗" if utf8 else "X"
        self.known = "~"
        self.not_run = "–" if utf8 else "-"


def _heat_maps(console: Console, results: Results, title: str, cells: Sequence[Cell]) -> Iterator[Table]:
    """Yield a table servers by applications, or several one after another where the console is too narrow for one."""
    apps, servers = results.apps_of(cells), results.servers_of(cells)
    by_place = {(cell.place.app, cell.place.server): cell for cell in cells}
    texts = {place: _entry(console, cell) for place, cell in by_place.items()}
    room = console.width - max(len("server"), *(len(server) for server in servers)) - 4  # with the edges
    widths = {
        app: 2 + max(len(app), *(len(texts[app, server]) for server in servers if (app, server) in texts))
        for app in apps
    }
    while apps:
        fitting = 1
        while fitting < len(apps) and sum(widths[app] for app in apps[: fitting + 1]) <= room:
            fitting += 1
        shown, apps = apps[:fitting], apps[fitting:]
        table = _table(title, "server")
        for app in shown:
            table.add_column(Text(app), justify="right", no_wrap=True)
        for server in servers:
            table.add_row(Text(server), *(texts.get((app, server), Text()) for app in shown))
        yield table


def _entry(console: Console, cell: Cell) -> Text:
    signs = _Signs(console)
    tally = Tally.of([cell])
    if cell.not_run and not tally.run:
        return Text(signs.not_run, _ASIDE)
    if cell.state == "not started":
        return Text(f"{signs.failed} start", _BAD)
    figure = f"{tally.passed}/{tally.run}"
    if tally.failed:
        return Text(f"{signs.failed} {figure}", _BAD)
    return Text(f"{signs.known} {figure}", _ASIDE) if tally.known else Text(figure, _GOOD)


def _totals(results: Results) -> Table:
    table = _table("Checks passed of checks run", "adapter")
    # By what the applications are: an adapter has each kind on servers of the other kind, the native run on its own.
    kinds = sorted({_kind(name) for adapter in results.adapters() for name in results.groups(adapter)}, reverse=True)
    for kind in kinds:
        table.add_column(f"{kind} applications" if kind else "all", justify="right")
    for title in ("failed", "known", "n/a", "cells", "not run"):
        table.add_column(title, justify="right")
    for adapter in results.adapters():
        groups = results.groups(adapter)
        cells = [cell for group in groups.values() for cell in group]
        tally = Tally.of(cells)
        table.add_row(
            Text(adapter, "bold" if adapter == SUBJECT else ""),
            *(
                _figure(Tally.of(cell for name, group in groups.items() if _kind(name) == kind for cell in group))
                for kind in kinds
            ),
            Text(f"{tally.failed:,}", _BAD if tally.failed else ""),
            f"{tally.known:,}",
            f"{tally.not_applicable:,}",
            f"{len(cells):,}",
            f"{sum(bool(cell.not_run) for cell in cells):,}",
        )
    return table


def _kind(direction: str) -> str:
    return direction.partition(" ")[0]


def _figure(tally: Tally) -> str:
    return f"{tally.passed:,} of {tally.run:,}" if tally.run else ""


def _show_not_run(console: Console, results: Results) -> None:
    reasons = Counter(
        _first_line(cell.not_run) for cell in results.cells if cell.not_run and cell.state != "not started"
    )
    for reason, count in reasons.items():
        console.print(Text(_plain(console, f"{_plural(count, 'cell')} not run: {reason}"), _ASIDE))
    if reasons:
        console.print()


def _show_failures(console: Console, results: Results) -> None:
    if SUBJECT not in results.adapters():
        return
    meanings = {check.id: check.meaning for check in results.checks} | {START: START_MEANING}
    # Once for all places where it is the same: what is wrong is mostly wrong on several servers.
    failures: dict[tuple[str, str], list[Place]] = {}
    for place, outcome in results.failures(SUBJECT):
        failures.setdefault((outcome.check, outcome.reason), []).append(place)
    sign = _Signs(console).failed
    for (check, reason), places in failures.items():
        console.print(Text(f"{sign} {check}", _BAD).append(f"  {meanings.get(check, '')}", "not bold"))
        console.print(Text(_plain(console, f"    {reason}")), soft_wrap=True)
        console.print(Text("    " + ", ".join(f"{place.app} on {place.server}" for place in places), "dim"))
    tally = Tally.of(cell for cell in results.cells if cell.place.adapter == SUBJECT)
    known = f", {tally.known:,} known" if tally.known else ""
    verdict = f"{SUBJECT}: {tally.passed:,} of {tally.run:,} checks passed, {tally.failed:,} failed{known}"
    console.print(Text(verdict, _BAD if tally.failed else _GOOD))


def _word(cell: Cell, tally: Tally) -> str:
    return "FAIL" if tally.failed else "-   " if cell.not_run else "ok  "


def _summary(cell: Cell, tally: Tally) -> str:
    if cell.state == "not started" or (cell.not_run and not cell.outcomes):
        return _first_line(cell.not_run)
    parts = [f"{tally.passed} of {tally.run} passed"]
    parts += [
        f"{count} {name}"
        for count, name in ((tally.failed, "failed"), (tally.known, "known"), (tally.not_applicable, "n/a"))
        if count
    ]
    if cell.state == "interrupted":
        parts.append("interrupted")
    failed = [outcome.check for outcome in outcomes(cell) if outcome.outcome == "fail"]
    return ", ".join(parts) + (f" ({', '.join(failed[:3])}{', ...' * (len(failed) > 3)})" if failed else "")


def _where(place: Place) -> str:
    return f"{place.app} on {place.server}, {place.adapter}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, column in enumerate(columns):
        table.add_column(column, no_wrap=index == 0)
    return table


def _first_line(text: str) -> str:
    return text.partition("\n")[0]


def _plain(console: Console, text: str) -> str:
    """Return text on one line that a terminal shows and does not obey, in characters that the output can hold."""
    text = _CONTROL.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)
    return text.encode(console.encoding, "backslashreplace").decode(console.encoding)


def _plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'s' * (count != 1)}"

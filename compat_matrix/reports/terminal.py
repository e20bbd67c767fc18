"""The run in a terminal: live progress, a table, the failures."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console

from compat_matrix.model import NATIVE, Cell, Check, Outcome
from compat_matrix.plan import Planned
from compat_matrix.results import Results


class Progress:
    """What is under way. Any thread."""

    def __init__(self, console: Console, cells: int, checks: int) -> None:
        self._console = console
        self._cells = cells
        self._done = 0
        self._lock = threading.Lock()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def outcome(self, planned: Planned, outcome: Outcome) -> None:
        """Take note of one outcome."""

    def cell(self, cell: Cell) -> None:
        """Take note of a cell."""
        with self._lock:
            self._done += 1
            counts = f"{cell.count('pass')} passed, {cell.count('fail')} failed, {cell.count('n/a')} n/a"
            where = f"{cell.place.app} on {cell.place.server}, {cell.place.adapter}"
            self._console.print(f"[{self._done}/{self._cells}] {where}: {cell.not_run or counts}", markup=False)


def show_plan(console: Console, native: Sequence[Planned], others: Sequence[Planned], checks: Sequence[Check]) -> None:
    """Print what a run would do."""
    for planned in (*native, *others):
        adapter = planned.adapter.name if planned.adapter else NATIVE
        console.print(f"{planned.app.name} on {planned.recipe.name}, {adapter}", markup=False)
    for check in checks:
        console.print(f"{check.id}: {check.meaning} ({check.clause})", markup=False)


def show(console: Console, results: Results) -> None:
    """Print the failures."""
    for cell in results.cells:
        for outcome in cell.outcomes:
            if outcome.outcome == "fail":
                place = cell.place
                console.print(
                    f"FAIL {place.app} on {place.server}, {place.adapter}: {outcome.check}: {outcome.reason}",
                    markup=False,
                )

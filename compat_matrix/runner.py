"""All cells of a run, several at a time. Prints nothing and writes no file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from typing import TypeAlias

from compat_matrix.cells import Observation, Oracle, run_cell
from compat_matrix.model import Cell, Check, Outcome
from compat_matrix.plan import Planned

_Native: TypeAlias = "Future[tuple[Cell, dict[str, Observation]]]"


def run(
    native: Sequence[Planned],
    others: Sequence[Planned],
    checks: Sequence[Check],
    jobs: int,
    on_outcome: Callable[[Planned, Outcome], object],
    on_cell: Callable[[Cell], object],
) -> bool:
    """Run all cells; the native ones first, since the others are compared with them. Blocks.

    Args:
        native: each application on its home server.
        others: the rest.
        checks: for each cell.
        jobs: how many servers run at a time.
        on_outcome: is told each outcome, by several threads.
        on_cell: is told each cell, by this thread.

    Returns:
        False if the run was interrupted from the keyboard: every cell that had begun was told to *on_cell*.
    """
    interrupted = threading.Event()
    homes: dict[str, _Native] = {}

    def work(planned: Planned, oracle: Oracle | None) -> tuple[Cell, dict[str, Observation]]:
        return run_cell(
            planned.app,
            planned.recipe,
            planned.adapter,
            checks,
            oracle,
            lambda outcome: on_outcome(planned, outcome),
            interrupted.is_set,
        )

    def work_beside(planned: Planned) -> tuple[Cell, dict[str, Observation]]:
        # Those at home were submitted before and wait for nobody, so they are done or under way.
        cell, seen = homes[planned.app.same_as or planned.app.name].result()
        reason = cell.not_run or "was not asked there"

        def oracle(check: Check) -> Observation:
            return seen.get(check.id, Observation(error=f"{cell.place.server}: {reason}"))

        return work(planned, oracle)

    with ThreadPoolExecutor(jobs) as executor:
        futures: list[_Native] = []
        try:
            for planned in native:
                homes[planned.app.name] = executor.submit(work, planned, None)
            futures = [*homes.values(), *(executor.submit(work_beside, planned) for planned in others)]
            for future in as_completed(futures):
                on_cell(future.result()[0])
        except KeyboardInterrupt:
            interrupted.set()
            executor.shutdown(wait=True, cancel_futures=True)
            for future in futures:
                if future.done() and not future.cancelled() and (cell := future.result()[0]).not_run == "interrupted":
                    on_cell(cell)
            return False
    return True

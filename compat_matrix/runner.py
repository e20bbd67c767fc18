"""All cells of a run, several at a time. Prints nothing and writes no file."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import TypeAlias

from compat_matrix.cells import Observation, Oracle, run_cell
from compat_matrix.model import Cell, Check, Outcome
from compat_matrix.plan import Planned

_Ran: TypeAlias = "tuple[Cell, dict[str, Observation]] | None"
"""None: the run was interrupted before the cell began."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Interruption:
    """Whether the run is to end early. Without a lock: signal handlers set it, wherever they come in between."""

    def __init__(self) -> None:
        self.came = False


def run(
    native: Sequence[Planned],
    others: Sequence[Planned],
    checks: Sequence[Check],
    jobs: int,
    on_outcome: Callable[[Planned, Outcome], object],
    on_cell: Callable[[Cell], object],
    on_interruption: Callable[[], object] = lambda: None,
) -> bool:
    """Run all cells; the native ones first, since the others are compared with them. Blocks.

    SIGINT and SIGTERM end it early: no further check begins, those that run are awaited (each of their waits has a
    timeout), and their servers are stopped. Called by another thread than the main one, it hears no signal.

    Args:
        native: each application on its home server.
        others: the rest.
        checks: for each cell.
        jobs: how many servers run at a time.
        on_outcome: is told each outcome, by several threads.
        on_cell: is told each cell, by this thread.
        on_interruption: is told each signal, by this thread.

    Returns:
        False if the run was interrupted: every cell that had begun was told to *on_cell*.
    """
    interruption = _Interruption()
    homes: dict[str, Future[_Ran]] = {}

    def work(planned: Planned, oracle: Oracle | None) -> _Ran:
        if interruption.came:
            return None
        return run_cell(
            planned.app,
            planned.recipe,
            planned.adapter,
            checks,
            oracle,
            lambda outcome: on_outcome(planned, outcome),
            lambda: interruption.came,
        )

    def work_beside(planned: Planned) -> _Ran:
        # Those at home were submitted before and wait for nobody, so they are done or under way.
        home = homes[planned.app.same_as or planned.app.name].result()
        if home is None:
            return None
        cell, seen = home
        reason = cell.not_run or "was not asked there"

        def oracle(check: Check) -> Observation:
            return seen.get(check.id, Observation(error=f"{cell.place.server}: {reason}", asked=False))

        return work(planned, oracle)

    # What this thread waits for: cells that have ended, and None for a signal. A signal that raised KeyboardInterrupt
    # instead could come in the middle of on_cell, and the cell would be lost. SimpleQueue.put() may be called by a
    # handler that has interrupted the same queue's get().
    news: SimpleQueue[Future[_Ran] | None] = SimpleQueue()

    def handler(number: int, frame: FrameType | None) -> None:
        interruption.came = True
        news.put(None)

    with _handled(handler), ThreadPoolExecutor(jobs) as executor:
        try:
            for planned in native:
                homes[planned.app.name] = executor.submit(work, planned, None)
            futures = [*homes.values(), *(executor.submit(work_beside, planned) for planned in others)]
            for future in futures:
                future.add_done_callback(news.put)
            left = len(futures)
            while left:
                ended = news.get()
                if ended is None:
                    on_interruption()
                    continue
                left -= 1
                if (ran := ended.result()) is not None:
                    on_cell(ran[0])
        except BaseException:
            # Nobody would hear of the cells that are left: the executor shall not wait for all of them.
            interruption.came = True
            raise
    return not interruption.came


@contextmanager
def _handled(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python has it so
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    # Whoever started this process may want it to hear no Ctrl-C, as nohup and shells without job control do.
    heard = [number for number, old in before.items() if old is not signal.SIG_IGN]
    for number in heard:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in heard:
            signal.signal(number, before[number] or signal.SIG_DFL)

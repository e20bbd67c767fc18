"""Functions that may never return, run in threads with a time limit. Knows no application."""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Job = tuple[Callable[[], object], threading.Event]

_NAME: Final = "check-native"


class HelperThread:
    """One thread that runs one function after the other, as a server of one thread does.

    A function that does not return in time keeps its thread; the next one gets a new one.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] | None = None
        self.stuck = False
        """A thread was left behind with a function that did not return."""

    def run(self, function: Callable[[], object], timeout: float) -> bool:
        """Run *function*, which must not raise; return whether it was done within *timeout* seconds. Blocks."""
        if self._jobs is None:
            self._jobs = SimpleQueue()
            # A daemon: what hangs must not keep the process.
            threading.Thread(target=_work, args=(self._jobs,), name=_NAME, daemon=True).start()
        done = threading.Event()
        self._jobs.put((function, done))
        if done.wait(timeout):
            return True
        self.close()
        self.stuck = True
        return False

    def close(self) -> None:
        """Let the thread end when it has nothing to do."""
        if self._jobs is not None:
            self._jobs.put(None)
            self._jobs = None


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        function, done = job
        try:
            function()
        finally:
            done.set()
        del job, function  # what the function holds may end while the thread waits


def run_at_once(functions: Sequence[Callable[[], object]], timeout: float) -> bool:
    """Run each function in a thread of its own, all begun together.

    Args:
        functions: none of them may raise.
        timeout: seconds for all of them.

    Returns:
        Whether all were done in time; threads of those that were not are left behind.
    """
    together = threading.Barrier(len(functions))
    left = threading.Semaphore(0)

    def run(function: Callable[[], object]) -> None:
        together.wait()
        try:
            function()
        finally:
            left.release()

    for function in functions:
        threading.Thread(target=run, args=(function,), name=_NAME, daemon=True).start()
    end = time.monotonic() + timeout
    return all(left.acquire(timeout=max(0.0, end - time.monotonic())) for _ in functions)

"""The worker threads: their limit, their end. Knows nothing of what an exchange does."""

from __future__ import annotations

import atexit
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Final

from bridge.errors import ConfigurationError
from bridge.loop_thread import Signal, here, reset_mailboxes
from bridge.wsgi_to_asgi.crew import Crew

if TYPE_CHECKING:
    from bridge.wsgi_to_asgi.crew import Job

# How long the interpreter's exit waits for exchanges that still run, in seconds. What they read and write
# fails by then; this is for a view in the middle of its work.
EXIT_TIMEOUT: Final = 30.0


class WorkerThreads:
    """A set of worker threads that run WSGI applications; several adapters can share one.

    Threads are made when they are needed, up to *threads*, and kept. They end with :meth:`close`, with
    the garbage collection of the set, and at exit; the next exchange, and a forked child, start afresh.

    Args:
        threads: how many exchanges run at once, at most.

    Raises:
        ConfigurationError: *threads* is not a positive number.
    """

    def __init__(self, threads: int = 40) -> None:
        if not isinstance(threads, int) or threads < 1:
            raise ConfigurationError(f"threads is a number of threads, 1 or more; got {threads!r}")
        self.size = threads
        # Over the choice of the crew, and over its threads and line. One that may be taken again: the garbage
        # collection can resume an exchange in the thread that has it.
        self._lock = threading.RLock()
        self._crew = self._new_crew()
        _all.add(self)

    def submit(self, job: Job, max_pending: int | None = None) -> bool:
        """Queue one exchange, or return False if *max_pending* others wait already. Does not block.

        Raises:
            RuntimeError: the system has not one thread to give, and *max_pending* is None.
        """
        # The lock keeps close() from dismissing the crew between the choice of it and the put.
        with self._lock:
            crew = self._crew
            jobs = crew.jobs
            if max_pending is not None and len(jobs) >= crew.size + max_pending:
                return False
            if len(crew.threads) < crew.size and len(jobs) >= len(crew.threads):
                try:
                    crew.hire()
                except RuntimeError:  # the exchange waits for one of our threads, if there is one and it may
                    if max_pending is None:
                        if not crew.threads:
                            raise
                    elif not crew.threads or len(jobs) >= len(crew.threads) + max_pending:
                        return False
            jobs.add(job)
            crew.waiting.add(job)
            crew.queue.put(job)
        return True

    def withdraw(self, job: Job) -> bool:
        """Give the place of an exchange back that no thread has begun; return whether that was so. Does not block."""
        crew = self._crew
        try:
            crew.waiting.remove(job)
        except KeyError:  # a thread has it
            return False
        crew.jobs.discard(job)
        return True

    def full(self, max_pending: int) -> bool:
        """Whether submit() would refuse."""
        return len(self._crew.jobs) >= self.size + max_pending

    @property
    def pending(self) -> int:
        """How many exchanges wait for a thread."""
        return max(0, len(self._crew.jobs) - len(self._crew.threads))

    @property
    def busy(self) -> int:
        """How many threads run an exchange."""
        return min(len(self._crew.jobs), len(self._crew.threads))

    @property
    def parked(self) -> int:
        """How many exchanges are under way and have no thread."""
        return len(self._crew.parked)

    @property
    def threads(self) -> int:
        """How many threads there are now."""
        return len(self._crew.threads)

    def close(self, timeout: float = EXIT_TIMEOUT) -> bool:
        """Wait until the exchanges queued and running are done and their threads have ended. Blocks.

        The set can be used again: the next exchange starts new threads, and so does one of those that hold none now
        (:func:`bridge.stream`) when it goes on.

        Args:
            timeout: seconds to wait at most.

        Returns:
            Whether all threads ended. Those that did not, end with their exchange.
        """
        return self._replace_crew().join(timeout)

    def drain(self, owner: object, timeout: float, grace: float) -> int:
        """Wait until the exchanges of one adapter are done; abort them when the time is over. Blocks.

        Args:
            owner: the adapter that shuts down. Exchanges of others, and those that begin meanwhile, go on.
            timeout: seconds until its exchanges are aborted.
            grace: seconds that they have to end after that.

        Returns:
            How many of them still run then.
        """
        ended = Signal()
        left = self._crew.jobs_of(owner)
        for job in left:
            # Before the first look at crew.jobs: a thread looks at watchers after it has discarded its job.
            job.watchers = (*job.watchers, ended)
        left = self._wait(left, ended, timeout)
        for job in left:
            job.abort(f"the server shuts down and drain_timeout, {timeout:g} s, is over")
            job.cancel_calls()
            if self.withdraw(job):
                job.finish()
        return len(self._wait(left, ended, grace))

    def _wait(self, jobs: list[Job], ended: Signal, timeout: float) -> list[Job]:
        deadline = time.monotonic() + timeout
        crew = self._crew
        while True:
            left = [job for job in jobs if crew.has(job)]
            remaining = deadline - time.monotonic()
            if not left or remaining <= 0:
                return left
            ended.wait(remaining)

    def jobs_of(self, owner: object) -> list[Job]:
        """Return the exchanges of one adapter that are queued or run. Does not block."""
        return self._crew.jobs_of(owner)

    def forsake(self, reason: str) -> None:
        """Make the next read and write of every exchange fail; none waits for its event loop. Does not wait."""
        self._crew.forsake(reason)

    def _replace_crew(self) -> Crew:
        with self._lock:
            crew = self._crew
            self._collected.detach()
            self._crew = self._new_crew(crew.parked)
            crew.replace(self._crew)
        return crew

    def _new_crew(self, parked: set[Job] | None = None) -> Crew:
        crew = Crew(self.size, self._lock, parked)
        self._collected = weakref.finalize(self, crew.dismiss)
        self._collected.atexit = False  # _at_exit() waits for the threads as well
        return crew

    def start_afresh(self) -> None:
        """Forget all threads, in a forked child: none came along, and the parent's lock may be held for ever."""
        self._lock = threading.RLock()
        self._collected.detach()
        self._crew.inherit()
        self._crew = self._new_crew()


_all: weakref.WeakSet[WorkerThreads] = weakref.WeakSet()


def _after_fork() -> None:
    reset_mailboxes()
    # If the thread that forked was a worker thread: its loop did not come along, and its exchange is the parent's.
    here.crossing = here.exchange = None
    for workers in list(_all):
        workers.start_afresh()


def _at_exit() -> None:
    deadline = time.monotonic() + EXIT_TIMEOUT
    for workers in list(_all):
        # At once, and not when the time is over: no loop is left to take what they write.
        workers.forsake("the process ends")
    for workers in list(_all):
        workers.close(max(0.0, deadline - time.monotonic()))


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

"""The threads of one queue, and the exchanges that go on without one. Knows nothing of what an exchange does."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol

from bridge.loop_thread import here

if TYPE_CHECKING:
    import asyncio

    from bridge.loop_thread import Crossing, Signal


class Threads(Protocol):
    """Where a job that has no thread gets one."""

    def resume(self, job: Any) -> None:
        """Queue a job that was parked. Any thread; does not block."""
        ...

    def leave(self, job: Any) -> None:
        """Let others be resumed in the place of this one, which keeps its thread for long. Its worker thread."""
        ...


class Job(Protocol):
    """What a worker thread does: one exchange."""

    @property
    def owner(self) -> object:
        """The adapter whose shutdown ends the exchange."""
        ...

    @property
    def crossing(self) -> Crossing:
        """The way back to the loop that the exchange came from."""
        ...

    @property
    def async_tasks(self) -> list[asyncio.Task[Any]]:
        """Where asgiref keeps the tasks of this exchange's async views."""
        ...

    def run(self) -> bool:
        """Do the work, and return whether all is done; if not, park() follows. Never raises."""
        ...

    def park(self, threads: Threads) -> None:
        """Be without a thread; *threads* has one when there is more to do."""
        ...

    def finish(self) -> None:
        """Tell the loop that it is done; called when this thread no longer counts as busy."""
        ...

    def abort(self, reason: str) -> None:
        """Make its next read and write fail. Any thread."""
        ...

    def forsake(self, reason: str) -> None:
        """Abort it, and let it wait for nothing that its loop was to do. Any thread."""
        ...

    def cancel_calls(self) -> None:
        """Cancel the asynchronous code that it waits for. Any thread but the loop's."""
        ...

    def is_told_to_stop(self) -> bool:
        """Whether nobody waits for its response any more. Any thread."""
        ...

    watchers: tuple[Signal, ...]
    """What finish() wakes."""


class Crew:
    """The threads that serve one queue until they are dismissed. Refers to nothing that refers to it.

    Args:
        size: how many threads there are, at most.
        lock: that of the set of worker threads which this is the crew of.
        parked: the exchanges that have no thread, if another crew had them before.
    """

    def __init__(self, size: int, lock: threading.RLock, parked: set[Job] | None = None) -> None:
        self.size = size
        self._lock = lock
        self.queue: SimpleQueue[Job | None] = SimpleQueue()
        # Queued or running. A set, because its add, discard and len are atomic where += on an int is not.
        self.jobs: set[Job] = set()
        # Those of them that are queued for the first time. Whoever removes a job from it, worker thread or withdraw(),
        # has it.
        self.waiting: set[Job] = set()
        self.threads: list[threading.Thread] = []  # under the lock

        # Begun, and without a thread: their streams have nothing to give, or their clients take nothing, or they are
        # in line. One set for each crew that follows another, since they belong to none.
        self.parked: set[Job] = set() if parked is None else parked
        # Those that were parked and are among the jobs again, under the lock. Half of the threads at most, so that an
        # event for thousands of streams leaves the other half to new requests; more of them stand in line.
        self.resumed: set[Job] = set()
        self._share = max(1, size // 2)
        self._in_line: deque[Job] = deque()  # under the lock
        self._ending: deque[Job] = deque()  # those whose client has left; under the lock
        self._ends_next = False
        self._dismissed = False
        self._successor: Crew | None = None  # set once, under the lock
        self._inherited = False  # of the last crew

    def hire(self) -> None:
        """Start one thread more. Raises RuntimeError where the system has none left."""
        thread = threading.Thread(
            target=_work,
            args=(self,),
            name=f"bridge-worker-{len(self.threads)}",
            daemon=True,
        )
        thread.start()
        self.threads.append(thread)

    def dismiss(self) -> None:
        """Let each thread end when the jobs queued so far, and those in line, are done. Does not wait.

        Without the lock: the garbage collection calls it too, and maybe in a thread that has it.
        """
        self._dismissed = True
        self.queue.put(None)

    def replace(self, successor: Crew) -> None:
        """Dismiss the threads; *successor* gets what is parked, except who stands in line. Under the lock."""
        self._successor = successor
        self.dismiss()

    def inherit(self) -> None:
        """Do nothing from now on, in a forked child: no thread came along, and the lock may be held for ever."""
        self._inherited = True
        self._lock = threading.RLock()
        if self.parked:
            _inherited.append(self)
            # At the exit they are collected after all, and then must not wait for a loop that did not come along.
            for job in self.parked:
                job.forsake("the process has forked")

    # -- exchanges that have no thread ------------------------------------------------------------------------

    def park(self, job: Job) -> None:
        """Let a job be that has nothing to do for now. Its worker thread."""
        # In one set before it leaves the other, for whoever looks at both.
        self.parked.add(job)
        self.jobs.discard(job)
        # Before anybody else can resume it, who would find it resumed already.
        if self.resumed:
            self.leave(job)
        job.park(self)

    def resume(self, job: Job) -> None:
        """Queue a parked job again, or let it stand in line. Any thread; does not block."""
        if self._last()._inherited:
            return
        with self._lock:
            crew = self._last()
            if crew._has_place():
                crew._queue_again(job)
            elif job.is_told_to_stop():
                crew._ending.append(job)
            else:
                crew._in_line.append(job)

    def leave(self, job: Job) -> None:
        """Let those in line have the place of *job*, if that was resumed, and what others leave. Its worker thread."""
        if self._last()._inherited:
            return
        with self._lock:
            crew: Crew | None = self
            while crew is not None and job not in crew.resumed:
                crew = crew._successor  # it has parked before a crew was replaced, and been resumed after that
            if crew is not None:
                crew.resumed.discard(job)
            last = self._last()
            for one in {self, crew or self, last}:
                one._let_in()

    def _has_place(self) -> bool:
        # A place that stays free for a new request is enough, where no more threads are asked for than there are.
        return len(self.resumed) < self._share or len(self.jobs) < self.size - 1

    def _let_in(self) -> None:
        """Queue those in line for whom there is a place. Under the lock."""
        while (self._in_line or self._ending) and self._has_place():
            # In turn: a thousand clients that leave at once must not stop the streams of those that stay.
            self._ends_next = bool(self._ending) and (not self._in_line or not self._ends_next)
            self._queue_again((self._ending if self._ends_next else self._in_line).popleft())

    def _last(self) -> Crew:
        crew = self
        while crew._successor is not None:
            crew = crew._successor
        return crew

    def _queue_again(self, job: Job) -> None:
        """Do so under the lock."""
        self.resumed.add(job)
        self.jobs.add(job)
        self.parked.discard(job)
        self.queue.put(job)
        # Looked at after the put. A thread that finds the queue empty ends once dismissed: either it found this job, or
        # this thread sees that it may have ended.
        if self._dismissed or (len(self.threads) < self.size and len(self.jobs) > len(self.threads)):
            try:
                self.hire()
            except RuntimeError:  # the system has no thread left: the job waits for one of ours, or the next hired
                pass

    def jobs_of(self, owner: object) -> list[Job]:
        """Return the exchanges of one adapter that are not done."""
        # Under the lock none that is parked becomes one of the jobs again. The other way goes without it, and so one
        # that is not found in the first set is in the second. copy() is atomic.
        with self._lock:
            return [job for job in self.jobs.copy() | self.parked.copy() if job.owner is owner]

    def has(self, job: Job) -> bool:
        """Whether it is not done."""
        with self._lock:  # as above
            return job in self.jobs or job in self.parked

    def forsake(self, reason: str) -> None:
        """Abort every exchange whose event loop may have come to its end. Does not wait."""
        for job in self.jobs.copy() | self.parked.copy():
            job.forsake(reason)

    def join(self, timeout: float) -> bool:
        """Wait for the threads to end, *timeout* seconds at most; return whether they did."""
        deadline = time.monotonic() + timeout
        for thread in self.threads:  # and those that are hired meanwhile, for what stands in line
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self.threads)


# Crews of a forked child's parent. Not collected before the exit: what a view of the parent has open is not the child's
# to close.
_inherited: list[Crew] = []


def _work(crew: Crew) -> None:
    queue, waiting, jobs, resumed = crew.queue, crew.waiting, crew.jobs, crew.resumed
    # Imported in the first worker thread: it costs more than importing all of bridge, and asynchronous
    # views need it before they know it (Flask imports it inside the view's wrapper).
    from asgiref.sync import SyncToAsync

    asgiref_thread = SyncToAsync.threadlocal
    # asgiref takes the loop only together with the process it belongs to; threads do not survive a fork.
    asgiref_thread.main_event_loop_pid = os.getpid()
    # This thread's part of it, a plain dictionary: setting the attribute costs three times as much, twice an exchange.
    mine = vars(here)
    crossing: Crossing | None = None
    while True:
        job = queue.get()
        if job is None:
            # Put back, for the other threads. What was resumed meanwhile stands behind it, and is done first.
            ends = queue.empty()
            queue.put(None)
            if ends:
                return
            continue
        try:
            waiting.remove(job)
        except KeyError:
            # One that was resumed is there until its own thread says leave(). Any other was withdrawn.
            if job not in resumed:
                del job
                continue
        if job.crossing is not crossing:
            here.crossing = crossing = job.crossing
            asgiref_thread.main_event_loop = crossing.loop
        # asgiref adds the tasks of async views here, so that a cancelled exchange can cancel them.
        asgiref_thread.task_context = job.async_tasks
        mine["exchange"] = job
        done = True
        try:
            done = job.run()
        finally:
            if done:
                # Discarded before the loop hears of the end: whoever knows that this exchange is over must
                # find the thread free, or a limit of one would refuse every second request.
                jobs.discard(job)
                job.finish()
                if resumed:
                    crew.leave(job)
            else:
                crew.park(job)
        # Otherwise an idle thread keeps the last exchange, and so its application, from being collected.
        mine["exchange"] = None
        del job

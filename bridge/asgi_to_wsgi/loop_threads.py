"""Event loops in threads of their own. Knows hosts, and nothing of what their exchanges do."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal

from bridge.asgi_to_wsgi.green import join, make_signal, new_event_loop, start_thread
from bridge.asgi_to_wsgi.hosts import Beside
from bridge.asgi_to_wsgi.in_use import InUse
from bridge.asgi_to_wsgi.left_overs import LEFT_OVER_GRACE, end_all, tidy, track_tasks
from bridge.errors import ConfigurationError
from bridge.loop_thread import AnyioCrossing, LoopClosed, mailbox_here

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import TaskGroup
    from anyio.lowlevel import EventLoopToken

    from bridge.loop_thread import Crossing, Waiter

_logger = logging.getLogger("bridge")

Backend = Literal["asyncio", "trio"]

# Idle threads that are kept; what a server needs beyond that is made anew.
_KEEP: Final = 32


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(
        self,
        backend: Backend,
        factory: Callable[[], asyncio.AbstractEventLoop] | None,
        name: str,
        *,
        exclusive: bool = False,
    ) -> None:
        """Start the thread and wait until its loop runs.

        Args:
            backend: the kind of loop.
            factory: makes the loop, of asyncio; None: asyncio's default.
            name: of the thread.
            exclusive: one exchange at a time has it, and tidies up at its end.

        Raises:
            Exception: what *factory* raised.
        """
        self.ended = False
        """The loop is closed. Set before the hosts are woken."""
        self.crossing: Crossing
        self._backend = backend
        self._factory = factory or new_event_loop
        self._exclusive = exclusive
        self._tasks: set[asyncio.Task[Any]] = set()
        self._error: BaseException | None = None
        self._hosts: InUse[Beside] = InUse()
        self._end: Waiter
        self._started = False  # set after crossing and _end, or after _error
        self._ready = make_signal()
        self._thread = start_thread(self._run, name)
        while not self._started:
            self._ready.wait()
        if self._error is not None:
            raise self._error

    # -- server's threads -------------------------------------------------------------------------------------

    @property
    def exchanges(self) -> int:
        """How many exchanges are on the loop."""
        return len(self._hosts)

    def register(self, host: Beside) -> None:
        """Remember a host whose exchange begins."""
        self._hosts.add(host)
        if self.ended:  # looked at after the host is in: either this look sees it, or the thread's end sees the host
            host.wake()

    def unregister(self, host: Beside) -> None:
        """Forget a host whose exchange is over."""
        self._hosts.discard(host)

    def tidy(self) -> bool:
        """Cancel and await what the exchange left on the loop; return whether it is clean then."""
        if self._backend != "asyncio":
            return True  # trio's tasks end with their nursery
        done = make_signal()
        results: list[bool] = []

        async def tidy_up() -> None:
            try:
                results.append(await tidy(asyncio.get_running_loop(), self._tasks))
            finally:
                done.wake()

        try:
            self.crossing.post(lambda: self.crossing.start(tidy_up))
        except LoopClosed:
            return False
        done.wait()
        return results == [True]

    def drain(self, timeout: float) -> None:
        """Wait until no exchange runs, *timeout* seconds at most. Blocks."""
        self._hosts.drain(timeout)

    def stop(self) -> None:
        """Cancel what runs and end the loop and its thread. Blocks."""
        try:
            self.crossing.post(self._let_end)
        except LoopClosed:
            return
        join(self._thread, 2 * LEFT_OVER_GRACE)

    def _let_end(self) -> None:
        if not self._end.done():
            self._end.set_result(None)

    # -- the thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            if self._backend == "asyncio":
                self._run_asyncio()
            else:
                from anyio import run

                run(self._live_on_anyio, backend=self._backend)
        except BaseException as error:
            self._error = error
            if self._started:
                _logger.critical("The thread of an event loop has died", exc_info=error)
        finally:
            self.ended = True
            self._tell_started()
            for host in self._hosts.copy():
                host.wake()

    def _run_asyncio(self) -> None:
        loop = self._factory()
        try:
            # A coroutine that runs as long as the loop: anyio binds its worker threads to it, and so keeps them.
            loop.run_until_complete(self._live(loop))
            end_all(loop)
        finally:
            loop.close()

    async def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        mailbox = mailbox_here()
        if mailbox is None:
            raise ConfigurationError("loop_factory has to make an asyncio event loop")
        self.crossing = mailbox
        if self._exclusive:
            self._tasks = track_tasks(loop)
        self._end = mailbox.waiter()
        self._tell_started()
        await self._end

    async def _live_on_anyio(self) -> None:
        from anyio import create_task_group
        from anyio.lowlevel import current_token

        async with create_task_group() as tasks:
            self.crossing = _TrioCrossing(current_token(), tasks)
            self._end = self.crossing.waiter()
            self._tell_started()
            await self._end
            tasks.cancel_scope.cancel()

    def _tell_started(self) -> None:
        self._started = True
        self._ready.wake()


class _TrioCrossing(AnyioCrossing):
    """The crossing to trio from any thread. anyio's waits for each letter, and refuses where another trio runs."""

    __slots__ = ("_trio",)

    def __init__(self, token: EventLoopToken, tasks: TaskGroup) -> None:
        super().__init__(token, tasks)
        self._trio: Any = token.native_token

    def post(self, letter: Callable[[], object]) -> None:
        try:
            self._trio.run_sync_soon(letter)
        except RuntimeError:  # trio's RunFinishedError
            raise LoopClosed from None


class LoopThreads:
    """A pool of threads with a loop each, for exchanges that need a loop of their own and cannot run it themselves."""

    def __init__(self, backend: Backend, factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        self._backend: Backend = backend
        self._factory = factory
        self._idle: deque[LoopThread] = deque()  # append and pop are atomic
        self._in_use: InUse[LoopThread] = InUse()
        self._closed = False

    def take(self) -> Beside:
        """Return a host with a loop for itself; its end() gives the loop back."""
        try:
            thread = self._idle.pop()
        except IndexError:
            thread = LoopThread(self._backend, self._factory, "bridge-request-loop", exclusive=True)
        self._in_use.add(thread)
        return Beside(thread, lambda finished: self._take_back(thread, finished))

    def _take_back(self, thread: LoopThread, finished: bool) -> None:
        if finished and not thread.ended and thread.tidy() and len(self._idle) < _KEEP:
            self._idle.append(thread)
            if self._closed:  # looked at after the thread is in: either this look sees it, or close() sees the thread
                self.close()
        else:
            thread.stop()
        self._in_use.discard(thread)

    def drain(self, timeout: float) -> None:
        """Wait until no exchange has one of the loops, *timeout* seconds at most. Blocks."""
        self._in_use.drain(timeout)

    def close(self) -> None:
        """End the idle threads; one that is in use ends with its exchange."""
        self._closed = True
        while True:
            try:
                thread = self._idle.pop()
            except IndexError:
                return
            thread.stop()

"""Crossing between a thread and an event loop, both ways. Knows nothing of requests and responses."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import deque
from concurrent.futures import CancelledError
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from bridge.errors import NoEventLoop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Generator, Sequence

    from anyio import CancelScope
    from anyio.abc import TaskGroup
    from anyio.lowlevel import EventLoopToken

T = TypeVar("T")


class LoopClosed(Exception):
    """The event loop on the other side is gone. Never leaves this package."""


class Waiter(Protocol):
    """What a coroutine awaits and a callback on its loop releases, once."""

    def done(self) -> bool: ...

    def set_result(self, result: None, /) -> None: ...

    def __await__(self) -> Generator[Any, None, None]: ...


class Task(Protocol):
    """A task that a crossing started."""

    def cancel(self) -> object: ...


class Crossing(Protocol):
    """The way between worker threads and one event loop."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that asgiref's ``async_to_sync`` is told of; None where it is not asyncio's."""
        ...

    def post(self, letter: Callable[[], object]) -> None:
        """Call *letter* on the loop, soon. Any thread; never blocks. Raises LoopClosed."""
        ...

    def waiter(self) -> Waiter:
        """Make a waiter. Event loop thread only."""
        ...

    def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Task:
        """Run *function* beside the caller. Event loop thread only."""
        ...

    async def finish(self, task: Task) -> None:
        """Cancel *task* and wait for its end. Event loop thread only."""
        ...

    def call(self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        """Await ``function(*args)`` on the loop and block for its result. Worker thread only."""
        ...

    def cancel_calls(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        """Cancel what one exchange waits for: *tasks* are asgiref's. Event loop thread only."""
        ...


class Mailbox:
    """The crossing to one asyncio loop (uvloop's too), shared by every exchange on it.

    Waking a loop costs a system call and a switch of threads, so one wake-up carries all letters that
    lie there when the loop gets to it. Made while the loop stands still, or in its thread.
    """

    __slots__ = ("_event", "_letters", "_wake_pending", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._letters: deque[Callable[[], object]] = deque()  # append: any thread; popleft: the loop's thread
        self._wake_pending = False
        self._event = -1  # a descriptor; -1 where there is none
        if isinstance(loop, asyncio.SelectorEventLoop) and hasattr(os, "eventfd"):
            # call_soon_threadsafe() writes to a socket, reads it until that fails, and makes a handle each time: an
            # eventfd that stays registered is cheaper by 5 us a wake-up. uvloop's own way is one.
            self._event = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            loop.add_reader(self._event, self._take)

    def __del__(self) -> None:
        if self._event >= 0:
            os.close(self._event)

    def post(self, letter: Callable[[], object]) -> None:
        self._letters.append(letter)
        if not self._wake_pending:
            # Set by the poster, cleared by the loop before it counts the letters: a letter that went in
            # before its poster read True lies there when the loop counts. Two posters that both
            # read False wake the loop twice, which is only waste.
            self._wake_pending = True
            if self._event >= 0 and not self.loop.is_closed():
                os.eventfd_write(self._event, 1)
                return
            try:
                self.loop.call_soon_threadsafe(self._deliver)
            except RuntimeError:
                self.reset()
                raise LoopClosed from None
        elif self.loop.is_closed():  # with a wake-up on its way that nobody takes any more
            self.reset()
            raise LoopClosed

    def reset(self) -> None:
        """Forget letters and wake-up: nobody is there to take them, after a fork or when the loop was closed."""
        self._letters.clear()
        self._wake_pending = False

    def _take(self) -> None:
        os.eventfd_read(self._event)
        self._deliver()

    def _deliver(self) -> None:
        self._wake_pending = False
        letters = self._letters
        # Counted once: letters that arrive meanwhile have a wake-up of their own, so that threads which
        # post without end cannot keep the loop from its sockets.
        for _ in range(len(letters)):
            letters.popleft()()

    def waiter(self) -> Waiter:
        return self.loop.create_future()

    def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Task:
        return self.loop.create_task(function())

    async def finish(self, task: Task) -> None:
        mine = cast("asyncio.Task[None]", task)
        if not mine.done():
            mine.cancel()
            # wait() and not await: a cancellation of the caller must not be taken for that of the task.
            await asyncio.wait([mine])
        if not mine.cancelled():
            mine.exception()  # looked at, since nobody else will; what it means the task has said itself

    def call(self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        # asgiref's crossing and not one of ours: while it waits, this thread serves the sync_to_async
        # calls of what it waits for, which otherwise would deadlock Django's ORM.
        from asgiref.sync import async_to_sync

        async def awaiting() -> T:
            return await function(*args)

        return async_to_sync(awaiting)()

    def cancel_calls(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        for task in list(tasks):
            task.cancel()


_mailboxes: dict[asyncio.AbstractEventLoop, Mailbox] = {}


def mailbox_here() -> Mailbox | None:
    """Return the one mailbox of the asyncio loop that runs in this thread; None if none does."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    mailbox = _mailboxes.get(loop)
    if mailbox is None:
        # Here and not when a loop is closed, which nobody tells us. Other threads may add at the same time.
        for other in [other for other in list(_mailboxes) if other.is_closed()]:
            _mailboxes.pop(other, None)
        mailbox = _mailboxes[loop] = Mailbox(loop)
    return mailbox


def reset_mailboxes() -> None:
    """Start afresh in a forked child, where a pending wake-up may never arrive."""
    for mailbox in _mailboxes.values():
        mailbox.reset()


class AnyioCrossing:
    """The crossing of one exchange on any loop that anyio knows and that is not asyncio's."""

    __slots__ = ("_calls", "_tasks", "_thread", "_token")

    loop = None

    def __init__(self, token: EventLoopToken, tasks: TaskGroup) -> None:
        self._token = token
        self._tasks = tasks
        self._thread = threading.get_ident()
        self._calls: set[CancelScope] = set()  # event loop: what run_async() waits for

    def post(self, letter: Callable[[], object]) -> None:
        if threading.get_ident() == self._thread:  # an async view's, inside run_async()
            letter()
            return
        from anyio.from_thread import run_sync

        try:
            # Waits until the loop has called it, which a portal would not; but a portal ends with its
            # exchange, and what a thread hands to one that ends meanwhile is lost with a warning.
            run_sync(letter, token=self._token)
        except RuntimeError:  # anyio's RunFinishedError; letters raise nothing
            raise LoopClosed from None

    def waiter(self) -> Waiter:
        return _EventWaiter()

    def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Task:
        return _ScopedTask(self._tasks, function)

    async def finish(self, task: Task) -> None:
        mine = cast("_ScopedTask", task)
        mine.cancel()
        await mine.ended.wait()

    def call(self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        from anyio import CancelScope
        from anyio.from_thread import run

        async def awaiting() -> T:
            with CancelScope() as scope:
                self._calls.add(scope)
                try:
                    return await function(*args)
                finally:
                    self._calls.discard(scope)
            raise CancelledError("the exchange ended while run_async() waited")

        return run(awaiting, token=self._token)

    def cancel_calls(self, tasks: Sequence[asyncio.Task[Any]] = ()) -> None:
        for scope in self._calls:
            scope.cancel()


async def cross_with_anyio(function: Callable[[Crossing], Awaitable[None]]) -> None:
    """Call *function* with a crossing to this loop, which is not asyncio's; what it raises is raised as it was."""
    from anyio import create_task_group
    from anyio.lowlevel import current_token

    error: Exception | None = None
    async with create_task_group() as tasks:
        crossing = AnyioCrossing(current_token(), tasks)
        try:
            await function(crossing)
        except Exception as raised:  # raised below: the task group would make a group of it
            error = raised
        finally:
            crossing.cancel_calls()
    if error is not None:
        raise error


async def run_in_thread(crossing: Crossing, name: str, function: Callable[[], T]) -> T:
    """Call a *function* that blocks, in a thread of its own, and return what it returns."""
    ended = crossing.waiter()
    results: list[T] = []

    def release() -> None:
        if not ended.done():  # it is, if the caller was cancelled
            ended.set_result(None)

    def run() -> None:
        try:
            results.append(function())
        finally:
            try:
                crossing.post(release)
            except LoopClosed:
                pass  # nobody waits any more

    threading.Thread(target=run, name=name, daemon=True).start()
    await ended
    return results[0]


class _EventWaiter:
    __slots__ = ("_event",)

    def __init__(self) -> None:
        from anyio import Event

        self._event = Event()

    def done(self) -> bool:
        return self._event.is_set()

    def set_result(self, result: None, /) -> None:
        self._event.set()

    def __await__(self) -> Generator[Any, None, None]:
        return self._event.wait().__await__()


class _ScopedTask:
    __slots__ = ("_function", "_scope", "ended")

    def __init__(self, tasks: TaskGroup, function: Callable[[], Coroutine[Any, Any, None]]) -> None:
        from anyio import CancelScope, Event

        self._scope = CancelScope()
        self._function = function
        self.ended = Event()
        tasks.start_soon(self._run)

    async def _run(self) -> None:
        try:
            with self._scope:
                await self._function()
        finally:
            self.ended.set()

    def cancel(self) -> None:
        self._scope.cancel()


class Signal:
    """Lets one thread wait until another thread has done something. Waking never blocks and may come early."""

    __slots__ = ("_tokens",)

    def __init__(self) -> None:
        # A queue and not a lock: a token put in twice is harmless, a lock released twice is an error.
        self._tokens: SimpleQueue[None] = SimpleQueue()

    def wait(self, timeout: float | None = None) -> None:
        """Block until wake() was called, or for *timeout* seconds; the caller looks whether to wait again."""
        try:
            self._tokens.get(timeout=timeout)
        except Empty:
            pass

    def wake(self) -> None:
        """Release the thread that waits, or the next that will."""
        self._tokens.put(None)


# Over all counters. Held through a fork, so that no child inherits it from a thread that did not come along.
_counting = threading.Lock()
os.register_at_fork(before=_counting.acquire, after_in_parent=_counting.release, after_in_child=_counting.release)


class Counter:
    """A number that several threads may add to, where += would lose some."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0

    def add(self) -> None:
        """Add one."""
        with _counting:
            self.value += 1


class _Here(threading.local):
    crossing: Crossing | None = None
    exchange: Any = None


# Which crossing leads back from this worker thread, and the exchange that it runs; set by bridge.wsgi_to_asgi.workers.
here = _Here()


def run_async(function: Callable[..., Awaitable[T]], *args: Any) -> T:
    """Await ``function(*args)`` on the server's event loop, from a view that runs in a worker thread.

    Blocks the worker thread until the result is there; what *function* raises is raised here. Clients and
    pools that are bound to the loop work over many requests, since it is always the server's own.

    Raises:
        NoEventLoop: the caller does not run in a worker thread of ``WsgiToAsgi``.
    """
    crossing = here.crossing
    if crossing is None:
        raise NoEventLoop(
            "run_async() awaits on the event loop that serves the request, and this thread serves none. Call it in "
            "the thread in which WsgiToAsgi called the application; elsewhere use asgiref.sync.async_to_sync()."
        )
    return crossing.call(function, args)

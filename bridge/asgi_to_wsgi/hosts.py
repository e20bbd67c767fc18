"""Where the coroutine of one exchange runs, as its server's thread sees it. Knows no request and no response."""

from __future__ import annotations

import sys
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, Protocol

from bridge.asgi_to_wsgi.green import make_signal
from bridge.errors import ServerError
from bridge.loop_thread import LoopClosed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from bridge.asgi_to_wsgi.loop_threads import LoopThread
    from bridge.loop_thread import Crossing, Task, Waiter

# Exchanges of one shared loop that may go on after their response without a thread of the server that waits.
_LEFT_ALONE: Final = 100


class Host(Protocol):
    """One event loop, for one exchange."""

    @property
    def takes_turns(self) -> bool:
        """The loop stands still while the server's thread does something else."""
        ...

    @property
    def gate(self) -> Awaitable[None]:
        """Where what start() started waits for the server's thread. Only where the host takes turns."""
        ...

    @property
    def goes_on(self) -> bool:
        """The loop goes on with this exchange when the server's thread has left it."""
        ...

    @property
    def crossing(self) -> Crossing:
        """The way to the loop from any other thread."""
        ...

    def start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run *main* on the loop, in a copy of this thread's context. Server's thread, once."""
        ...

    @property
    def wait(self) -> Callable[[], object]:
        """Return once pause() was called, or early. Server's thread."""
        ...

    def wait_for(self, timeout: float) -> None:
        """Be wait(), for *timeout* seconds at most."""
        ...

    def post(self, letter: Callable[[], object]) -> None:
        """Call *letter* on the loop. Server's thread."""
        ...

    def step(self) -> bool:
        """Let go on who awaits ``gate``, without a turn of the loop; return whether somebody did. Server's thread."""
        ...

    def cancel(self) -> None:
        """Cancel what start() started. Server's thread."""
        ...

    def end(self, *, finished: bool) -> None:
        """Give the loop back; *finished*: what start() started has ended. Server's thread, once."""
        ...

    @property
    def pause(self) -> Callable[[], object]:
        """Let wait() return. Event loop."""
        ...

    @property
    def waiter(self) -> Callable[[], Waiter]:
        """Make a waiter. Event loop."""
        ...


class Beside:
    """A loop that runs in a thread of its own, beside the server's."""

    takes_turns = False

    __slots__ = ("_end", "_signal", "_task", "_thread", "_token_is_out", "crossing")

    def __init__(self, thread: LoopThread, end: Callable[[bool], None] | None = None) -> None:
        """Use *thread*; *end* gets it back, for an exchange that has it for itself."""
        self._thread = thread
        self._end = end
        self.crossing = thread.crossing
        self._signal = make_signal()
        self._token_is_out = False  # set by the loop before it wakes, cleared by the server's thread before it looks
        self._task: Task | None = None  # event loop writes

    def start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        context = copy_context()
        # Before the post: a loop that ends meanwhile wakes all that are registered.
        self._thread.register(self)
        self.post(lambda: context.run(self._start, main))

    def _start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = self.crossing.start(main)

    def wait(self) -> None:
        self._signal.wait()
        self._look()

    def wait_for(self, timeout: float) -> None:
        self._signal.wait(timeout)
        self._look()

    def _look(self) -> None:
        self._token_is_out = False
        if self._thread.ended:
            raise _closed()

    def post(self, letter: Callable[[], object]) -> None:
        try:
            self.crossing.post(letter)
        except LoopClosed:
            raise _closed() from None

    def step(self) -> bool:
        return False

    @property
    def gate(self) -> Awaitable[None]:
        raise NotImplementedError

    def cancel(self) -> None:
        self.post(self._cancel)

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def end(self, *, finished: bool) -> None:
        self._thread.unregister(self)
        if self._end is not None:
            self._end(finished)

    def pause(self) -> None:
        # One token at a time: a stream of chunks that the server is slow to take must not pile them up.
        if not self._token_is_out:
            self._token_is_out = True
            self._signal.wake()

    def wake(self) -> None:
        """Let wait() find that the loop has ended. Any thread."""
        self._signal.wake()

    def waiter(self) -> Waiter:
        return self.crossing.waiter()

    @property
    def goes_on(self) -> bool:
        # A loop that one exchange has for itself is given back by the server's thread. And where very many are left
        # to themselves, the server's threads wait: the only backpressure that background work knows.
        return self._end is None and self._thread.exchanges <= _LEFT_ALONE


def _closed() -> ServerError:
    return ServerError("the adapter was closed while a request was under way: the server has to end its requests first")


async def wait_among(waiters: list[Waiter], waiter: Waiter) -> None:
    """Await *waiter*, as one of those that the next wake() releases. Event loop."""
    waiters.append(waiter)
    try:
        await waiter
    finally:
        if waiter in waiters:  # the wait was cancelled
            waiters.remove(waiter)


def wake(waiters: list[Waiter]) -> None:
    """Release all that wait at this moment: something has changed, and each looks whether it is what it waits for."""
    released = waiters.copy()
    waiters.clear()
    for waiter in released:
        if not waiter.done():
            waiter.set_result(None)


def forget_outer_loop() -> None:
    """Let anyio see the loop on which the caller runs, where the server itself is nested in another kind of loop.

    The context of the server's thread, which the application inherits, may say that it runs on that one.
    """
    sniffio: Any = sys.modules.get("sniffio")
    if sniffio is not None and sniffio.current_async_library_cvar.get() is not None:
        sniffio.current_async_library_cvar.set(None)

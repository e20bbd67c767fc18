"""Single steps of a task, without a turn of its event loop. Knows nothing of what the task does."""

from __future__ import annotations

import asyncio
import sys
import threading
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from contextvars import Context

# Steps that an application makes without a turn of its loop; then its timers and other tasks have theirs.
BURST: Final = 64


class Gate:
    """Where the task of a loop that stands still waits, until :meth:`open` lets it make its next step.

    Most applications do all their work in one step, up to their last message, and have nothing to do in the next. To
    run a loop costs as much as the rest of a request, twice. So as long as the application waits for nothing but the
    server, its steps are made here, with all that ``run_forever()`` sets up for them. Of loops that are not asyncio's
    (uvloop) that cannot be set from outside: they turn.
    """

    __slots__ = ("_asyncio_future_blocking", "_hooks", "_itself", "_loop", "_state", "_steps", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._state = cast("Any", loop) if isinstance(loop, asyncio.BaseEventLoop) else None
        if self._state is not None:
            self._hooks = (self._state._asyncgen_firstiter_hook, self._state._asyncgen_finalizer_hook)
        # More than one if tasks of an application send at the same time.
        self._waiting: list[tuple[Context, Callable[..., object], tuple[Any, ...]]] = []
        self._steps = 0
        self._asyncio_future_blocking = False
        self._itself = (self,)

    def start(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Make a task; its first step is made at once, in this thread, or waits here."""
        loop = self._state
        if loop is None:
            return asyncio.Task(coroutine, loop=self._loop)
        if sys.version_info >= (3, 12):
            self._steps += 1
            if self._steps % BURST:
                loop._thread_id = threading.get_ident()  # as in open()
                asyncio._set_running_loop(loop)
                sys.set_asyncgen_hooks(*self._hooks)
                try:
                    return asyncio.Task(coroutine, loop=loop, eager_start=True)
                finally:
                    sys.set_asyncgen_hooks(None, None)
                    asyncio._set_running_loop(None)
                    loop._thread_id = None
        # Where tasks cannot start eagerly, and where the loop has to turn: the first step goes to call_soon().
        loop.call_soon = self._hold
        try:
            return asyncio.Task(coroutine, loop=loop)
        finally:
            del loop.call_soon

    def _hold(self, callback: Callable[..., object], *args: Any, context: Context) -> None:
        self._waiting.append((context, callback, args))

    def open(self) -> bool:
        """Let the task make its next step, in this thread; return whether it did, or will when the loop turns."""
        if not self._waiting:
            return False
        loop = self._state
        self._steps += 1
        if loop is None or self._steps % BURST == 0:
            for context, callback, args in self._waiting:
                self._loop.call_soon(callback, *args, context=context)
            self._waiting.clear()
            return False
        context, callback, args = self._waiting.pop(0)
        loop._thread_id = threading.get_ident()  # is_running() is true then
        asyncio._set_running_loop(loop)
        sys.set_asyncgen_hooks(*self._hooks)
        try:
            context.run(callback, *args)
        finally:
            sys.set_asyncgen_hooks(None, None)  # as they are in a thread that runs no loop
            asyncio._set_running_loop(None)
            loop._thread_id = None
        return True

    # What asyncio.Task asks of a future.

    def __await__(self) -> Generator[Gate, None, None]:
        self._asyncio_future_blocking = True
        # What a generator would yield, at half the price.
        return cast("Generator[Gate, None, None]", iter(self._itself))

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[Gate], object], *, context: Context) -> None:
        self._waiting.append((context, callback, (self,)))

    def result(self) -> None:
        return None

    def cancel(self, msg: object = None) -> bool:
        return False  # the task then raises CancelledError when the gate opens

"""A coroutine's next step without a turn of its loop. Knows nothing of what the coroutine does."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from contextvars import Context


class Gate:
    """What the one coroutine of a :class:`RequestLoop` awaits until :meth:`open` lets it go on, at once.

    A future would let it go on in the loop's next turn; and to run a loop for the one step that most applications
    have left after their last message costs a third of a whole request.
    """

    __slots__ = ("_asyncio_future_blocking", "_hooks", "_loop", "_waiting")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._asyncio_future_blocking = False
        # More than one if tasks of an application send at the same time.
        self._waiting: list[tuple[Callable[[Gate], object], Context]] = []
        # What run_forever() sets, so that generators which begin in that step belong to the loop as well.
        self._hooks: tuple[Any, Any] = (
            getattr(loop, "_asyncgen_firstiter_hook", None),
            getattr(loop, "_asyncgen_finalizer_hook", None),
        )

    def open(self) -> bool:
        """Let the coroutine make its next step, in this thread, with the loop as the running one.

        Returns:
            Whether it waited here.
        """
        if not self._waiting:
            return False
        callback, context = self._waiting.pop(0)
        hooks = sys.get_asyncgen_hooks()
        asyncio._set_running_loop(self._loop)
        sys.set_asyncgen_hooks(*self._hooks)
        try:
            context.run(callback, self)
        finally:
            sys.set_asyncgen_hooks(*hooks)
            asyncio._set_running_loop(None)
        return True

    # What asyncio.Task asks of a future.

    def __await__(self) -> Generator[Gate, None, None]:
        self._asyncio_future_blocking = True
        yield self

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def add_done_callback(self, callback: Callable[[Gate], object], *, context: Context) -> None:
        self._waiting.append((callback, context))

    def result(self) -> None:
        return None

    def cancel(self, msg: object = None) -> bool:
        return False  # the task then raises CancelledError when the gate opens

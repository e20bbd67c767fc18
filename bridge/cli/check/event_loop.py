"""An event loop in a thread of its own, which tells how long it was kept busy. Knows no application."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import TimeoutError as LateError
from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

T = TypeVar("T")

_END: Final = 5.0  # seconds in which a loop that is not blocked has to end


class _Loop(asyncio.SelectorEventLoop):
    """Measures each of its turns, if it is told to: all steps of all tasks come by call_soon()."""

    def __init__(self) -> None:
        super().__init__()
        self.longest: float | None = None
        # In asyncio's debug mode it would log what is measured here.
        self.slow_callback_duration = float("inf")

    def call_soon(  # type: ignore[override]  # typeshed's has a TypeVarTuple, which Python 3.10 has not
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        if self.longest is None:
            return super().call_soon(callback, *args, context=context)
        return super().call_soon(self._measured, callback, *args, context=context)

    def _measured(self, callback: Callable[..., object], *args: Any) -> None:
        began = time.perf_counter()
        try:
            callback(*args)
        finally:
            if self.longest is not None:
                self.longest = max(self.longest, time.perf_counter() - began)


class EventLoop:
    """An asyncio event loop in its own thread."""

    def __init__(self) -> None:
        self._loop = _Loop()
        # A daemon: a loop that an application blocks must not keep the process.
        self._thread = threading.Thread(target=self._run, name="check-loop", daemon=True)
        self._thread.start()
        self.blocked = False
        """It did not answer in time; nothing can be run on it any more."""

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float) -> T | None:
        """Run *coroutine* on the loop and return its result; None when the loop is blocked. Blocks.

        Args:
            coroutine: it limits its own time; if it does not, it is taken for blocked.
            timeout: seconds until the loop counts as blocked.
        """
        if self.blocked:
            coroutine.close()
            return None
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result(timeout)
        except LateError:
            if future.done():
                raise  # the coroutine's own
            self.blocked = True
            return None

    def measure(self) -> None:
        """Begin to look for the longest time that something keeps the loop."""
        self._loop.longest = 0.0

    def longest(self) -> float:
        """Return that time, in seconds, and look for it no longer."""
        longest, self._loop.longest = self._loop.longest, None
        return longest or 0.0

    def close(self) -> None:
        """End the loop and what is left on it. Blocks, for a while at most."""
        self.run(self._tidy(), _END)
        if not self.blocked:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    async def _tidy(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_END / 2)
        await self._loop.shutdown_asyncgens()
        # Not shutdown_default_executor(): it waits for its threads without a limit before Python 3.12.
        # They end by themselves, with the process at the latest.

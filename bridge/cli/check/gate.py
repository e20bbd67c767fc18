"""Whether a client has each chunk before the application makes the next. Knows no protocol."""

from __future__ import annotations

import asyncio
import threading
from typing import Final

from bridge.cli.check.limits import GATE

_CHUNKS: Final = 3  # are enough to see; a stream of thousands shall not be slowed down


class Gate:
    """Stops an application after each of its first chunks until the client has it. Any thread, any loop."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given = 0  # bytes
        self._arrived = 0.0  # bytes
        self._waiting: list[tuple[int, asyncio.AbstractEventLoop, asyncio.Event]] = []
        self._stopped = 0
        self.held_back = False
        """The client did not have a chunk in time."""

    def taken(self, total: float) -> None:
        """Say that the client has *total* bytes now; infinitely many if it takes no more of them."""
        with self._changed:
            self._arrived = total
            self._changed.notify_all()
            for needed, loop, event in self._waiting:
                if needed <= total:
                    loop.call_soon_threadsafe(event.set)

    def wait(self, size: int) -> None:
        """Wait in a thread until the client has the next *size* bytes too."""
        self._given += size
        if self._open():
            return
        with self._changed:
            if not self._changed.wait_for(lambda: self._arrived >= self._given, GATE):
                self.held_back = True

    async def wait_async(self, size: int) -> None:
        """Wait on an asyncio loop until the client has the next *size* bytes too."""
        self._given += size
        if self._open():
            return
        event = asyncio.Event()
        with self._changed:
            if self._arrived >= self._given:
                return
            self._waiting.append((self._given, asyncio.get_running_loop(), event))
        try:
            await asyncio.wait_for(event.wait(), GATE)
        except asyncio.TimeoutError:
            self.held_back = True
        finally:
            # A loop that is closed meanwhile must not be told anything.
            with self._changed:
                self._waiting = [waiting for waiting in self._waiting if waiting[2] is not event]

    def _open(self) -> bool:
        if self.held_back or self._stopped >= _CHUNKS:
            return True
        self._stopped += 1
        return False

"""Numbered events for every stream of a process, from an event loop or in threads. Knows no framework."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator


def event(number: int) -> bytes:
    """Return the bytes of one event."""
    return b"data: %d\n\n" % number


class Hub:
    """What every stream gets: the number of the last event at once, then each one that comes."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Event()
        self._threads = threading.Condition()
        self._ended = False

    async def events(self) -> AsyncIterator[bytes]:
        """Give them on the event loop, without end."""
        seen = self._count
        yield event(seen)
        while True:
            while seen < self._count:
                seen += 1
                yield event(seen)
            await self._changed.wait()

    def events_in_thread(self) -> Iterator[bytes]:
        """Give them in a thread, which waits for each; until end() is called."""
        seen = self._count
        yield event(seen)
        while not self._ended:
            with self._threads:
                while seen == self._count and not self._ended:
                    self._threads.wait()
            while seen < self._count:
                seen += 1
                yield event(seen)

    def tell(self) -> None:
        """Make one event. Event loop."""
        with self._threads:
            self._count += 1
            self._threads.notify_all()
        self._changed.set()
        self._changed = asyncio.Event()

    def end(self) -> None:
        """Free the threads: one that waits would keep the process from ending."""
        with self._threads:
            self._ended = True
            self._threads.notify_all()


hub = Hub()

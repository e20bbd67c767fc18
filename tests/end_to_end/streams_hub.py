"""Numbered events for thousands of streams, and what their process holds. Knows no framework."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import bridge


class Hub:
    """What every stream of one process gets."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Event()

    async def events(self) -> AsyncIterator[bridge.ServerSentEvent]:
        """Give the number of the last event at once, and then each one that comes."""
        seen = self._count
        yield bridge.ServerSentEvent(str(seen))
        while True:
            while seen < self._count:
                seen += 1
                yield bridge.ServerSentEvent(str(seen))
            await self._changed.wait()

    async def tell(self) -> None:
        """Make one event. Event loop."""
        self._count += 1
        self._changed.set()
        self._changed = asyncio.Event()


def stats(adapter: bridge.WsgiToAsgi) -> dict[str, int]:
    """Return what the adapter says of itself."""
    return asdict(adapter.stats())


def holdings() -> dict[str, Any]:
    """Return what the process holds that a stream may leave behind. Worker thread."""
    gc.collect()
    kinds = (type(thing) for thing in gc.get_objects())
    objects = Counter(kind.__qualname__ for kind in kinds if str(kind.__module__).startswith("bridge."))
    return {
        "objects": dict(objects),
        "tasks": bridge.run_async(_tasks),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


async def _tasks() -> int:
    return len(asyncio.all_tasks())

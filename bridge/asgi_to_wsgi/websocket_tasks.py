"""The tasks of one WebSocket, beside its application: none fails unseen, and none outlives it. Knows no frames."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridge.loop_thread import Crossing, Task

_logger = logging.getLogger("bridge")


class Tasks:
    """Tasks that end with their WebSocket. Event loop."""

    def __init__(self, crossing: Crossing, give_up: Callable[[], None]) -> None:
        """Run them where *crossing* leads; *give_up* ends the WebSocket, when one of them has failed."""
        self._crossing = crossing
        self._give_up = give_up
        self._tasks: list[Task] = []

    def start(self, work: Callable[[], Awaitable[None]]) -> None:
        """Run *work* until it ends, or until finish()."""

        async def run() -> None:
            try:
                await work()
            except Exception:
                # Nobody waits for it who could see it; and on trio it would end the loop, with all that is on it.
                _logger.exception("A WebSocket is given up, since the bridge has failed")
                self._give_up()

        self._tasks.append(self._crossing.start(run))

    async def finish(self) -> None:
        """Cancel all and return when they have ended, not before: as long as one is there it may use the connection."""
        interruption: asyncio.CancelledError | None = None
        # Shielded, as on trio a task that is cancelled can wait for nothing any more. But no shield keeps out what
        # asyncio itself cancels, as it does at the end of a loop, which may be in the middle of this.
        with anyio.CancelScope(shield=True):
            while self._tasks:
                try:
                    await self._crossing.finish(self._tasks[-1])
                except asyncio.CancelledError as error:
                    interruption = error
                else:
                    self._tasks.pop()
        if interruption is not None:
            raise interruption

"""Waiting until a socket can be read, again and again. Knows no bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

if TYPE_CHECKING:
    import asyncio


class Readable:
    """One socket, of one task that reads it, on asyncio's loops.

    The loop is told of the socket once, and not for each wait: that would be two system calls a message, and each of
    them passes Python's lock to another thread. What comes while nobody waits takes the socket from the loop again,
    which would otherwise turn without rest.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait on *loop*."""
        self._loop = loop
        self._descriptor = -1  # known to the loop; -1: none
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self, descriptor: int) -> None:
        """Return when there is something to be read; *descriptor* is always the same."""
        if self._descriptor < 0:
            try:
                self._loop.add_reader(descriptor, self._ready)
            except NotImplementedError:  # Windows' default loop; anyio has a thread for that
                await anyio.wait_readable(descriptor)
                return
            self._descriptor = descriptor
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _ready(self) -> None:
        if self._waiter is None or self._waiter.done():
            self.end()
        else:
            self._waiter.set_result(None)

    def end(self) -> None:
        """Let the loop forget the socket: nobody reads it any more."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            self._descriptor = -1

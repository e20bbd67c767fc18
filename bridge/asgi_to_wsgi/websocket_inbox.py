"""What the application of a WebSocket has yet to receive: messages, then the end. Knows no frames and no connection."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

import anyio

from bridge.asgi_to_wsgi.hosts import wait_among, wake

if TYPE_CHECKING:
    from bridge.asgi_to_wsgi.hosts import Host
    from bridge.loop_thread import Waiter
    from bridge.protocols import Message

# Bytes that a message counts beside its own, so that empty ones have a limit too.
_OVERHEAD: Final = 64


class Inbox:
    """The messages of one client, in their order. Event loop."""

    def __init__(self, host: Host, limit: int) -> None:
        """Make it on the event loop of *host*; *limit*: bytes of messages that the client may be ahead."""
        self._host = host
        self._limit = limit
        self._messages: deque[tuple[Message, int]] = deque()  # with what each counts
        self._ahead = 0  # bytes of them
        self._waiters: list[Waiter] = []
        self.end: tuple[int, str] | None = None
        """Code and reason: the WebSocket is over for the application."""
        self.ended = anyio.Event()
        """Set with the end."""
        self.blocked = False
        """Nothing is read until the application has caught up."""

    def put(self, content: dict[str, Any], size: int) -> None:
        """Add a message of *size* bytes."""
        size += _OVERHEAD
        self._messages.append(({"type": "websocket.receive", **content}, size))
        self._ahead += size
        wake(self._waiters)

    def over(self, code: int, reason: str) -> None:
        """Let the WebSocket end for the application, after the messages that lie there; the first end counts."""
        if self.end is None:
            self.end = code, reason
            self.ended.set()
            wake(self._waiters)

    def clear(self) -> None:
        """Drop the messages: the application wants no more."""
        self._messages.clear()
        self._ahead = 0

    async def take(self) -> Message:
        """Give the next message, or the end; waits while there is neither."""
        while True:
            if self._messages:
                message, size = self._messages.popleft()
                was_full = self._ahead > self._limit
                self._ahead -= size
                if was_full:
                    wake(self._waiters)
                return message
            if self.end is not None:
                code, reason = self.end
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            await wait_among(self._waiters, self._host.waiter())

    @property
    def is_full(self) -> bool:
        """The client is further ahead of the application than it may be."""
        return self._ahead > self._limit

    async def until_taken(self) -> None:
        """Wait until the application has caught up. This is the backpressure: the client's own buffers fill up."""
        self.blocked = True
        try:
            while self.is_full and self.end is None:
                await wait_among(self._waiters, self._host.waiter())
        finally:
            self.blocked = False

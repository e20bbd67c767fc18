"""One stream of numbered events, as its client has it. Knows no other stream."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from benchmarks.streams.hub import event

# Bytes that are kept of what came before: more than the framing of a chunk and an event have.
_TAIL = 64


class StreamError(Exception):
    """The server did what it must not."""


class Stream(asyncio.Protocol):
    """Asks for *target* as soon as it is connected."""

    def __init__(self, port: int, target: str) -> None:
        self._request = f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
        self._transport: Any = None
        self._received = b""
        self._expected = event(0)
        self.came: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        """Done when the event that is expected has come: at first 0."""
        self._opened = time.monotonic_ns()
        self._closed = False
        self.first = 0
        """Nanoseconds from the making of this to the first event; 0: none yet."""
        self.arrived = 0
        """When the last event came, in nanoseconds of the monotonic clock."""

    def expect(self, number: int) -> asyncio.Future[int]:
        """Return what is done when event *number* has come, which must be the next. After the last one has come."""
        self._expected = event(number)
        self.came = asyncio.get_running_loop().create_future()
        return self.came

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        # The head and the framing of chunks have no "data: ".
        self._received += data
        at = self._received.find(b"data: ")
        if at < 0 or b"\n\n" not in self._received[at:]:
            return
        now = time.monotonic_ns()
        if not self._received.startswith(self._expected, at) or self._received.count(b"data: ") > 1:
            self._fail(f"expected the event {self._expected!r}, got {self._received[-_TAIL:]!r}")
            return
        self._received = b""
        self.arrived = now
        self.first = self.first or now - self._opened
        if not self.came.done():
            self.came.set_result(now)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._closed:
            self._fail(f"the server closed a stream after {self._received[-_TAIL:]!r}")

    def close(self) -> None:
        """Leave."""
        self._closed = True
        self._transport.abort()

    def _fail(self, reason: str) -> None:
        if not self.came.done():
            self.came.set_exception(StreamError(reason))

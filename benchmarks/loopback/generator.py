"""The load generator for machines without wrk. Knows no server.

``python -m benchmarks.loopback.generator PORT CONNECTIONS SECONDS`` prints responses per second.
Keep-alive, one request at a time on each connection, raw protocols, and just enough HTTP/1.1 to
find the end of a response.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from contextlib import suppress
from importlib import import_module
from typing import cast

REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)

# Seconds for the last responses to arrive after the measured time.
TAIL = 10.0


class LoadError(Exception):
    """The server did not answer as a benchmark can use it; the message says how."""


def complete(data: bytes) -> bool:
    """Tell whether *data* is a whole HTTP/1.1 response with status 200.

    Raises:
        LoadError: another status, or a response whose end only the end of the connection shows.
    """
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        return False
    if not head.startswith(b"HTTP/1.1 200"):
        raise LoadError(f"expected status 200, got {head[:40]!r}")
    length = LENGTH.search(head)
    if length:
        return len(body) >= int(length[1])
    if CHUNKED.search(head):
        # Exact for the short text bodies that are served here, which hold no such line themselves.
        return body.endswith(b"0\r\n\r\n")
    raise LoadError("a response with neither content-length nor chunks")


class _Connection(asyncio.Protocol):
    """Sends the next request as soon as a response is complete, until told to stop."""

    def __init__(self) -> None:
        self.responses = 0
        self.stopping = False
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._buffer = b""
        # Length of the last response. One of the same length is taken for complete without
        # a search: the same request gets the same answer, and searching would make this the slower side.
        self._usual = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if len(self._buffer) != self._usual or not self._buffer.startswith(b"HTTP/1.1 200"):
            try:
                if not complete(self._buffer):
                    return
            except LoadError as error:
                self._finish(error)
                return
            self._usual = len(self._buffer)
        self._buffer = b""
        self.responses += 1
        if self.stopping:
            self._finish(None)
        else:
            self._transport.write(REQUEST)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finish(LoadError(f"the server closed a connection: {exc or 'end of file'}"))

    def _finish(self, error: LoadError | None) -> None:
        if not self.done.done():
            if error is None:
                self.done.set_result(None)
            else:
                self.done.set_exception(error)
            self._transport.close()


async def generate(port: int, connections: int, seconds: float) -> float:
    """Keep one request under way on each connection for *seconds*; return responses per second.

    Raises:
        LoadError: a connection was closed, or a response was not a plain 200.
        TimeoutError: the last responses did not come.
    """
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    clients = [(await loop.create_connection(_Connection, "127.0.0.1", port))[1] for _ in range(connections)]
    ends = [client.done for client in clients]
    # Waits for the time to pass, unless a connection fails before that.
    await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_EXCEPTION)
    for client in clients:
        client.stopping = True
    await asyncio.wait_for(asyncio.gather(*ends), TAIL)
    return sum(client.responses for client in clients) / (time.perf_counter() - started)


def main() -> None:
    """Print the figure as the last line of standard output."""
    port, connections, seconds = sys.argv[1:]
    with suppress(ImportError):
        asyncio.set_event_loop_policy(import_module("uvloop").EventLoopPolicy())
    print(asyncio.run(generate(int(port), int(connections), float(seconds))))


if __name__ == "__main__":
    main()

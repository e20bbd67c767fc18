"""The smallest ASGI server there is: calls an application, keeps what it sends. Knows no contestant."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from benchmarks.protocols import AsgiApplication, Message, Scope

# What a browser sends behind a proxy, more or less.
HEADERS = [
    (b"host", b"example.org:8000"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    (b"accept", b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"cookie", b"session=5f2c7d0e1a; theme=dark"),
    (b"x-forwarded-for", b"192.0.2.17"),
    (b"x-forwarded-proto", b"https"),
]


@dataclass(frozen=True)
class Load:
    """What is asked of the application.

    Attributes:
        path: of every request.
        concurrency: requests under way at once.
        size: bytes that a correct response body has.
    """

    path: str
    concurrency: int
    size: int


class _Exchange:
    """receive and send of one request, as an idle client on a fast network would have them."""

    __slots__ = ("_asked", "messages")

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._asked = False

    async def receive(self) -> Message:
        if self._asked:
            # The client stays: whoever watches for a disconnect waits until it is cancelled.
            await asyncio.get_running_loop().create_future()
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(self, message: Message) -> None:
        self.messages.append(message)

    def check(self, size: int) -> None:
        """Raise RuntimeError unless a whole response of *size* bytes was sent."""
        start, *body = self.messages
        sent = sum(len(message.get("body", b"")) for message in body)
        last = not body[-1].get("more_body", False)
        if start.get("status") != 200 or sent != size or not last:
            raise RuntimeError(f"wrong response: {start!r}, {sent} of {size} bytes, complete: {last}")


def http_scope(path: str) -> Scope:
    """Return the scope of a GET as Uvicorn would build it."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 40123),
        "scheme": "http",
        "method": "GET",
        "root_path": "",
        "path": path,
        "raw_path": path.encode("ascii"),
        "query_string": b"",
        "headers": list(HEADERS),
        "state": {},
    }


async def drive(application: AsgiApplication, load: Load, seconds: float) -> float:
    """Keep *load.concurrency* requests under way for *seconds*.

    Returns:
        Responses per second. The tail, in which the last requests finish, is part of the time.

    Raises:
        RuntimeError: the last response of a task was not whole. The others are not looked at,
            since looking costs time that would be counted.
    """
    deadline = time.perf_counter() + seconds

    async def one_after_another() -> int:
        count = 0
        while True:
            exchange = _Exchange()
            await application(http_scope(load.path), exchange.receive, exchange.send)
            count += 1
            if time.perf_counter() >= deadline:
                exchange.check(load.size)
                return count

    started = time.perf_counter()
    counts = await asyncio.gather(*(one_after_another() for _ in range(load.concurrency)))
    return sum(counts) / (time.perf_counter() - started)

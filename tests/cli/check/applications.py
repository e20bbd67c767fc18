"""Applications that are right, and applications each of which is wrong in one way. Know nothing of bridge."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

PLAIN = [("Content-Type", "text/plain")]


def good(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [*PLAIN, ("Content-Length", "5"), ("X-Two", "1"), ("X-Two", "2")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"hello"]


def echoing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Repeat the identifier of the request, as many middlewares do."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Request-ID", environ["HTTP_X_REQUEST_ID"])])
    return [environ["HTTP_X_REQUEST_ID"].encode()]


async def respond(send: Any, body: bytes = b"hello", headers: Any = ((b"content-type", b"text/plain"),)) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def good_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await respond(send)


async def without_lifespan(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise ValueError(f"Django can only handle ASGI/HTTP connections, not {scope['type']}.")
    await respond(send)


def good_asgi_2(scope: Any) -> Any:
    async def instance(receive: Any, send: Any) -> None:
        await good_asgi(scope, receive, send)

    return instance


# -- WSGI -----------------------------------------------------------------------------------------------------


def too_short(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Declare more than there is."""
    start_response("200 OK", [*PLAIN, ("Content-Length", "100")])
    return [b"hello"]


def raising(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    raise RuntimeError("out of order")


def failing(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("503 Service Unavailable", PLAIN)
    return [b"sorry"]


def redirecting(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Forget the mount."""
    start_response("302 Found", [("Location", "/login")])
    return []


def behind_another(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Be answered differently by a server with threads."""
    start_response("200 OK", PLAIN)
    return [b"threads" if environ["wsgi.multithread"] else b"one"]


def hop_by_hop(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    start_response("200 OK", [*PLAIN, ("Keep-Alive", "timeout=5")])
    return [b"hello"]


def unlike_pep_3333(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Put into the headers what the validator refuses."""
    start_response("200 OK", [*PLAIN, ("X-Bad-", "1")])
    return [b"hello"]


class Mixing:
    """Keep the request where all threads find it: what one thread answers may be another one's."""

    def __init__(self) -> None:
        self.current = ""
        self.together = threading.Barrier(2)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.current = environ["HTTP_X_REQUEST_ID"]
        try:
            self.together.wait(0.01)  # for another thread that does the same, if there is one
        except threading.BrokenBarrierError:
            self.together.reset()
        body = [self.current.encode()]
        start_response("200 OK", [*PLAIN])
        return body


class Hanging:
    """Do not answer until the test ends."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        self.let_go.wait(60)
        return good(environ, start_response)


class Database:
    """Use a connection of the thread that made it."""

    def __init__(self) -> None:
        self.connection = sqlite3.connect(":memory:")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        (number,) = self.connection.execute("select 42").fetchone()
        start_response("200 OK", PLAIN)
        return [str(number).encode()]


def counting() -> Callable[..., list[bytes]]:
    """Answer each request differently."""
    numbers = itertools.count(1)

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        number = next(numbers)
        start_response("200 OK", [*PLAIN, ("ETag", f'"{number}"')])
        return [b"%05d" % number]

    return application


def endless(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
    start_response("200 OK", PLAIN)
    for _ in range(10_000_000):
        yield b"x" * 1000


class Streaming:
    """Make chunks, and count how often the response is closed."""

    def __init__(self) -> None:
        self.begun = self.closed = 0

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", PLAIN)
        self.begun += 1
        return _Chunks(self)


class _Chunks:
    def __init__(self, streaming: Streaming) -> None:
        self._streaming = streaming

    def __iter__(self) -> Iterator[bytes]:
        return iter([b"one", b"two", b"three"])

    def close(self) -> None:
        self._streaming.closed += 1


# -- ASGI -----------------------------------------------------------------------------------------------------


async def raising_asgi(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("out of order")


async def out_of_order(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.body", "body": b"hello"})


class Waiting:
    """Wait for what does not come, on one path; remember on others how often that was cancelled."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.remembered: set[int] = set()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and scope["path"] != "/wait":
            self.remembered.add(self.cancelled)
            await respond(send)
        elif scope["type"] == "http":
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                # Waits itself, as the closing of a connection does: whoever cancels has to wait for that.
                await asyncio.sleep(0)
                self.cancelled += 1
                raise


async def blocking(scope: Any, receive: Any, send: Any) -> None:
    """Compute on the event loop, for 0.03 s."""
    if scope["type"] == "http":
        end = time.perf_counter() + 0.03
        while time.perf_counter() < end:
            pass
        await respond(send)


kept: list[Any] = []  # a loop holds its tasks weakly


async def leaving_tasks(scope: Any, receive: Any, send: Any) -> None:
    """Leave a task behind that never ends."""
    if scope["type"] != "http":
        raise ValueError("no lifespan")
    kept.append(asyncio.create_task(asyncio.Event().wait()))
    await respond(send)


async def not_starting(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
    else:
        await respond(send)


async def not_stopping(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.failed", "message": "still busy"})
    else:
        await respond(send)


async def streaming_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        for chunk in (b"one", b"two"):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"three"})


async def endless_asgi(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while True:
            await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})

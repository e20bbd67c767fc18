"""bridge.stream() and bridge.wait() where no WsgiToAsgi calls the application: in the server's own thread."""

from __future__ import annotations

import contextvars
import logging
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import anyio
import anyio.lowlevel
import pytest

from bridge import ApplicationError, stream, wait
from tests.asgi import TIMEOUT, Application, Environ, StartResponse

_ROOT = Path(__file__).parents[2]

variable = contextvars.ContextVar("variable", default="unset")


async def of(*items: Any) -> AsyncIterator[Any]:
    """Give *items*, and the loop a turn before each."""
    for item in items:
        await anyio.lowlevel.checkpoint()
        yield item


def application(body: Any) -> Application:
    """Make an application of one response."""

    def answer(environ: Environ, start_response: StartResponse) -> Any:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return body

    return validator(answer)


def get(app: Application) -> list[bytes]:
    """Call *app* as a server does, and return the chunks."""
    environ: Environ = {"QUERY_STRING": ""}
    setup_testing_defaults(environ)
    body = app(environ, lambda status, headers, exc_info=None: lambda chunk: None)
    try:
        return list(body)
    finally:
        body.close()  # type: ignore[attr-defined]


def test_chunks_are_the_items() -> None:
    """Each by itself, without empty ones; wsgiref.validate finds nothing."""
    assert get(application(stream(of(b"a", "é", b"", b"z")))) == [b"a", "é".encode(), b"z"]


def test_chunk_is_given_before_the_next_is_asked_for() -> None:
    """It streams."""
    asked = []

    async def items() -> AsyncIterator[bytes]:
        for text in (b"a", b"b"):
            asked.append(text)
            yield text
            await anyio.sleep_forever()

    body = stream(items())
    assert (next(body), asked) == (b"a", [b"a"])
    body.close()


def test_log_says_why_the_thread_is_held(caplog: pytest.LogCaptureFixture) -> None:
    """Once a stream."""
    caplog.set_level(logging.DEBUG, "bridge")

    get(application(stream(of(b"a", b"b"))))

    assert [record.getMessage().split(":")[0] for record in caplog.records] == ["A stream holds its thread"]


def test_context_of_the_view_is_the_iterables() -> None:
    """What it sets does not leak."""
    seen = []

    async def items() -> AsyncIterator[bytes]:
        seen.append(variable.get())
        variable.set("of the iterable")
        yield b"a"

    token = variable.set("of the view")
    try:
        get(application(stream(items())))
        seen.append(variable.get())
    finally:
        variable.reset(token)

    assert seen == ["of the view", "of the view"]


@pytest.mark.parametrize("chunks", [0, 1])
def test_error_is_raised_from_the_iterable(chunks: int) -> None:
    """To the server, which answers 500 or cuts the response."""

    async def items() -> AsyncIterator[bytes]:
        for _ in range(chunks):
            yield b"a"
        raise LookupError

    body = stream(items())
    assert [next(body) for _ in range(chunks)] == [b"a"] * chunks
    with pytest.raises(LookupError):
        next(body)
    body.close()


def test_another_kind_of_item_is_an_error() -> None:
    """As behind WsgiToAsgi."""
    with pytest.raises(ApplicationError, match="gave int 1"):
        get(application(stream(of(1))))


def test_close_cancels_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers call it when a write finds the client gone; the iterable has ended when it returns."""
    monkeypatch.setattr("bridge.asgi_to_wsgi.exchange.DISCONNECT_GRACE", 3600.0)
    log = []

    async def items() -> AsyncIterator[bytes]:
        try:
            yield b"a"
            yield b"b"
            await anyio.sleep_forever()
        finally:
            log.append("ends")

    for chunks in (1, 2):
        body = stream(items())
        assert [next(body) for _ in range(chunks)] == [b"a", b"b"][:chunks]
        thread = threading.Thread(target=body.close)  # so that it may hang
        thread.start()
        thread.join(TIMEOUT)
        assert not thread.is_alive()

    assert log == ["ends", "ends"]


def test_stream_that_nobody_iterates_costs_nothing() -> None:
    """For HEAD, frameworks close it at once; it gives nothing afterwards."""
    body = stream(of(b"a"))
    body.close()

    assert list(body) == []


def test_ping_begins_the_response() -> None:
    """With a comment, as behind WsgiToAsgi."""
    assert b"".join(get(application(stream(of(b"a", b"b"), ping=60)))) == b":\n\nab"


@pytest.mark.parametrize(("value", "chunks"), [(b"a", [b"a"]), (None, [])])
def test_wait_gives_the_result(value: bytes | None, chunks: list[bytes]) -> None:
    """The thread waits, and the status stays: it has been given to the server."""

    async def result() -> bytes | None:
        await anyio.lowlevel.checkpoint()
        return value

    assert get(application(wait(result()))) == chunks


def test_wait_has_a_timeout() -> None:
    """The same as behind WsgiToAsgi."""

    async def never() -> bytes:
        await anyio.sleep_forever()
        return b""

    assert get(application(wait(never, timeout=0.001, default="late"))) == [b"late"]


SCRIPT = """
import importlib, sys, threading
library = sys.argv[1]
module = importlib.import_module("gevent.monkey" if library == "gevent" else "eventlet")
getattr(module, "patch_all" if library == "gevent" else "monkey_patch")()
import contextvars, time
import anyio
from bridge import stream

variable = contextvars.ContextVar("variable")

async def items(name):
    for number in range(3):
        await anyio.sleep(0)
        yield f"{name}{number}{variable.get()} "

def view(name):
    variable.set("!")
    results[name] = b"".join(stream(items(name)))

results = {}
greenlets = [threading.Thread(target=view, args=(name,)) for name in "abc"]
for greenlet in greenlets:
    greenlet.start()
for greenlet in greenlets:
    greenlet.join(10)
assert results == {name: b"".join(b"%s%d! " % (name.encode(), n) for n in range(3)) for name in "abc"}, results

# Here the loop runs in a real thread, so that the iterable is ahead when close() is called.
exchange = importlib.import_module("bridge.asgi_to_wsgi.exchange")
exchange.DISCONNECT_GRACE = 3600.0
log = []

async def waits():
    try:
        yield b"a"
        log.append("waits")
        await anyio.sleep_forever()
    finally:
        log.append("ends")

body = stream(waits())
assert next(body) == b"a"
while not log:
    time.sleep(0)
body.close()
assert log == ["waits", "ends"], log
"""


@pytest.mark.parametrize("library", ["gevent", "eventlet"])
def test_patched_process(library: str) -> None:
    """Streams of several greenlets run side by side, each in the context of its view, and are cancelled at once."""
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT, library],
        env={**os.environ, "PYTHONPATH": str(_ROOT), "EVENTLET_NO_GREENDNS": "yes"},
        capture_output=True,
        text=True,
        timeout=3 * TIMEOUT,
        check=False,
    )
    assert (ended.stderr, ended.returncode) == ("", 0)

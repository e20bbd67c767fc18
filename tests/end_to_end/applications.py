"""The WSGI applications that the end-to-end tests serve, one callable a path; run in the server's process.

Plain PEP 3333, so that nothing stands between the bridge and what is asserted. Below ``/flask`` is
``flask_application.py``.
"""

import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs
from wsgiref.util import shift_path_info
from wsgiref.validate import validator

import anyio.lowlevel

import bridge
from compat_matrix.apps.support import Wire

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

TIMEOUT = 10.0  # seconds, for every wait in here
PIECE = 65_536  # bytes

ROUTES: dict[str, "WSGIApplication"] = {}


def route(path: str) -> Callable[["WSGIApplication"], "WSGIApplication"]:
    """Serve the decorated application at *path*."""

    def register(app: "WSGIApplication") -> "WSGIApplication":
        ROUTES[path] = app
        return app

    return register


def parameter(environ: "WSGIEnvironment", name: str) -> str:
    """Return one value out of the query string."""
    query: str = environ["QUERY_STRING"]
    return parse_qs(query)[name][0]


def wire_of(environ: "WSGIEnvironment") -> Wire:
    """Connect to the test whose port is in the query string."""
    return Wire(parameter(environ, "wire"))


# ---- requests -------------------------------------------------------------------------------


def report(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Every string, number and truth value of environ, as JSON."""
    plain = {name: value for name, value in environ.items() if isinstance(value, (str, int, tuple))}
    body = json.dumps(plain).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


@route("/echo")
def echo(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """The body, read piece by piece up to CONTENT_LENGTH, as any PEP 3333 application may."""
    left = int(environ.get("CONTENT_LENGTH") or 0)
    body = bytearray()
    while left:
        chunk = environ["wsgi.input"].read(min(left, PIECE))
        if not chunk:
            break
        body += chunk
        left -= len(chunk)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [bytes(body)]


@route("/digest")
def digest(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Length and SHA-256 of the body, read to its end by size, and what environ says about it."""
    stream = environ["wsgi.input"]
    sha256 = hashlib.sha256()
    length = 0
    while chunk := stream.read(PIECE):
        sha256.update(chunk)
        length += len(chunk)
    facts = {
        "length": length,
        "sha256": sha256.hexdigest(),
        "CONTENT_LENGTH": environ.get("CONTENT_LENGTH"),
        "HTTP_TRANSFER_ENCODING": environ.get("HTTP_TRANSFER_ENCODING"),
    }
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(facts).encode()]


@route("/lines")
def lines(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """The body through readline(), readlines() and iteration, a third each."""
    stream = environ["wsgi.input"]
    facts = [stream.readline(), *stream.readlines(1), *stream]
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps([line.decode() for line in facts]).encode()]


@route("/asked-for")
def asked_for(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Read the body only when the test says so."""
    wire = wire_of(environ)
    wire.say("called")
    wire.wait_for("read")
    body = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    wire.close()
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    return [body]


@route("/refuses-body")
def refuses_body(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Answer without having read."""
    start_response("403 Forbidden", [("Content-Type", "text/plain"), ("Content-Length", "7")])
    return [b"refused"]


@route("/upload")
def upload(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Tell the test when the first bytes of the body were read and how reading ended."""
    wire = wire_of(environ)
    stream = environ["wsgi.input"]
    wire.say(f"first {len(stream.read(1))}")
    try:
        while stream.read(PIECE):
            pass
    except bridge.ClientDisconnected as error:
        wire.say(f"ClientDisconnected, an OSError: {isinstance(error, OSError)}")
        raise
    else:
        wire.say("end of body")
    finally:
        wire.close()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"complete"]


# ---- complete responses ---------------------------------------------------------------------


@route("/hello")
def hello(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Five bytes with their length declared."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


@route("/known")
def known(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Five bytes, the length left to the bridge."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hello"]


@route("/empty")
def empty(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """A response without a single chunk."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Seen", "yes")])
    return []


@route("/no-content")
def no_content(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    start_response("204 No Content", [("X-Seen", "yes")])
    return []


@route("/not-modified")
def not_modified(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    start_response("304 Not Modified", [("ETag", '"1"')])
    return []


@route("/repeated-headers")
def repeated_headers(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    start_response("200 OK", [("Set-Cookie", "a=1"), ("X-Latin", "caf\xe9"), ("Set-Cookie", "b=2")])
    return [b"hello"]


@route("/late-start")
def late_start(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    """A generator: start_response is called when the first chunk is asked for; empty chunks come first."""
    start_response("202 Accepted", [("Content-Type", "text/plain")])
    yield b""
    yield b"hello "
    yield b""
    yield b"world"


@route("/writes")
def writes(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """write() before the iterable; PEP 3333: all of it comes before any of the iterable."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"one ")
    write(b"two ")
    return [b"three ", b"four"]


@route("/replaced")
def replaced(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """start_response again with exc_info, before anything was sent: the second one counts."""
    start_response("200 OK", [("Content-Type", "text/html"), ("X-First", "yes")])
    try:
        raise LookupError("no such page")
    except LookupError:
        start_response("404 Not Found", [("Content-Type", "text/plain")], sys.exc_info())
    return [b"replaced"]


@route("/file")
def file(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """The file named in the query, through the server's file wrapper."""
    opened = Path(parameter(environ, "path")).open("rb")  # noqa: SIM115 (the wrapper closes it)
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened, PIECE)
    return wrapped


_meeting = threading.Barrier(8)


@route("/meets")
def meets(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Answer once eight exchanges run at the same time."""
    _meeting.wait(TIMEOUT)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"met"]


# ---- responses that take their time ---------------------------------------------------------


@route("/streams")
def streams(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    """The second chunk is not made before the test says so."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    wire = wire_of(environ)
    yield b"first "
    wire.say("first chunk taken")
    wire.wait_for("go on")
    wire.close()
    yield b"second"


@route("/streams-by-write")
def streams_by_write(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """As /streams, but by write()."""
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    wire = wire_of(environ)
    write(b"first ")
    wire.say("first chunk taken")
    wire.wait_for("go on")
    wire.close()
    write(b"second")
    return []


class Endless:
    """A body without an end that tells the test when it is closed, and how often."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._closed = 0
        self._thread = threading.get_ident()

    def __iter__(self) -> Iterator[bytes]:
        yield b"first"
        self._wire.wait_for("client left")
        while True:
            yield b"x" * 1024

    def close(self) -> None:
        self._closed += 1
        where = "same thread" if threading.get_ident() == self._thread else "other thread"
        self._wire.say(f"close {self._closed}, {where}")


@route("/endless")
def endless(environ: "WSGIEnvironment", start_response: "StartResponse") -> Endless:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return Endless(wire_of(environ))


@route("/endless-generator")
def endless_generator(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    wire = wire_of(environ)
    yield b"first"
    wire.wait_for("client left")
    try:
        while True:
            yield b"x" * 1024
    except GeneratorExit:
        wire.say("GeneratorExit")
        raise
    finally:
        wire.close()


@route("/endless-by-write")
def endless_by_write(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    wire = wire_of(environ)
    write(b"first")
    wire.wait_for("client left")
    try:
        while True:
            write(b"x" * 1024)
    except bridge.ClientDisconnected:
        wire.say("ClientDisconnected")
        raise
    finally:
        wire.close()


@route("/counted")
def counted(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    """A long body; the test is told how many bytes were handed over, chunk by chunk."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    wire = wire_of(environ)
    produced = 0
    for _ in range(int(parameter(environ, "chunks"))):
        produced += PIECE
        wire.say(str(produced))
        yield b"x" * PIECE
    wire.close()


# ---- applications that fail -----------------------------------------------------------------


@route("/fails-at-once")
def fails_at_once(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    raise ValueError("before start_response")


@route("/fails-after-start-response")
def fails_after_start_response(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    raise ValueError("before the first chunk")


@route("/fails-in-iteration")
def fails_in_iteration(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b""
    raise ValueError("before the first non-empty chunk")


@route("/exits")
def exits(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    raise SystemExit(3)


@route("/interrupts")
def interrupts(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    raise KeyboardInterrupt


@route("/breaks-off")
def breaks_off(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    """Fail after the test has got the first chunk, so the headers are out for certain."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    wire = wire_of(environ)
    yield b"first"
    wire.wait_for("fail")
    wire.close()
    raise ValueError("after the first chunk")


@route("/breaks-off-with-length")
def breaks_off_with_length(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    wire = wire_of(environ)
    yield b"first"
    wire.wait_for("fail")
    wire.close()
    raise ValueError("after the first chunk")


@route("/ends-early")
def ends_early(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    """No error, but fewer bytes than declared, which shows only after the headers are out."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "100")])
    wire = wire_of(environ)
    yield b"first"
    wire.wait_for("fail")
    wire.close()


@route("/breaks-off-with-exc-info")
def breaks_off_with_exc_info(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    """start_response with exc_info once headers are out has to raise exc_info (PEP 3333)."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    wire = wire_of(environ)
    yield b"first"
    wire.wait_for("fail")
    try:
        raise LookupError("after the first chunk")
    except LookupError:
        try:
            start_response("500 Oh", [], sys.exc_info())
        except LookupError:
            wire.say("raised")
            raise
        wire.say("not raised")
    finally:
        wire.close()


@route("/too-short")
def too_short(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "10")])
    return [b"hello"]


@route("/too-long")
def too_long(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello world"]


@route("/too-long-in-pieces")
def too_long_in_pieces(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterator[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    yield b"hel"
    yield b"lo wor"
    yield b"ld"


# ---- the server's event loop ----------------------------------------------------------------


async def where_am_i() -> str:
    await anyio.lowlevel.checkpoint()
    # Every ASGI server in the recipes runs its event loop in the main thread of its process.
    main = threading.current_thread() is threading.main_thread()
    return "main thread" if main else "other thread"


@route("/awaits")
def awaits(environ: "WSGIEnvironment", start_response: "StartResponse") -> list[bytes]:
    """Await something on the server's loop from a synchronous application."""
    before = threading.current_thread() is threading.main_thread()
    where = bridge.run_async(where_am_i)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({"application in main thread": before, "awaited in": where}).encode()]


# ---- what the servers are given -------------------------------------------------------------


def flask_mount(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """The Flask application, imported on first use: most servers that the tests start never see it."""
    from tests.end_to_end.flask_application import app

    return app.wsgi_app(environ, start_response)


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Hand the exchange to the application at this path; to ``report`` where there is none."""
    for mount, mounted in MOUNTS.items():
        if environ["PATH_INFO"].startswith(f"/{mount}/"):
            shift_path_info(environ)
            return mounted(environ, start_response)
    return ROUTES.get(environ["PATH_INFO"], report)(environ, start_response)


MOUNTS: dict[str, "WSGIApplication"] = {
    "flask": flask_mount,
    "validated": validator(application),
}

served: Any = bridge.WsgiToAsgi(application)

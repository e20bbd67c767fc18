"""Reading wsgi.input as each WSGI server needs it. Blocks its caller; knows no thread and no event loop."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, cast

from bridge.asgi_to_wsgi.chunked import ChunkDecoder
from bridge.errors import BadRequest, ClientDisconnected, LengthRequired, ServerError
from bridge.http import parse_content_length

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.protocols import Environ


class RequestBody:
    """One request body, in pieces. One thread at a time.

    Args:
        take: reads 1 to as many bytes as it is told, ``b""`` at the end of the input.
        length: bytes that the client declared, None when only the input knows. Never more than that are asked for:
            a raw socket would wait for ever.
        thread_bound: whether only the server's own thread may call ``read``.
        ends_with_headers: whether the server reads what is left itself when it sends the response's headers.
    """

    __slots__ = ("_complete", "_failure", "_received", "_take", "ends_with_headers", "length", "thread_bound")

    def __init__(
        self,
        take: Callable[[int], bytes | None],
        length: int | None = None,
        *,
        thread_bound: bool = False,
        ends_with_headers: bool = False,
    ) -> None:
        self.length = length
        self.thread_bound = thread_bound
        self.ends_with_headers = ends_with_headers
        self._take = take
        self._received = 0
        self._complete = length == 0
        self._failure = ""

    def read(self, size: int) -> bytes:
        """Return the next 1 to *size* bytes; ``b""`` once the body is complete, and on each later call.

        Blocks until the server has something. That is the next byte where the input offers ``read1`` (wsgiref,
        werkzeug with a length), and otherwise often the whole of *size*: Gunicorn waits for 1024 bytes at least,
        gevent, eventlet and cheroot for as many as they are asked for.

        On cheroot the body has to be read before the response starts: it throws away what is left of a body with
        ``Content-Length`` when it sends the headers, and this raises. Granian loses the whole of a body that ends
        early, and without a length that looks like an empty one: nothing tells the two apart.

        Raises:
            ClientDisconnected: the body ended early, now or in an earlier call, or an earlier call raised.
            ServerError: the input gave what no input may give.
            Exception: whatever else the input raises, unchanged.
        """
        if self._complete:
            return b""
        if self._failure:
            # A new one each time: the same exception raised twice would grow a traceback of both.
            raise ClientDisconnected(self._failure)
        if self.length is not None:
            size = min(size, self.length - self._received)
        # Taken back when the read was a good one. After an error eventlet and Gunicorn give b"", as if
        # the body were complete: whatever happened, nobody reads on.
        self._failure = "the request body cannot be read any more: an earlier read of it failed"
        try:
            piece = self._take(size)
        except Exception as error:
            # Each server has its own: OSError (gevent, uWSGI, werkzeug, Gunicorn's NoMoreData), ValueError (cheroot,
            # eventlet), EOFError (ChunkDecoder). For a chunk that ends early, or is malformed, Gunicorn
            # raises what it raises for a malformed head, and those share no base but Exception.
            early = isinstance(error, (OSError, EOFError, ValueError))
            if not early and type(error).__module__ != "gunicorn.http.errors":
                raise
            raise self._cut_short(f"{type(error).__name__}: {error}") from error
        if not piece:
            if piece is None:
                raise ServerError(
                    "wsgi.input.read() gives bytes (PEP 3333, 'Input and Error Streams'); it returned None"
                )
            if self.length is not None:
                raise self._cut_short("the input ended")
            self._complete = True
        elif len(piece) > size:
            raise ServerError(f"wsgi.input.read({size}) returned {len(piece)} bytes")
        self._received += len(piece)
        self._complete = self._complete or self._received == self.length
        self._failure = ""
        return piece

    def _cut_short(self, why: str) -> ClientDisconnected:
        of_length = "" if self.length is None else f" of {self.length}"
        self._failure = f"the request body ended after {self._received}{of_length} bytes ({why})"
        return ClientDisconnected(self._failure)


def open_body(environ: Environ) -> RequestBody | None:
    """Return the body of a request, or None when none can follow. Reads nothing yet.

    Raises:
        BadRequest: the declared length is no number, or wsgiref was sent a transfer coding other than ``chunked``.
        LengthRequired: the length is not declared, and nothing is known about where this server ends the input.

    Source: PEP 3333, "Input and Error Streams"; RFC 3875, 4.1.2; RFC 9112, 6.3; SERVERS.md 3.1.
    """
    if (
        "CONTENT_LENGTH" not in environ
        and "HTTP_TRANSFER_ENCODING" not in environ
        and environ.get("REQUEST_METHOD") in ("GET", "HEAD")
    ):
        return None  # most requests; what follows would find the same, later
    declared = environ.get("CONTENT_LENGTH") or ""
    coding = environ.get("HTTP_TRANSFER_ENCODING") or ""
    terminated = bool(environ.get("wsgi.input_terminated"))
    if not coding:
        if declared:
            return _declared_body(environ, declared)
        # HTTP/2 needs neither header for a body, so only reading shows whether there is one.
        if terminated and environ.get("REQUEST_METHOD") not in ("GET", "HEAD"):
            return RequestBody(_reader(environ["wsgi.input"]))
        return None

    # RFC 9112, 6.3: a transfer coding overrides the length; the server has taken it off, and says so.
    source = environ["wsgi.input"]
    if terminated or _ends_by_itself(environ, source):
        return RequestBody(_reader(source))
    if environ.get("SERVER_SOFTWARE", "").startswith("WSGIServer/"):
        # wsgiref hands out its socket, with the framing that came.
        if coding.strip().lower() != "chunked":
            raise BadRequest(f"the only transfer coding that is understood here is 'chunked'; got {coding!r}")
        return RequestBody(ChunkDecoder(source.readline, _reader(source)).read)
    # The module is there in every process that uWSGI runs, and only there.
    uwsgi: Any = sys.modules.get("uwsgi") if "uwsgi.version" in environ else None
    if declared and not (uwsgi is not None and _hears_clients(uwsgi)):
        # A front server that speaks CGI's terms (nginx with uwsgi_pass, fastcgi_pass or scgi_pass) has collected the
        # body, taken the coding off and set the length, and passes the header on all the same. RFC 3875, 4.1.2:
        # the length is that of the body after the server has removed any transfer coding.
        return _declared_body(environ, declared)
    if uwsgi is not None and hasattr(uwsgi, "chunked_read"):
        # wsgi.input is empty for such a body, or has its framing.
        return RequestBody(_Slicer(uwsgi.chunked_read).read, thread_bound=True)
    raise LengthRequired(
        "This server does not say where a request body without Content-Length ends, and reading on might never end. "
        "Send the request with Content-Length, or run the application on a server that sets wsgi.input_terminated."
    )


def _hears_clients(uwsgi: Any) -> bool:
    """Whether uWSGI itself speaks HTTP, on its only kind of socket: its body is as the client framed it."""
    options = set(getattr(uwsgi, "opt", ()))
    return bool(options & {"http-socket", "https-socket", "http11-socket"}) and not options & {
        *("socket", "uwsgi-socket", "http", "https", "scgi-socket", "fastcgi-socket"),
    }


def _declared_body(environ: Environ, declared: str) -> RequestBody | None:
    try:
        length = parse_content_length(declared)
    except ValueError as error:
        raise BadRequest(str(error)) from None
    if not length:
        return None
    source = environ["wsgi.input"]
    return RequestBody(_reader(source), length, ends_with_headers=type(source).__module__ == "cheroot.server")


def _ends_by_itself(environ: Environ, source: Any) -> bool:
    """Whether *source* ends with the body, on servers that do not set ``wsgi.input_terminated``."""
    if "eventlet.input" in environ:
        return True
    # Twisted collects the body, and gives it out through a class that can read and nothing else.
    if type(source).__module__ == "twisted.web.wsgi":
        return True
    # A socket cannot seek. What can holds the whole body: Gunicorn's tornado worker, the WSGI of Uvicorn
    # and Hypercorn, and any middleware that collects the body.
    seekable = getattr(source, "seekable", None)
    return seekable is not None and bool(seekable())


def _reader(source: Any) -> Callable[[int], bytes | None]:
    """Return the function that reads pieces of *source*: its ``read1`` if it has one that works, or its ``read``.

    ``read1`` gives what has arrived, ``read`` may wait until there is as much as it was asked for.
    """
    read: Callable[[int], bytes | None] = source.read
    # The class is asked: a middleware's wrapper, which limits or counts what is read, passes what it does not
    # know on to the input it wraps, and read1 is not among the methods that PEP 3333 tells it of.
    if not hasattr(cast("object", type(source)), "read1"):
        return read
    read1: Callable[[int], bytes | None] | None = source.read1

    def read_piece(size: int) -> bytes | None:
        nonlocal read1
        if read1 is not None:
            try:
                piece = read1(size)
            except (NotImplementedError, io.UnsupportedOperation):
                piece = None
            if piece is not None:
                return piece
            read1 = None  # there by inheritance only
        return read(size)

    return read_piece


class _Slicer:
    """Pieces as long as the server likes, handed on in shorter ones."""

    __slots__ = ("_next_piece", "_rest")

    def __init__(self, next_piece: Callable[[], bytes]) -> None:
        self._next_piece = next_piece
        self._rest = memoryview(b"")

    def read(self, size: int) -> bytes:
        rest = self._rest or memoryview(self._next_piece())
        self._rest = rest[size:]
        return bytes(rest[:size])

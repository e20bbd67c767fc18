"""The small applications that are measured, in WSGI and in ASGI. Knows no wrapper and no server."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

from benchmarks.protocols import Environ, Receive, Scope, Send, StartResponse

HELLO = b"Hello"
CHUNK = b"x" * 1024
CHUNKS = 100

# Bytes that the transfer application reads or yields at a time.
PIECE = 64 * 1024
# Digests made of each piece read. Receiving a piece took 0.1 ms, a digest 0.04 ms: with eight the
# application is clearly the slower side, and the read-ahead fills.
DIGESTS = 8


def hello(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer with five bytes and no declared length."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [HELLO]


def hundred_chunks(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Answer with 100 KiB from a generator, 1 KiB at a time."""
    start_response("200 OK", [("Content-Type", "application/octet-stream")])
    for _ in range(CHUNKS):
        yield CHUNK


def transfer(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Read a POST body slowly and answer with its length; answer a GET with ``QUERY_STRING`` bytes."""
    if environ["REQUEST_METHOD"] == "POST":
        answer = str(_read_slowly(environ)).encode()
        start_response("200 OK", [("Content-Length", str(len(answer)))])
        return [answer]
    size = int(environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Length", str(size))])
    return _pieces(size)


async def hello_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as ``hello`` does, in pure ASGI.

    The length is declared, as a bridge that knows it does, so that the same bytes leave.
    """
    _refuse_all_but_http(scope)
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(HELLO))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": HELLO})


async def hundred_chunks_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer as ``hundred_chunks`` does, in pure ASGI, with the empty message at the end that Starlette sends."""
    _refuse_all_but_http(scope)
    headers = [(b"content-type", b"application/octet-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(CHUNKS):
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def transfer_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Do what ``transfer`` does, in pure ASGI."""
    _refuse_all_but_http(scope)
    if scope["method"] == "POST":
        answer = str(await _receive_slowly(receive)).encode()
        await _start(send, len(answer))
        await send({"type": "http.response.body", "body": answer})
        return
    size = int(scope["query_string"])
    await _start(send, size)
    for piece in _pieces(size):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


def _refuse_all_but_http(scope: Scope) -> None:
    if scope["type"] != "http":
        raise ValueError(f"only http is served here, got {scope['type']!r}")


async def _start(send: Send, length: int) -> None:
    headers = [(b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


def _read_slowly(environ: Environ) -> int:
    body = environ["wsgi.input"]
    total = 0
    while piece := body.read(PIECE):
        total += len(piece)
        _digest(piece)
    return total


async def _receive_slowly(receive: Receive) -> int:
    total, more = 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError(f"the body ended after {total} bytes: {message!r}")
        piece = message.get("body", b"")
        total += len(piece)
        _digest(piece)
        more = message.get("more_body", False)
    return total


def _digest(piece: bytes) -> None:
    for _ in range(DIGESTS):
        hashlib.sha256(piece).digest()


def _pieces(size: int) -> Iterator[bytes]:
    whole, rest = divmod(size, PIECE)
    for _ in range(whole):
        # A new object each time, as a file or a database cursor gives: the same bytes
        # object again and again would hide an unbounded buffer from the measurement.
        yield bytes(PIECE)
    if rest:
        yield bytes(rest)

"""Bodies that take their time: what is sent arrives when it is sent, in both directions, and nothing waits for its end.

The application is held by its wire, so what arrives meanwhile was not held back: nothing here looks at a clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from select import select
from typing import Any

from compat_matrix.apps.support import pattern
from compat_matrix.checks.observe import asked
from compat_matrix.checks.registry import Failed, contract, expect, oracle
from compat_matrix.client import Incoming, RawClient
from compat_matrix.site import Site, head
from compat_matrix.wire import Wire

_STREAMS = 'PEP 3333, "Buffering and Streaming"; ASGI HTTP, "Response Body - send event"'
_UPLOADS = 'PEP 3333, "Input and Error Streams"; ASGI HTTP, "Request - receive event"'


def hear(site: Site, wire: Wire, *words: str) -> None:
    """Wait until the application has said each of *words*; fail if it says anything else, or nothing."""
    for expected in words:
        try:
            heard = wire.hear()
        except TimeoutError:
            raise Failed(f"the application did not say {expected!r} within {site.timeout:g} s") from None
        except (EOFError, ConnectionError):
            raise Failed(f"the application ended without having said {expected!r}") from None
        if heard != expected:
            raise Failed(f"the application said {heard!r}, not {expected!r}")


def begin(site: Site, client: RawClient, method: str = "GET") -> Incoming:
    """Wait for the head of a response, which has to be a success."""
    try:
        incoming = client.begin_response(method)
    except TimeoutError:
        raise Failed(f"no head of a response within {site.timeout:g} s") from None
    expect("status", incoming.response.status, 200)
    return incoming


def arrive(site: Site, incoming: Incoming, chunk: bytes) -> None:
    """Wait until the body has gone on by *chunk*."""
    try:
        came = incoming.read_until(chunk)
    except TimeoutError:
        raise Failed(f"{chunk!r} did not arrive within {site.timeout:g} s while the application waited") from None
    expect("what arrives", came, chunk)


def stream(site: Site, client: RawClient, wire: Wire) -> Incoming:
    """Ask for ``/stream``; return with its first chunk taken, while the application waits before its second."""
    client.get(f"/stream?wire={wire.port}")
    hear(site, wire, "called")
    incoming = begin(site, client)
    arrive(site, incoming, b"first\n")
    return incoming


def digest(pieces: Iterable[bytes]) -> tuple[int, str]:
    """Return size and SHA-256 without keeping what is digested."""
    size, sha256 = 0, hashlib.sha256()
    for piece in pieces:
        size += len(piece)
        sha256.update(piece)
    return size, sha256.hexdigest()


@contract("http.stream.first", _STREAMS)
def first(site: Site) -> None:
    """The first chunk arrives while the application waits before the second."""
    with site.wire() as wire, site.connect() as client:
        stream(site, client, wire)


@contract("http.stream.each", _STREAMS)
def each(site: Site) -> None:
    """Each later chunk arrives, too, before the application makes the next."""
    with site.wire() as wire, site.connect() as client:
        incoming = stream(site, client, wire)
        wire.tell("go on")
        arrive(site, incoming, b"second\n")
        wire.tell("go on")
        arrive(site, incoming, b"third\n")


@contract("http.stream.complete", f"{_STREAMS}; RFC 9112, 7.1")
def complete(site: Site) -> None:
    """A streamed body ends complete, every chunk in it once and in order, and the connection can go on."""
    with site.wire() as wire, site.connect() as client:
        incoming = stream(site, client, wire)
        wire.tell("go on\ngo on")
        expect("the rest", incoming.rest(), b"second\nthird\n")
        expect("complete", incoming.response.complete, True)
        followed(site, client, incoming)


@contract("http.stream.declared", _STREAMS, needs=("short",))
def declared(site: Site) -> None:
    """A body whose length is declared is not held back either."""
    with site.wire() as wire, site.connect() as client:
        client.get(f"/error/short?wire={wire.port}")
        incoming = begin(site, client)
        expect("Content-Length", incoming.response.all("content-length"), ["100"])
        arrive(site, incoming, b"first")


@contract(
    "http.stream.head",
    'RFC 9110, 9.3.2; PEP 3333, "Specification Details" (close())',
    ends_head=True,
    sends_bare_head=True,
)
def of_head(site: Site) -> None:
    """HEAD of a stream is answered at once, by a head and nothing else, and leaves no application running."""
    with site.wire() as wire, site.connect() as client:
        client.send(head("HEAD", f"/stream?wire={wire.port}"))
        incoming = begin(site, client, "HEAD")
        goes_on = "close" not in incoming.response.all("connection") and site.recipe.keep_alive
        if goes_on:
            client.get("/")
        # Frameworks differ in whether they begin with the body: either the line rings, or the answer is here.
        select([wire.fileno(), client.socket.fileno()], [], [], site.timeout)
        if wire.called():
            hear(site, wire, "called")
            wire.tell("go on\ngo on")
            hear(site, wire, "finally")
        if goes_on:
            expect("the next response", client.read_response().body, greeting(site))
        else:
            expect("the connection ends", client.ended(), True)


@oracle("http.events", 'HTML, 9.2 "Server-sent events"; ASGI HTTP, "Response Body - send event"')
def events(site: Site) -> Any:
    """A stream of server-sent events has the headers and the events that it has at home."""
    return asked(site, "GET", "/events")


@contract("http.events.one_by_one", f'{_STREAMS}; HTML, 9.2 "Server-sent events"')
def one_by_one(site: Site) -> None:
    """Each server-sent event arrives before the next is made; nothing invites anyone to hold them back."""
    with site.wire() as wire, site.connect() as client:
        client.get(f"/events?wire={wire.port}", "Accept: text/event-stream")
        incoming = begin(site, client)
        response = incoming.response
        expect("Content-Type", response.all("content-type")[0].partition(";")[0], "text/event-stream")
        expect("Cache-Control", response.all("cache-control"), ["no-cache"])
        expect("Content-Length", response.all("content-length"), [])
        for number, data in enumerate(("one", "two", "three"), 1):
            if number > 1:
                wire.tell("go on")
            expect("event", _event(site, incoming), {"id": str(number), "event": "tick", "data": data})
        expect("the rest", incoming.rest(), b"")
        expect("complete", response.complete, True)


_SIZE = 3_000_001  # bytes; neither a multiple of a chunk nor of a buffer


@contract("http.download", "RFC 9112, 6.3")
def download(site: Site) -> None:
    """A streamed download of unknown length arrives whole and as it was made."""
    _download(site, f"/download?size={_SIZE}")


@contract("http.download.declared", "RFC 9110, 8.6; RFC 9112, 6.3")
def download_declared(site: Site) -> None:
    """A streamed download keeps the Content-Length that the application has given, and arrives whole."""
    expect("Content-Length", _download(site, f"/download/declared?size={_SIZE}"), [str(_SIZE)])


def _download(site: Site, target: str) -> list[str]:
    """Check a download; return its Content-Length."""
    with site.connect() as client:
        client.get(target)
        incoming = begin(site, client)
        expect("size and SHA-256", digest(incoming.pieces), digest(pattern(_SIZE)))
        expect("complete", incoming.response.complete, True)
        followed(site, client, incoming)
        return incoming.response.all("content-length")


_HALF = 200_000  # bytes; more than any buffer that an application's first read has to fill


@contract("http.upload.streamed", _UPLOADS, needs=("streamed upload",), streams_body=True)
def upload(site: Site) -> None:
    """An application reads the beginning of an upload before the client has sent its end."""
    with site.wire() as wire, site.connect() as client:
        client.send(head("POST", f"/upload/watch?wire={wire.port}", length=2 * _HALF) + b"x" * _HALF)
        hear(site, wire, "called", "first")
        client.send(b"y" * _HALF)
        hear(site, wire, "end")
        _uploaded(client.read_response().json(), b"x" * _HALF + b"y" * _HALF)


@contract("http.upload.watched", _UPLOADS)
def watched(site: Site) -> None:
    """An upload that comes slowly, in two halves and a chunk at a time, is whole for the application."""
    body = b"x" * _HALF + b"y" * _HALF
    with site.wire() as wire, site.connect() as client:
        client.send(head("POST", f"/upload/watch?wire={wire.port}", "Transfer-Encoding: chunked"))
        client.send(_chunk(body[:_HALF]))
        client.send(_chunk(body[_HALF:]) + b"0\r\n\r\n")
        hear(site, wire, "called", "first", "end")
        _uploaded(client.read_response().json(), body)


@contract("http.expect.continue", "RFC 9110, 10.1.1")
def expect_continue(site: Site) -> None:
    """A client that asks with Expect: 100-continue whether to send its body is told to, and its body is taken."""
    with site.connect() as client:
        client.send(head("POST", "/upload", "Expect: 100-continue", length=5))
        if site.recipe.sends_continue:
            expect("status before the body", client.read_response().status, 100)
        client.send(b"hello")
        response = client.read_response()
        while response.status == 100:
            response = client.read_response()
        _uploaded(response.json(), b"hello")


@contract("http.expect.unawaited", "RFC 9110, 10.1.1")
def expect_unawaited(site: Site) -> None:
    """A client need not wait for the 100 it has asked for: a body that comes at once is taken as well."""
    _uploaded(site.ask("POST", "/upload", "Expect: 100-continue", body=b"hello").json(), b"hello")


@contract("http.expect.refused", "RFC 9110, 10.1.1", needs=("early answer",))
def expect_refused(site: Site) -> None:
    """An application that answers without having read the body is heard by a client that holds it back until told."""
    with site.connect() as client:
        client.send(head("POST", "/ignore", "Expect: 100-continue", length=5))
        response = client.read_response()
        if response.status == 100:
            # ASGI frameworks ask for the body by themselves, to hear of a client that leaves.
            unasked = site.recipe.lazy_continue and site.app.interface == "wsgi"
            expect("100 is sent although nobody has asked for the body", unasked, False)
            client.send(b"hello")
            while response.status == 100:
                response = client.read_response()
        expect("status and body", (response.status, response.body), (403, b"ignored"))


def greeting(site: Site) -> bytes:
    """Return the body of ``GET /``."""
    return f"Hello from {site.app.title}\n".encode()


def followed(site: Site, client: RawClient, incoming: Incoming) -> None:
    """Check that a response is followed by the next, or by the connection's end where that may be."""
    if "close" in incoming.response.all("connection") or not site.recipe.keep_alive:
        expect("the connection ends", client.ended(), True)
        return
    client.get("/")
    expect("the next response", client.read_response().body, greeting(site))


def _event(site: Site, incoming: Incoming) -> dict[str, str]:
    """Wait for an event; return its fields, whose order is the framework's, as are the ends of its lines."""
    fields: dict[str, str] = {}
    try:
        while (line := incoming.read_until(b"\n").decode().rstrip("\r\n")) or not fields:
            name, _, value = line.partition(":")
            if name:  # else it is a comment
                fields[name] = value.removeprefix(" ")
    except TimeoutError:
        raise Failed(f"no event within {site.timeout:g} s while the application waited; so far {fields}") from None
    return fields


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _uploaded(answer: Any, body: bytes) -> None:
    expect("what the application has read", answer, {"size": len(body), "sha256": hashlib.sha256(body).hexdigest()})

"""What only an application without a framework can say or do: each interface's own rules, past every framework."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from select import select
from typing import Any

from compat_matrix.apps.raw import CHUNKS, LATIN1, ODD_BODY, ODD_HEADERS, ODD_STATUS
from compat_matrix.apps.support import pattern
from compat_matrix.checks.answers import ask_chunked, chunked, expect_bytes, listed, still_serves, told, whole
from compat_matrix.checks.backpressure import comes_to_rest, expect_bounded
from compat_matrix.checks.failures import fail, wait_for_traceback
from compat_matrix.checks.registry import Failed, NotApplicable, contract, expect
from compat_matrix.checks.streaming import arrive, begin, digest, hear
from compat_matrix.client import RawClient
from compat_matrix.site import Site, head

_MIB = 1024 * 1024  # bytes
_UPLOAD = 64 * _MIB
_TAKEN = 32 * _MIB  # bytes that may be on their way to an application that does not read: kernel buffers are megabytes

_REQUESTS = 4  # so that where there are two processes, one has several

_START_RESPONSE = 'PEP 3333, "The start_response() Callable"'
_STATE = 'ASGI lifespan, "Lifespan State"'


@contract("raw.right", "RFC 9110, 15.3.1 and 15.5.5", raw=True)
def right(site: Site) -> None:
    """What is there is answered with 200, what is not with 404."""
    still_serves(site)
    expect("json", told(site, "GET", "/json"), {"framework": site.app.title, "ok": True})
    expect("missing", whole(site.get("/missing"), 404).body, b"not found")


# -- the request ------------------------------------------------------------------------------------------------------


@contract(
    "raw.server",
    "PEP 3333, environ Variables: SERVER_NAME, SERVER_PORT; ASGI HTTP specification: server",
    raw=True,
)
def server(site: Site) -> None:
    """The server's name and port are those of the address that was connected to, whatever Host says."""
    about = told(site, "GET", "/server")
    expect("port", about["port"], str(site.running.port))
    if site.recipe.interface == "asgi":
        expect("name", about["name"], site.running.host)
    elif not about["name"]:
        raise Failed("the name is empty")


@contract(
    "raw.version",
    "RFC 3875, 4.1.16; PEP 3333, environ Variables: SERVER_PROTOCOL; ASGI HTTP specification: http_version",
    raw=True,
    tells_version=True,
)
def version(site: Site) -> None:
    """The protocol's version is that of the request, 1.0 or 1.1."""
    for sent in ("1.0", "1.1"):
        with site.connect() as client:
            client.send(f"GET /server HTTP/{sent}\r\nHost: test\r\n\r\n".encode())
            about = whole(client.read_response()).json()
        expect("protocol and version", (about["protocol"], about["version"]), ("HTTP", sent))


@contract("raw.input.lines", 'PEP 3333, "Input and Error Streams"', interface="wsgi", raw=True, reads_lines=True)
def input_lines(site: Site) -> None:
    """wsgi.input is read by bytes, by lines and by iterating, in turns, and ends where the body does."""
    body = b"one\ntwo\nthree\r\nfour\nfive\nsix"
    expected = {
        "read of nothing": [""],
        "readline": ["one\n", "two\n"],
        "read": ["thr"],
        "iteration": ["ee\r\n"],
        "readlines": ["four\n", "five\n", "six"],
        "after the end": ["", "", ""],
    }
    expect("what was read", told(site, "POST", "/lines", body=body), expected)
    if site.bridged or site.recipe.chunked_input == "terminated":
        read = whole(ask_chunked(site, "POST", "/lines", chunked(body, 5))).json()
        expect("what was read of chunks", read, expected)


@contract("raw.receive", 'ASGI HTTP, "Disconnect - receive event"', interface="asgi", raw=True)
def receive(site: Site) -> None:
    """After a request's last message receive() gives nothing while the client is there, then http.disconnect."""
    for body in (b"", b"hello"):
        with site.wire() as wire, site.connect() as client:
            client.send(head("POST", f"/receive?wire={wire.port}", length=len(body)) + body)
            incoming = begin(site, client)
            arrive(site, incoming, b"%d\n" % len(body))
            if site.recipe.concurrent:  # time in which a hasty message would come
                still_serves(site)
            expect("what was received meanwhile", wire.heard_so_far(), [])
            wire.tell("go on")
            expect("the rest", incoming.rest(), b"end\n")
            hear(site, wire, "http.disconnect")


@contract(
    "raw.upload.held",
    'PEP 3333, "Input and Error Streams"; ASGI HTTP, "Request - receive event"',
    raw=True,
    streams_body=True,
    body_in_memory=False,
)
def upload_held(site: Site) -> None:
    """An upload that its application does not read is held back at the client, not collected; later it is whole."""
    pieces = pattern(_UPLOAD)
    with site.wire() as wire, site.connect() as client:
        before = site.memory()
        client.send(head("POST", f"/upload/held?wire={wire.port}", length=_UPLOAD))
        for piece in islice(pieces, 4):  # more than any buffer that an application's first read has to fill
            client.send(piece)
        hear(site, wire, "called", "first")
        stuck = _send_until_stuck(site, client, pieces)
        expect_bounded(site.memory() - before)
        wire.tell("go on")
        client.send(stuck)
        for piece in pieces:
            client.send(piece)
        size, sha256 = digest(pattern(_UPLOAD))
        expect("what the application has read", whole(client.read_response()).json(), {"size": size, "sha256": sha256})


# -- the response -----------------------------------------------------------------------------------------------------


@contract("raw.headers.odd", "RFC 9110, 5.1, 5.3, 8.4, 10.2.3 and 11.6.1", raw=True)
def odd_headers(site: Site) -> None:
    """Headers that an adapter has no business with arrive as they are, and so does an encoded body."""
    response = whole(site.get("/headers/odd"), ODD_STATUS)
    for name in dict.fromkeys(name.lower() for name, _ in ODD_HEADERS):
        values = [value for one, value in ODD_HEADERS if one.lower() == name]
        expect(name, listed(response.all(name)), listed(values))
    expect_bytes("body", response.body, ODD_BODY)


@contract("raw.headers.latin1", "RFC 9110, 5.5: obs-text; PEP 3333, Unicode Issues", raw=True, sends_header_bytes=True)
def latin1_headers(site: Site) -> None:
    """A value keeps its bytes that are no ASCII."""
    expect("x-latin", whole(site.get("/headers/latin1")).all("x-latin"), [LATIN1])


@contract("raw.headers.empty", "RFC 9110, 5.5", raw=True)
def empty_headers(site: Site) -> None:
    """A header without a value is sent as such."""
    response = whole(site.get("/headers/empty"))
    expect("x-empty and x-after", (response.all("x-empty"), response.all("x-after")), ([""], ["1"]))


@contract("raw.chunks.empty", 'PEP 3333, "Buffering and Streaming"; ASGI HTTP, "Response Body - send event"', raw=True)
def empty_chunks(site: Site) -> None:
    """Chunks of no bytes, also the first, neither end a body nor add to it."""
    expect_bytes("body", whole(site.get("/chunks")).body, b"".join(CHUNKS))


@contract("raw.write", 'PEP 3333, "The write() Callable"', interface="wsgi", raw=True, has_write=True)
def write(site: Site) -> None:
    """What is written by write() comes first, and what is iterated follows."""
    expect("body", whole(site.get("/write")).body, b"one two three")


@contract("raw.exc_info", _START_RESPONSE, interface="wsgi", raw=True, replaces_headers=True)
def exc_info(site: Site) -> None:
    """With exc_info, headers that are not sent yet are replaced."""
    response = whole(site.get("/exc_info"), 500)
    expect("x-first and x-second", (response.all("x-first"), response.all("x-second")), ([], ["2"]))
    expect("body", response.body, b"replaced")


@contract("raw.exc_info.late", _START_RESPONSE, interface="wsgi", raw=True, has_write=True, raises_exc_info=True)
def late_exc_info(site: Site) -> None:
    """With exc_info, once headers are sent, start_response raises the exception that it was given."""
    expect("body", whole(site.get("/exc_info/late")).body, b"sent, raised")


@contract("raw.failure", 'PEP 3333, "Error Handling"; RFC 9110, 15.6.1', raw=True)
def failure(site: Site) -> None:
    """An exception that no framework has caught is a 500, is not told to the client, and its traceback is logged."""
    after = len(site.running.log())
    response = fail(site, "/error/raw")
    if response is not None:
        expect("status", response.status, 500)
        expect("what the client hears", b"straight from" in response.body, False)
    wait_for_traceback(site, after, "straight from the callable")
    still_serves(site)


# -- lifespan ---------------------------------------------------------------------------------------------------------


@contract("raw.lifespan.once", 'ASGI lifespan, "Startup - receive event"', interface="asgi", raw=True)
def started_once(site: Site) -> None:
    """In each process startup comes before the first request, and never again."""
    # Shutdown is after the last request, so no check can ask about it; tests/on_wsgi_servers does.
    for _ in range(_REQUESTS):
        about = _state(site)
        expect("what has happened in the process", about["events"], ["lifespan.startup", "http"])
        expect("process of the startup", about["process"], about["here"])


@contract("raw.lifespan.state", _STATE, interface="asgi", raw=True)
def state(site: Site) -> None:
    """Each request has a copy of the state of its own, and in it the same objects."""
    for _ in range(_REQUESTS):
        about = _state(site)
        expect("the state has the object that startup has put there", about["shared"], True)
        expect("the state has what another request has put there", about["of another request"], False)


# -- helpers ----------------------------------------------------------------------------------------------------------


def _state(site: Site) -> Any:
    if not site.bridged and not site.recipe.lifespan:
        raise NotApplicable(f"{site.recipe.name} knows no lifespan")
    return told(site, "GET", "/state")


def _send_until_stuck(site: Site, client: RawClient, pieces: Iterator[bytes]) -> bytes:
    """Send pieces until nobody takes any more; return what is left of the one that got stuck."""
    sent = 0
    for piece in pieces:
        left = memoryview(piece)
        while left:
            if not _takes_more(client):
                comes_to_rest(site)  # else the server may only have had no time
                if not _takes_more(client):
                    return bytes(left)
            # Not client.send(): it would wait until all is gone.
            size = client.socket.send(left)
            sent, left = sent + size, left[size:]
        if sent > _TAKEN:
            raise Failed(f"an application has read the beginning of an upload, and the server takes {sent} bytes more")
    raise Failed("the upload went out before the application had read it")


def _takes_more(client: RawClient) -> bool:
    return bool(select([], [client.socket], [], 0)[1])

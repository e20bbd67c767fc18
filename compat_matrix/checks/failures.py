"""What breaks: applications that fail, uploads that are cut off, old clients. Nothing broken may look whole."""

from __future__ import annotations

import re

from compat_matrix.checks.answers import patterned
from compat_matrix.checks.registry import Failed, contract, expect
from compat_matrix.checks.streaming import arrive, begin, greeting, hear
from compat_matrix.client import Response
from compat_matrix.servers import ServerFailedError
from compat_matrix.site import Site, head

_TRUNCATED = "RFC 9112, 8"
_ERRORS = 'PEP 3333, "Error Handling"; RFC 9110, 15.6.1'


@contract("http.failure.before", _ERRORS)
def before(site: Site) -> None:
    """An application that fails before its response begins is answered with 500, and the server goes on."""
    _answered_as_failure(site)
    expect("the next response", site.get("/").body, greeting(site))


@contract("http.failure.private", "RFC 9110, 15.6.1 and 17.11")
def private(site: Site) -> None:
    """What went wrong in the application is not told to the client."""
    answer = fail(site)
    if answer is not None:
        expect("what the client hears", b"before the response" in answer.body, False)


@contract("http.failure.logged", 'PEP 3333, "Error Handling"')
def logged(site: Site) -> None:
    """An application that fails before its response begins leaves its traceback in the server's log."""
    after = len(site.running.log())
    fail(site)
    wait_for_traceback(site, after, "before the response")


@contract("http.response.truncated", _TRUNCATED, frames_body=True, cuts_failed_response=True)
def truncated(site: Site) -> None:
    """A response whose application fails after its first chunk never looks complete to the client, and ends."""
    response = _broken_off(site, "/error/after")
    expect("body", response.body, b"first")
    expect("complete", response.complete, False)


@contract("http.response.truncated.logged", 'PEP 3333, "Error Handling"', survives_failed_response=True)
def truncated_logged(site: Site) -> None:
    """An application that fails after its first chunk leaves its traceback in the server's log."""
    after = len(site.running.log())
    _broken_off(site, "/error/after")
    wait_for_traceback(site, after, "after the first chunk")


@contract(
    "http.response.short",
    f'{_TRUNCATED}; PEP 3333, "Handling the Content-Length Header"',
    needs=("short",),
    survives_failed_response=True,
)
def short(site: Site) -> None:
    """A response that ends before its Content-Length is cut at once: no client waits for what never comes."""
    response = _broken_off(site, "/error/short")
    expect("body", response.body, b"first")
    expect("complete", response.complete, False)


@contract("http.failure.next", _ERRORS, survives_failed_response=True)
def next_one(site: Site) -> None:
    """One response that broke off keeps no later failure from being answered, nor any other request."""
    _broken_off(site, "/error/after")
    _answered_as_failure(site)
    expect("the next response", site.get("/").body, greeting(site))


_CUT = f'{_TRUNCATED}; PEP 3333, "Input and Error Streams"; ASGI HTTP, "Disconnect - receive event"'
_SENT = b"x" * 200_000
_CHUNK = b"%x\r\n%s\r\n" % (len(_SENT), _SENT)


@contract("http.upload.cut", _CUT)
def cut(site: Site) -> None:
    """An upload that ends before its Content-Length never reads as a complete one."""
    _cut_off(site, f"Content-Length: {5 * len(_SENT)}", _SENT, collected=_collects(site))


@contract("http.upload.cut.chunked", f"{_CUT}; RFC 9112, 7.1")
def cut_chunked(site: Site) -> None:
    """A chunked upload that ends between two chunks never reads as a complete one."""
    _cut_off(site, "Transfer-Encoding: chunked", _CHUNK, collected=_collects_chunks(site))


@contract("http.upload.cut.in_chunk", f"{_CUT}; RFC 9112, 7.1", survives_cut_chunk=True)
def cut_in_chunk(site: Site) -> None:
    """A chunked upload that ends in the middle of a chunk never reads as a complete one."""
    _cut_off(site, "Transfer-Encoding: chunked", _CHUNK + b"ffff\r\nxx", collected=_collects_chunks(site))


@contract("http.version.1_0", "RFC 9110, 2.5; RFC 9112, 9.3")
def version_1_0(site: Site) -> None:
    """A client that speaks HTTP/1.0 gets its answer, and then the end of the connection."""
    with site.connect() as client:
        client.send(b"GET / HTTP/1.0\r\nHost: test\r\n\r\n")
        response = client.read_response()
        expect("status and body", (response.status, response.body), (200, greeting(site)))
        expect("Transfer-Encoding", response.all("transfer-encoding"), [])
        expect("the connection ends", client.ended(), True)


@contract("http.version.1_0.stream", "RFC 9112, 6.1 and 6.3", speaks_http10=True)
def version_1_0_stream(site: Site) -> None:
    """A body of unknown length is not chunked for a client that speaks HTTP/1.0: the connection's end is its end."""
    with site.connect() as client:
        client.send(b"GET /download?size=200000 HTTP/1.0\r\nHost: test\r\n\r\n")
        response = client.read_response()
        expect("Transfer-Encoding", response.all("transfer-encoding"), [])
        expect("status and size", (response.status, len(response.body), response.complete), (200, 200_000, True))
        expect("the connection ends", client.ended(), True)


@contract("http.keep_alive", "RFC 9112, 9.3", keep_alive=True)
def keep_alive(site: Site) -> None:
    """One connection serves several requests, uploads among them."""
    with site.connect() as client:
        for request in (head("GET", "/"), head("POST", "/upload", length=5) + b"hello", head("GET", "/json")):
            client.send(request)
            response = client.read_response()
            expect("status", response.status, 200)
            expect("the connection goes on", "close" in response.all("connection"), False)
        client.get("/")
        expect("the last response", client.read_response().body, greeting(site))


@contract("http.pipelining", "RFC 9112, 9.3.2", keep_alive=True)
def pipelining(site: Site) -> None:
    """Requests that are sent without waiting are answered, each by its own response, in their order."""
    with site.connect() as client:
        client.send(
            head("GET", "/paths/one")
            + (head("POST", "/upload", length=5) + b"hello")
            + head("GET", "/")
            + head("GET", "/download?size=9")  # the last: some servers serve nothing more after an unknown length
        )
        responses = [client.read_response() for _ in range(4)]
        expect("statuses", [response.status for response in responses], [200] * 4)
        expect("first", responses[0].json(), {"rest": "one"})
        expect("second", responses[1].json()["size"], 5)
        expect("third", responses[2].body, greeting(site))
        expect("fourth", responses[3].body, patterned(9))


def fail(site: Site, target: str = "/error/before") -> Response | None:
    """Ask for what fails; None where the server closes the connection instead of answering."""
    try:
        return site.get(target)
    except EOFError:
        expect("a failure is answered", site.recipe.answers_failure, False)
        return None


def _answered_as_failure(site: Site) -> None:
    response = fail(site)
    if response is not None:
        expect("status", response.status, 500)


def _broken_off(site: Site, target: str) -> Response:
    """Let an application fail after its first chunk; return what the client has then."""
    with site.wire() as wire, site.connect() as client:
        client.get(f"{target}?wire={wire.port}")
        incoming = begin(site, client)
        arrive(site, incoming, b"first")
        wire.tell("fail")
        try:
            rest = incoming.rest()
        except TimeoutError:
            raise Failed(f"the response neither went on nor ended within {site.timeout:g} s of the failure") from None
        incoming.response.body = b"first" + rest
        return incoming.response


def wait_for_traceback(site: Site, after: int, message: str) -> None:
    """Wait for the traceback of a ``RuntimeError``; *after* is how much of the log was there before."""
    pattern = re.compile(rf"Traceback \(most recent call last\)(?s:.*)RuntimeError: {message}")
    try:
        site.running.wait_for_log(pattern, after=after, timeout=site.timeout)
    except ServerFailedError:
        raise Failed(f"no traceback with {message!r} in the log within {site.timeout:g} s") from None


def _collects(site: Site) -> bool:
    """Whether server or framework collect a body before the application is called."""
    return not site.recipe.streams_body or "streamed upload" in site.app.lacks


def _collects_chunks(site: Site) -> bool:
    """Whether somebody may collect a chunked body before the application is called.

    PEP 3333 knows a body by its Content-Length only, so an adapter for WSGI applications may have to. One that is the
    same as another is such an application in ASGI form.
    """
    return _collects(site) or (site.bridged and site.app.interface == "wsgi") or site.app.same_as is not None


def _cut_off(site: Site, header_line: str, beginning: bytes, *, collected: bool) -> None:
    """Leave in the middle of an upload: the application hears of it, or is not called at all if *collected*."""
    with site.wire() as wire:
        with site.connect() as client:
            client.send(head("POST", f"/upload/watch?wire={wire.port}", header_line) + beginning)
            if not collected:
                hear(site, wire, "called", "first")
        # These requests come after the end of that connection, and are served after it.
        for _ in range(5):
            expect("the next response", site.get("/").body, greeting(site))
        if collected and not wire.called():
            return
        try:
            word = wire.hear()
            while word in ("called", "first"):
                word = wire.hear()
        except TimeoutError:
            raise Failed(f"the application did not hear of the end within {site.timeout:g} s") from None
        expect("the upload, for the application, comes to", word, "cut")

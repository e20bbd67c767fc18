"""What several checks do with an answer: insist that it is one, take it apart. Registers no check."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import urljoin

from compat_matrix.apps.support import pattern
from compat_matrix.checks.registry import Failed, NotApplicable, expect
from compat_matrix.client import Response
from compat_matrix.site import Site, head


def whole(response: Response, status: int = 200) -> Response:
    """Return *response* if it has this status and came to its end; else raise ``Failed``."""
    if response.status != status:
        raise Failed(f"status: expected {status}, got {response.status} with {response.body[:200]!r}")
    expect("the response is complete", response.complete, True)
    return response


def told(site: Site, method: str, target: str, *header_lines: str, body: bytes = b"") -> Any:
    """Make one request and return what the JSON of its answer says."""
    return whole(site.ask(method, target, *header_lines, body=body)).json()


def header(echo: dict[str, Any], name: str) -> list[str]:
    """Return the values that ``/echo`` has seen of a request's header."""
    return [value for one, value in echo["headers"] if one == name]


def listed(values: Iterable[str]) -> list[str]:
    """Take apart the values of a header that is a list.

    RFC 9110, 5.3: whoever is on the way may join the lines of a header by a comma and any space, WSGI has to.
    """
    return [part.strip() for part in ",".join(values).split(",")]


def chunked(body: bytes, size: int = 65_536, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """Frame *body* in chunks of *size* bytes: RFC 9112, 7.1.

    Args:
        body: what is framed.
        size: of each chunk but the last.
        extension: put after each chunk's size, with its semicolon.
        trailer: field lines after the last chunk, each with its line end.
    """
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    framed = b"".join(b"%x%s\r\n%s\r\n" % (len(part), extension, part) for part in parts)
    return framed + b"0%s\r\n%s\r\n" % (extension, trailer)


def ask_chunked(site: Site, method: str, target: str, framed: bytes, *header_lines: str) -> Response:
    """Make one request whose body is framed already."""
    with site.connect() as client:
        client.send(head(method, target, "Transfer-Encoding: chunked", *header_lines) + framed)
        response = client.read_response(method)
        while 100 <= response.status < 200:
            response = client.read_response(method)
        return response


def ask_bare(site: Site, method: str, target: str, *header_lines: str) -> Response:
    """Make one request whose answer has to end with its header section; raise ``Failed`` if more comes."""
    with site.connect() as client:
        client.send(head(method, target, "Connection: close", *header_lines))
        response = client.read_response(method)
        expect(f"{method} {target}: nothing follows the header section", client.ended(), True)
    return response


def expect_bytes(name: str, got: bytes, expected: bytes) -> None:
    """Raise ``Failed`` unless the two are equal; says where they part, not what they are."""
    if got == expected:
        return
    at = next((at for at, (one, other) in enumerate(zip(got, expected, strict=False)) if one != other), None)
    if at is None:
        at = min(len(got), len(expected))
    raise Failed(
        f"{name}: expected {len(expected)} bytes, got {len(got)}; from byte {at} on"
        f" {expected[at : at + 20]!r} was expected, {got[at : at + 20]!r} came"
    )


def patterned(size: int) -> bytes:
    """Return what ``/download?size=<size>`` has to send."""
    return b"".join(pattern(size))


def resolved(response: Response, target: str, host: str = "test") -> str:
    """Return where a redirect leads to: RFC 9110, 10.2.2, a relative reference is as good as an absolute URL."""
    locations = response.all("location")
    expect("number of Location headers", len(locations), 1)
    return urljoin(f"http://{host}{target}", locations[0])


def still_serves(site: Site) -> None:
    """Raise ``Failed`` unless the application greets as ever."""
    response = whole(site.get("/"))
    expect("the next answer", response.body, f"Hello from {site.app.title}\n".encode())


def needs_contexts(site: Site) -> None:
    """Leave where nobody promises a request a context of its own."""
    if not site.bridged and site.recipe.interface == "wsgi":
        raise NotApplicable("the contexts on a WSGI server are those of its threads")

"""Requests and responses of many kinds under the eyes of validators that others wrote."""

from __future__ import annotations

from compat_matrix.apps.support import FILE
from compat_matrix.checks.answers import ask_chunked, chunked, whole
from compat_matrix.checks.registry import Failed, contract
from compat_matrix.client import Response
from compat_matrix.composition import CHECKED, COMPLAINTS
from compat_matrix.site import Site

# Each process keeps what it has to complain about, hence processes=1.
_STANDS_ON = "PEP 3333; ASGI HTTP specification: as wsgiref.validate, werkzeug.middleware.lint and asgion read them"
_OCTETS = "Content-Type: application/octet-stream"
_FORM = "Content-Type: application/x-www-form-urlencoded"
_BOUNDED = "Content-Type: multipart/form-data; boundary=xyz"


def _begin(site: Site) -> None:
    site.get(COMPLAINTS)  # what another check has left


def _content(what: str, site: Site, response: Response, *statuses: int) -> None:
    """Raise ``Failed`` if a validator has said something, or if the answer is not one at all."""
    if said := whole(site.get(COMPLAINTS)).json():
        raise Failed(f"{what}: {'; '.join(said)}")
    if response.status not in statuses:
        raise Failed(f"{what}: expected status {statuses}, got {response.status} with {response.body[:200]!r}")


def _get(site: Site, target: str, *statuses: int, lines: tuple[str, ...] = (), method: str = "GET") -> None:
    response = site.ask(method, CHECKED + target, *lines)
    _content(f"{method} {target}", site, response, *(statuses or (200,)))


@contract("validators.requests", _STANDS_ON, needs=("mount",), processes=1)
def requests(site: Site) -> None:
    """Validators accept what is made of methods, queries, paths and headers."""
    _begin(site)
    _get(site, "/echo?a=1&b=%FF", lines=("X-Bytes: caf\xe9", "X-Empty:", "X-Dup: 1", "X-Dup: 2", "Cookie: a=1"))
    _get(site, "/paths/caf%C3%A9/%FF%2F")
    _get(site, "/echo", method="DELETE")
    _get(site, "/args?a=1&a=2")


@contract("validators.bodies", _STANDS_ON, needs=("mount",), processes=1)
def bodies(site: Site) -> None:
    """Validators accept how bodies of requests are handed on: forms, files, streams, nothing, what nobody reads."""
    _begin(site)
    part = (
        b'--xyz\r\nContent-Disposition: form-data; name="f"; filename="x"\r\nContent-Type: a/b\r\n\r\n%s\r\n--xyz--\r\n'
    )
    for target, line, body, status in (
        ("/form", _FORM, b"a=1&b=2", 200),
        ("/multipart", _BOUNDED, part % (b"x" * 100_000), 200),
        ("/upload", _OCTETS, b"x" * 200_000, 200),
        ("/ignore", _OCTETS, b"x" * 1_000, 403),
        ("/echo", _OCTETS, b"hello", 200),
    ):
        _content(f"POST {target}", site, site.ask("POST", CHECKED + target, line, body=body), status)
    _get(site, "/upload", method="POST", lines=(_OCTETS, "Content-Length: 0"))


@contract("validators.chunked", _STANDS_ON, needs=("mount",), processes=1)
def chunked_body(site: Site) -> None:
    """Validators accept how a chunked upload is handed on."""
    _begin(site)
    framed = chunked(b"x" * 100_000, 30_000)
    _content("chunked POST /upload", site, ask_chunked(site, "POST", CHECKED + "/upload", framed, _OCTETS), 200)


@contract("validators.responses", _STANDS_ON, needs=("mount",), processes=1)
def responses(site: Site) -> None:
    """Validators accept complete responses: texts, JSON, cookies, redirects, many headers, empty bodies."""
    _begin(site)
    for target in ("/", "/json", "/url", "/cookies", "/headers/repeated", "/headers/large", "/empty"):
        _get(site, target)
    _get(site, "/redirect", 302, 303, 307)
    _get(site, "/missing", 404)
    _get(site, "/json", 404, 405, method="DELETE")
    _get(site, "/error/http", 418)


@contract("validators.streams", _STANDS_ON, needs=("mount",), processes=1)
def streams(site: Site) -> None:
    """Validators accept streamed responses, declared and not, server-sent events, and see each of them closed."""
    _begin(site)
    for target in ("/download?size=200000", "/download/declared?size=200000", "/download?size=0", "/events"):
        _get(site, target)


@contract("validators.file", _STANDS_ON, needs=("mount",), processes=1)
def file(site: Site) -> None:
    """Validators accept a file response, and a range of it."""
    _begin(site)
    response = site.get(CHECKED + "/file")
    _content("GET /file", site, response, 200)
    if len(response.body) != FILE.stat().st_size:
        raise Failed(f"GET /file: got {len(response.body)} bytes")
    _get(site, "/file", 200, 206, lines=("Range: bytes=0-9",))


@contract("validators.static", _STANDS_ON, needs=("mount", "static"), processes=1)
def static(site: Site) -> None:
    """Validators accept a static file."""
    _begin(site)
    _get(site, "/static/hello.txt")


@contract("validators.head", _STANDS_ON, needs=("mount",), processes=1)
def head(site: Site) -> None:
    """Validators accept answers to HEAD."""
    _begin(site)
    for target in ("/", "/json", "/download/declared?size=1000", "/file"):
        _get(site, target, 200, 405, method="HEAD")


@contract("validators.204", _STANDS_ON, needs=("mount",), processes=1)
def no_content(site: Site) -> None:
    """Validators accept 204."""
    _begin(site)
    _get(site, "/status/204", 204)


@contract("validators.304", _STANDS_ON, needs=("mount", "conditional"), processes=1)
def not_modified(site: Site) -> None:
    """Validators accept 304."""
    _begin(site)
    _get(site, "/conditional", 304, lines=('If-None-Match: "v1"',))


@contract("validators.error", _STANDS_ON, needs=("mount",), processes=1, answers_failure=True)
def error(site: Site) -> None:
    """Validators accept how a failing view is answered."""
    _begin(site)
    _get(site, "/error/before", 500)

"""Complete responses: status, headers and body as the application made them."""

from __future__ import annotations

import re
from typing import Any

from compat_matrix.apps.support import FILE, STATIC
from compat_matrix.checks.answers import (
    ask_bare,
    expect_bytes,
    listed,
    needs_contexts,
    patterned,
    resolved,
    still_serves,
    told,
    whole,
)
from compat_matrix.checks.observe import asked, seen
from compat_matrix.checks.registry import Failed, contract, expect, oracle
from compat_matrix.client import Response
from compat_matrix.site import Site, head

_MIB = 1024 * 1024  # bytes
_LARGE = 8 * _MIB

# RFC 9110, 5.3: only lists may have several lines; of these a second one is a contradiction.
_ONCE = ("content-length", "content-type", "etag", "last-modified", "location", "transfer-encoding")


# -- the plain ones ---------------------------------------------------------------------------------------------------


@oracle("http.response.text", "RFC 9110, 15.3.1")
def text(site: Site) -> Any:
    """A short text arrives as it does at home."""
    return asked(site, "GET", "/")


@contract("http.response.right", "RFC 9110, 15.3.1")
def right(site: Site) -> None:
    """The answer is not only the same as elsewhere, but the right one."""
    response = whole(site.get("/"))
    expect("body", response.body, f"Hello from {site.app.title}\n".encode())
    expect("type", response.all("content-type")[0].lower().replace(" ", ""), "text/plain;charset=utf-8")


@oracle("http.response.json", "RFC 9110, 15.3.1")
def json(site: Site) -> Any:
    """A JSON answer arrives as it does at home."""
    return asked(site, "GET", "/json")


@contract("http.response.length", "RFC 9110, 8.6; RFC 9112, 6.1 and 6.2")
def length(site: Site) -> None:
    """Content-Length is the body's, and never stands beside Transfer-Encoding."""
    for target in ("/", "/json", "/empty", "/headers/repeated", "/download?size=1000", "/missing"):
        # By the connection's end, not by what is to be checked.
        with site.connect() as client:
            client.send(head("GET", target, "Connection: close"))
            response = client.read_response()
            expect(f"{target}: nothing follows the body", client.ended(), True)
        whole(response, 404 if target == "/missing" else 200)
        lengths = response.all("content-length")
        if lengths:
            expect(f"{target}: Content-Length", lengths, [str(len(response.body))])
            expect(f"{target}: Transfer-Encoding beside Content-Length", response.all("transfer-encoding"), [])


@contract("http.response.single", "RFC 9110, 5.3 and 8.6")
def single(site: Site) -> None:
    """No header that can only be there once is there twice."""
    for target in ("/", "/json", "/file", "/redirect", "/conditional", "/missing", "/download/declared?size=10"):
        response = site.get(target)
        for name in _ONCE:
            if len(values := response.all(name)) > 1:
                raise Failed(f"{target}: {name} is there {len(values)} times: {values!r}")


@contract("http.response.date", "RFC 9110, 6.6.1 and 10.2.4", one_date=True)
def date(site: Site) -> None:
    """Date is there once, also where the framework sets it by itself, and so is Server."""
    for target in ("/", "/file"):
        response = site.get(target)
        for name in ("date", "server"):
            if len(values := response.all(name)) > 1:
                raise Failed(f"{target}: {name} is there {len(values)} times: {values!r}")


@contract("http.response.version10", "RFC 9112, 2.3, 6.1 and 7.1", speaks_http10=True)
def version10(site: Site) -> None:
    """A client of HTTP/1.0 gets the same body, without chunks."""
    for target, body in (("/json", None), ("/download?size=1000", patterned(1_000))):
        with site.connect() as client:
            client.send(f"GET {target} HTTP/1.0\r\nHost: test\r\n\r\n".encode())
            response = whole(client.read_response())
        expect("transfer-encoding", response.all("transfer-encoding"), [])
        if body is None:
            expect("json", response.json(), {"framework": site.app.title, "ok": True})
        else:
            expect_bytes("body", response.body, body)


@contract("http.response.reuse", "RFC 9112, 9.3", keep_alive=True)
def reuse(site: Site) -> None:
    """Answers of every framing leave the connection at the beginning of the next one, or say that they close it."""
    for target in ("/", "/empty", "/status/204", "/status/304", "/download?size=1000", "/redirect", "/missing"):
        with site.connect() as client:
            client.get(target)
            if _goes_on(client.read_response()):
                client.get("/json")
                expect(f"the answer after {target}", whole(client.read_response()).json()["ok"], True)
            else:
                expect(f"the connection ends after {target}", client.ended(), True)


# -- without a body ---------------------------------------------------------------------------------------------------


@contract("http.response.empty", "RFC 9112, 6.3")
def empty(site: Site) -> None:
    """An empty body ends, with its status and type."""
    response = whole(site.get("/empty"))
    expect("body", response.body, b"")
    expect("type", response.all("content-type")[0].partition(";")[0], "text/plain")


@contract("http.response.204", "RFC 9110, 8.6 and 15.3.5; RFC 9112, 6.1")
def no_content(site: Site) -> None:
    """204 has its headers, no body, and no header that declares one."""
    response = ask_bare(site, "GET", "/status/204")
    expect("status", response.status, 204)
    expect("x-seen", response.all("x-seen"), ["yes"])
    expect("transfer-encoding", response.all("transfer-encoding"), [])
    # RFC 9110, 8.6 forbids any; a zero harms nobody, and some servers add it.
    expect("content-length", [value for value in response.all("content-length") if value != "0"], [])


@contract("http.response.304", "RFC 9110, 15.4.5; RFC 9112, 6.3")
def not_modified(site: Site) -> None:
    """304 has its ETag and no body."""
    response = ask_bare(site, "GET", "/status/304")
    expect("status", response.status, 304)
    expect("etag", response.all("etag"), ['"v1"'])
    expect("transfer-encoding", response.all("transfer-encoding"), [])


@contract("http.response.conditional", "RFC 9110, 13.1.2", needs=("conditional",))
def conditional(site: Site) -> None:
    """If-None-Match is answered with 304 if the tag is the resource's, with the resource if not."""
    fresh = whole(site.get("/conditional"))
    expect("etag and body", (fresh.all("etag"), fresh.body), (['"v1"'], b"conditional"))
    same = ask_bare(site, "GET", "/conditional", 'If-None-Match: "v1"')
    expect("status and etag for the same", (same.status, same.all("etag")), (304, ['"v1"']))
    other = whole(site.get("/conditional", 'If-None-Match: "v2"'))
    expect("body for another", other.body, b"conditional")


@oracle("http.response.conditional.forms", "RFC 9110, 13.1.1 and 13.1.2", needs=("conditional",))
def conditional_forms(site: Site) -> Any:
    """What the framework makes of lists of tags, weak ones, the asterisk and If-Match."""
    lines = ('If-None-Match: "v0", "v1"', 'If-None-Match: W/"v1"', "If-None-Match: *", 'If-Match: "v2"')
    return [asked(site, "GET", "/conditional", line) for line in lines]


# -- HEAD -------------------------------------------------------------------------------------------------------------

_HEAD = (
    "/",
    "/json",
    "/empty",
    "/headers/repeated",
    "/conditional",
    "/file",
    "/download/declared?size=1000",
    "/missing",
)


@oracle("http.response.head", "RFC 9110, 9.3.2")
def of_head(site: Site) -> Any:
    """HEAD is answered with the status and the headers of the framework."""
    return {target: _steady(seen(site.ask("HEAD", target))) for target in (*_HEAD, "/download?size=1000")}


@contract("http.response.head.bare", "RFC 9110, 9.3.2; RFC 9112, 6.3")
def head_has_no_body(site: Site) -> None:
    """After the headers of an answer to HEAD nothing follows."""
    for target in _HEAD:
        # A server that ends the body that is not there can only do so where no length is declared.
        if site.recipe.ends_head or site.ask("HEAD", target).all("content-length"):
            ask_bare(site, "HEAD", target)


@contract("http.response.head.stream", "RFC 9110, 9.3.2; RFC 9112, 6.3", ends_head=True)
def head_of_stream_has_no_body(site: Site) -> None:
    """The same for a body whose length nobody declares: no chunk follows, not even the last."""
    ask_bare(site, "HEAD", "/download?size=1000")


@contract("http.response.head.length", "RFC 9110, 8.6 and 9.3.2")
def head_length(site: Site) -> None:
    """A Content-Length in the answer to HEAD is that of the answer to GET."""
    targets = (*_HEAD, "/download?size=1000") if site.recipe.knows_head else _HEAD
    for target in targets:
        answer = site.ask("HEAD", target)
        got = site.get(target)
        # A framework may have no view for HEAD: then the two answers are two resources.
        if (lengths := answer.all("content-length")) and answer.status == got.status:
            expect(f"{target}: Content-Length for HEAD", lengths, [str(len(got.body))])


@contract("http.response.head.reuse", "RFC 9110, 9.3.2; RFC 9112, 6.3 and 9.3", keep_alive=True)
def head_reuse(site: Site) -> None:
    """After an answer to HEAD the next answer on the connection is read from where it begins."""
    with site.connect() as client:
        for target in ("/", "/json", "/download/declared?size=1000"):
            client.send(head("HEAD", target))
            response = client.read_response("HEAD")
            if not _goes_on(response) or not (site.recipe.ends_head or response.all("content-length")):
                return
        client.get("/json")
        expect("json", whole(client.read_response()).json()["ok"], True)


# -- redirects and URLs -----------------------------------------------------------------------------------------------


@contract("http.response.redirect", "RFC 9110, 10.2.2 and 15.4")
def redirect(site: Site) -> None:
    """A redirect leads to where the framework's route is."""
    response = site.get("/redirect")
    if response.status not in (302, 303, 307):
        raise Failed(f"status: expected 302, 303 or 307, got {response.status}")
    expect("location", resolved(response, "/redirect"), "http://test/json")


@oracle("http.response.redirect.same", "RFC 9110, 10.2.2 and 15.4")
def redirect_same(site: Site) -> Any:
    """A redirect is written as at home: status, relative or absolute, body."""
    return asked(site, "GET", "/redirect")


@contract("http.response.redirect.mounted", "RFC 9110, 10.2.2; PEP 3333, URL Reconstruction", needs=("mount",))
def redirect_mounted(site: Site) -> None:
    """Below a mount a redirect stays below it."""
    target = f"{site.mount}/redirect"
    expect("location", resolved(site.get(target), target), f"http://test{site.mount}/json")


@contract("http.response.url", "PEP 3333, URL Reconstruction; ASGI HTTP specification: root_path")
def url(site: Site) -> None:
    """The framework builds URLs of its routes, with scheme and host."""
    expect("url", told(site, "GET", "/url"), {"path": "/json", "absolute": "http://test/json"})


@contract(
    "http.response.url.mounted", "PEP 3333, URL Reconstruction; ASGI HTTP specification: root_path", needs=("mount",)
)
def url_mounted(site: Site) -> None:
    """Below a mount URLs of routes begin with it, once."""
    path = f"{site.mount}/json"
    expect("url", told(site, "GET", f"{site.mount}/url"), {"path": path, "absolute": f"http://test{path}"})


@contract("http.response.slash", "RFC 9110, 15.4", needs=("trailing slash",))
def trailing_slash(site: Site) -> None:
    """The router adds the slash that is missing, and does not where it is there."""
    response = site.get("/slashed")
    if response.status not in (301, 302, 303, 307, 308):
        raise Failed(f"status: expected a redirect, got {response.status}")
    expect("location", resolved(response, "/slashed"), "http://test/slashed/")
    expect("body", whole(site.get("/slashed/")).body, b"slashed")


@contract(
    "http.response.slash.mounted", "RFC 9110, 15.4; PEP 3333, URL Reconstruction", needs=("trailing slash", "mount")
)
def trailing_slash_mounted(site: Site) -> None:
    """Below a mount the slash is added there."""
    target = f"{site.mount}/slashed"
    expect("location", resolved(site.get(target), target), f"http://test{target}/")


@oracle("http.response.slash.query", "RFC 9110, 15.4", needs=("trailing slash",))
def trailing_slash_query(site: Site) -> Any:
    """What the router does with the query when it adds a slash."""
    return asked(site, "GET", "/slashed?a=1&b=%2F")


# -- cookies and sessions ---------------------------------------------------------------------------------------------


@contract("http.response.cookies", "RFC 6265, 4.1")
def cookies(site: Site) -> None:
    """Cookies are set one a line, in order, with their attributes."""
    lines = whole(site.get("/cookies")).all("set-cookie")
    expect("cookies", [line.partition(";")[0] for line in lines], ["plain=1", "attributes=2"])
    attributes = {part.strip().lower() for part in lines[1].split(";")[1:]}
    if missing := {"path=/", "httponly", "samesite=lax", "max-age=60"} - attributes:
        raise Failed(f"cookie attributes: {sorted(missing)} missing in {lines[1]!r}")


@oracle("http.response.cookies.same", "RFC 6265, 4.1")
def cookies_same(site: Site) -> Any:
    """Cookies are written as at home."""
    return _steady(asked(site, "GET", "/cookies"))


@contract("http.response.session", "RFC 6265, 5.3 and 5.4", needs=("sessions",))
def session(site: Site) -> None:
    """A session lives in its cookie: it counts on with it, and begins anew without."""
    jar: dict[str, str] = {}
    for visits in (1, 2, 3):
        lines = ["Cookie: " + "; ".join(f"{name}={value}" for name, value in jar.items())] if jar else []
        response = whole(site.ask("POST", "/session", *lines))
        expect("visits", response.json(), {"visits": visits})
        for line in response.all("set-cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            jar[name] = value
    expect("visits of another client", told(site, "POST", "/session"), {"visits": 1})


# -- headers ----------------------------------------------------------------------------------------------------------


@contract("http.response.headers.repeated", "RFC 9110, 5.3; RFC 6265, 3")
def repeated_headers(site: Site) -> None:
    """Repeated headers keep each value and their order; cookies are never joined."""
    response = whole(site.get("/headers/repeated"))
    expect("body", response.body, b"repeated")
    expect("x-repeated", listed(response.all("x-repeated")), ["one", "two"])
    expect("set-cookie", [line.partition(";")[0] for line in response.all("set-cookie")], ["a=1", "b=2"])


@contract("http.response.headers.large", "RFC 9110, 5.4")
def large_headers(site: Site) -> None:
    """A header of 6,000 bytes and fifty more arrive."""
    response = whole(site.get("/headers/large"))
    expect("x-large", response.all("x-large"), ["x" * 6_000])
    many = [(name, value) for name, value in response.headers if name.startswith("x-many-")]
    expect("x-many", sorted(many), sorted((f"x-many-{number}", "y") for number in range(50)))


# -- downloads --------------------------------------------------------------------------------------------------------


@contract("http.response.download", "RFC 9112, 6.3 and 7.1")
def download(site: Site) -> None:
    """A body of a length that nobody declares arrives whole: nothing, one byte, a piece, a byte more, 1 MiB."""
    for size in (0, 1, 65_536, 65_537, _MIB):
        _pattern(whole(site.get(f"/download?size={size}")), size)


@contract("http.response.download.declared", "RFC 9110, 8.6; RFC 9112, 6.2")
def declared_download(site: Site) -> None:
    """A body with Content-Length arrives whole, and so does its length."""
    for size in (0, 1, 65_536, 65_537, _MIB):
        response = whole(site.get(f"/download/declared?size={size}"))
        expect("content-length", response.all("content-length"), [str(size)])
        _pattern(response, size)


@contract("http.response.large", "RFC 9112, 6.3 and 7.1")
def large(site: Site) -> None:
    """A body of 8 MiB arrives to the byte."""
    _pattern(whole(site.get(f"/download?size={_LARGE}")), _LARGE)


@contract("http.response.large.declared", "RFC 9112, 6.2")
def large_declared(site: Site) -> None:
    """A body of 8 MiB with Content-Length arrives to the byte."""
    _pattern(whole(site.get(f"/download/declared?size={_LARGE}")), _LARGE)


@contract("http.response.file", "RFC 9110, 15.3.1; RFC 6266, 4")
def file(site: Site) -> None:
    """The framework's file response sends the file, under its name."""
    response = whole(site.get("/file"))
    expect_bytes("body", response.body, FILE.read_bytes())
    (disposition,) = response.all("content-disposition")
    if not re.fullmatch(r'attachment;\s*filename="?file\.bin"?(;.*)?', disposition):
        raise Failed(f"content-disposition: expected the attachment file.bin, got {disposition!r}")


@oracle("http.response.file.headers", "RFC 9110, 8.8 and 8.3")
def file_headers(site: Site) -> Any:
    """A file has the type, the date and the tag that it has at home."""
    return {**_steady(asked(site, "GET", "/file")), "body": ""}


@oracle("http.response.file.range", "RFC 9110, 14")
def file_ranges(site: Site) -> Any:
    """What the framework makes of ranges: the first bytes, the last, the rest, none that is there."""
    ranges = ("0-9", "-10", "69990-", "10-19,30-39", "70000-", "5-1")
    answers = [site.get("/file", f"Range: bytes={one}") for one in ranges]
    return [_range(answer) for answer in answers]


@oracle("http.response.file.conditional", "RFC 9110, 13.1.2 and 13.1.3")
def file_conditional(site: Site) -> Any:
    """What the framework makes of a file's own tag and date when they come back."""
    first = site.get("/file")
    answers = []
    for answered, asks in (("etag", "If-None-Match"), ("last-modified", "If-Modified-Since")):
        for value in first.all(answered):
            again = site.get("/file", f"{asks}: {value}")
            answers.append([answered, again.status, again.all(answered), len(again.body)])
    return answers


# -- static files -----------------------------------------------------------------------------------------------------

_STATIC = "/static/hello.txt"


@contract("http.response.static", "RFC 9110, 15.3.1", needs=("static",))
def static(site: Site) -> None:
    """The framework's static files are served."""
    response = whole(site.get(_STATIC))
    expect("body", response.body, (STATIC / "hello.txt").read_bytes())
    expect("type", response.all("content-type")[0].partition(";")[0], "text/plain")


@oracle("http.response.static.same", "RFC 9110, 8.8 and 9.3.2", needs=("static",))
def static_same(site: Site) -> Any:
    """Static files are served as at home, to HEAD, below a mount and where there is none, too."""
    return [
        _steady(asked(site, "GET", _STATIC)),
        _steady(asked(site, "HEAD", _STATIC)),
        asked(site, "GET", "/static/missing.txt")["status"],
        asked(site, "GET", _STATIC, mounted=True)["status"],
    ]


@contract("http.response.static.inside", "RFC 3986, 5.2.4; RFC 9110, 17.3", needs=("static",))
def static_inside(site: Site) -> None:
    """No dot segment, escaped or not, leads out of the folder of static files."""
    for way in ("..", "%2e%2e", "..%2f..", "%2e%2e%2f..", "x/../.."):
        response = site.get(f"/static/{way}/support.py")
        if b"Knows no framework" in response.body or response.status == 200:
            raise Failed(f"/static/{way}/support.py: {response.status} with {response.body[:100]!r}")


# -- errors -----------------------------------------------------------------------------------------------------------


@oracle("http.response.404", "RFC 9110, 15.5.5")
def not_found(site: Site) -> Any:
    """A path without a route is the framework's own 404, also for POST with a body and below a mount."""
    return [
        asked(site, "GET", "/missing"),
        asked(site, "POST", "/missing", body=b"x" * 1_000),
        asked(site, "GET", "/missing", mounted=True)["status"],
    ]


@contract("http.response.404.right", "RFC 9110, 15.5.5")
def not_found_right(site: Site) -> None:
    """A path without a route is 404."""
    expect("status", site.get("/missing").status, 404)


@oracle("http.response.405", "RFC 9110, 15.5.6")
def not_allowed(site: Site) -> Any:
    """A method without a view is refused as at home, with the same methods in Allow."""
    return _steady(asked(site, "DELETE", "/json"))


@oracle("http.response.options", "RFC 9110, 9.3.7")
def options(site: Site) -> Any:
    """OPTIONS of a view that has none of its own is answered as at home."""
    return _steady(asked(site, "OPTIONS", "/json"))


@contract("http.response.error", "RFC 9110, 15.6.1; PEP 3333, Error Handling", answers_failure=True)
def error_before(site: Site) -> None:
    """A failing view is 500, the client learns nothing of the failure, and the next request is served."""
    for method in ("GET", "HEAD", "GET"):
        response = site.ask(method, "/error/before")
        if response.status != 500 and (method, response.status) != ("HEAD", 405):  # a view may be for GET alone
            raise Failed(f"status of {method}: expected 500, got {response.status}")
        expect("the response is complete", response.complete, True)
        for secret in (b"Traceback", b"before the response", b"RuntimeError"):
            if secret in response.body:
                raise Failed(f"{secret!r} is in the body: {response.body[:300]!r}")
        still_serves(site)


@oracle("http.response.error.http", "RFC 9110, 15.5.19")
def error_http(site: Site) -> Any:
    """An error that the framework knows is answered as the framework does it."""
    return asked(site, "GET", "/error/http")


@contract("http.response.error.http.right", "RFC 9110, 15.5.19")
def error_http_right(site: Site) -> None:
    """The status of an error that the framework knows is the view's."""
    whole(site.get("/error/http"), 418)


# -- views ------------------------------------------------------------------------------------------------------------


@contract("http.response.async", "PEP 3333; ASGI HTTP specification", needs=("async",))
def asynchronous(site: Site) -> None:
    """An async def view answers, time and again."""
    for _ in range(3):
        expect("body", whole(site.get("/async")).body, b"async")


@contract("http.response.context", "PEP 567", needs=("context",))
def context(site: Site) -> None:
    """What a view sets in a context variable, no other request sees, on the same connection or another."""
    needs_contexts(site)
    expected = [{"before": "unset", "after": value} for value in ("a", "b", "c", "d")]
    expect("first", told(site, "GET", "/context?value=a"), expected[0])
    with site.connect() as client:
        for value, one in zip("bc", expected[1:3], strict=True):
            client.get(f"/context?value={value}")
            response = whole(client.read_response())
            expect("on one connection", response.json(), one)
            if not site.recipe.keep_alive or not _goes_on(response):
                break
    expect("last", told(site, "GET", "/context?value=d"), expected[3])


# -- helpers ----------------------------------------------------------------------------------------------------------


def _goes_on(response: Response) -> bool:
    return "close" not in [value.lower() for value in response.all("connection")]


def _pattern(response: Response, size: int) -> None:
    expect_bytes(f"body of {size} bytes", response.body, patterned(size))
    expect("type", response.all("content-type")[0], "application/octet-stream")


_EXPIRES = re.compile(r"(?i)(;\s*expires=)[^;]*")


def _steady(what: dict[str, Any]) -> dict[str, Any]:
    """Take out of what :func:`seen` gives what differs from one answer to the next on one server, too."""
    headers: list[list[str]] = []
    for name, value in what["headers"]:
        if name != "set-cookie" and headers and headers[-1][0] == name:  # RFC 9110, 5.3: joined or not, as Apache does
            headers[-1][1] += f", {value}"
            continue
        if name == "set-cookie":  # the time of the request and Max-Age; the order is the cookie's own
            headers.append([name, _EXPIRES.sub(r"\1...", value)])
        elif name == "allow":  # many frameworks have a set of methods, and so an order of each process
            headers.append([name, ", ".join(sorted(listed([value])))])
        else:
            headers.append([name, value])
    return {**what, "headers": headers}


_MULTIPART = re.compile(r"(multipart/byteranges;\s*boundary=)\S+")


def _range(answer: Response) -> dict[str, Any]:
    """Return :func:`seen` of a partial response; the boundary of several ranges is another one each time."""
    what = seen(answer)
    (type,) = answer.all("content-type") or [""]
    if not _MULTIPART.match(type):
        return what
    boundary = type.partition("boundary=")[2].strip('"')
    what["headers"] = [[name, _MULTIPART.sub(r"\1...", value)] for name, value in what["headers"]]
    return {**what, "body": what["body"].replace(boundary, "...")}

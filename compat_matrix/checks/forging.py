"""What a client cannot make an application believe: headers that turn into others, lengths that contradict."""

from __future__ import annotations

from compat_matrix.checks.answers import chunked, header, listed, still_serves, told
from compat_matrix.checks.registry import Failed, NotApplicable, contract, expect
from compat_matrix.client import Response
from compat_matrix.site import Site, head

_GOOD = "198.51.100.7"
_EVIL = "203.0.113.66"

# RFC 9110, 8.6: 1*DIGIT and nothing else, however much of it int() takes for a number.
_NO_LENGTHS = ("abc", "-1", "+5", "0x5", "5_0", "5 0", "1e1", "\xb2", "5;")


def _forwarded(site: Site, *header_lines: str) -> None:
    values = listed(header(told(site, "GET", "/echo", *header_lines), "x-forwarded-for"))
    # Waitress takes the header out where no proxy is trusted, which is as good.
    if values not in ([_GOOD], [""]):
        raise Failed(f"x-forwarded-for: expected {_GOOD} alone, got {values!r}")


@contract("http.forging.underscore.before", "RFC 3875, 4.1.18; RFC 9110, 17.10", drops_underscores=True)
def underscore_before(site: Site) -> None:
    """X_Forwarded_For before X-Forwarded-For neither replaces nor joins it."""
    _forwarded(site, f"X_Forwarded_For: {_EVIL}", f"X-Forwarded-For: {_GOOD}")


@contract("http.forging.underscore.after", "RFC 3875, 4.1.18; RFC 9110, 17.10", drops_underscores=True)
def underscore_after(site: Site) -> None:
    """X_Forwarded_For after X-Forwarded-For neither replaces nor joins it."""
    _forwarded(site, f"X-Forwarded-For: {_GOOD}", f"X_Forwarded_For: {_EVIL}")


@contract("http.forging.underscore.alone", "RFC 3875, 4.1.18", drops_underscores=True)
def underscore_alone(site: Site) -> None:
    """X_Real_Ip is not X-Real-Ip, also where there is no other."""
    for name in ("X_Real_Ip", "X_Real-Ip", "X-Real_Ip"):
        expect(f"{name} as x-real-ip", header(told(site, "GET", "/echo", f"{name}: {_EVIL}"), "x-real-ip"), [])


@contract("http.forging.underscore.cookie", "RFC 3875, 4.1.18", drops_underscores=True)
def underscore_host(site: Site) -> None:
    """Names of one word with an underscore at an end are not those without it."""
    echo = told(site, "GET", "/echo", "_Host: evil", "Host_: evil", "Cookie: a=1", "_Cookie: a=2")
    expect("host", header(echo, "host"), ["test"])
    expect("cookie", header(echo, "cookie"), ["a=1"])


@contract("http.forging.content", "RFC 3875, 4.1.2 and 4.1.3", drops_underscores=True, invents_type=False)
def underscore_content(site: Site) -> None:
    """Content_Length and Content_Type declare no body."""
    echo = told(site, "GET", "/echo", "Content_Length: 7", "Content_Type: evil/type")
    expect("body", echo["body"], "")
    expect("content-length", [value for value in header(echo, "content-length") if value not in ("", "0")], [])
    expect("content-type", [value for value in header(echo, "content-type") if value], [])


@contract("http.forging.content.body", "RFC 3875, 4.1.2; RFC 9112, 6.3", drops_underscores=True)
def underscore_content_with_body(site: Site) -> None:
    """Content_Length beside Content-Length changes no body."""
    echo = told(site, "POST", "/echo", "Content_Length: 2", "Content-Type: a/b", "Content_Type: c/d", body=b"hello")
    expect("body", echo["body"], "hello")
    expect("content-type", header(echo, "content-type"), ["a/b"])


@contract("http.forging.proxy", "RFC 3875, 4.1.18; CVE-2016-5385", interface="wsgi")
def proxy(site: Site) -> None:
    """Proxy does not become HTTP_PROXY, which HTTP clients obey."""
    if not site.bridged:
        # Who makes an environ anew has no reason to.
        raise NotApplicable("WSGI servers hand Proxy on, all of them")
    expect("proxy", header(told(site, "GET", "/echo", "Proxy: http://evil.test"), "proxy"), [])


@contract("http.forging.variables", "RFC 3875, 4.1.18; PEP 3333, environ Variables")
def variables(site: Site) -> None:
    """No header becomes a variable that is not a header's."""
    names = ("Script-Name", "Path-Info", "Query-String", "Request-Method", "Remote-Addr", "Wsgi.Url-Scheme")
    echo = told(site, "GET", "/echo?x=1", *(f"{name}: /evil" for name in names))
    facts = {name: echo[name] for name in ("method", "mount", "path", "query", "client", "scheme")}
    expected = {"mount": "", "path": "/echo", "query": "x=1", "client": "127.0.0.1", "scheme": "http"}
    expect("facts", facts, {"method": "GET", **expected})


@contract("http.forging.method", "RFC 9110, 9.1; PEP 3333, environ Variables: REQUEST_METHOD")
def method_override(site: Site) -> None:
    """The method is that of the request line; no header replaces it."""
    for name in ("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"):
        for sent in ("GET", "POST"):
            expect(f"method with {name}", told(site, sent, "/echo", f"{name}: DELETE")["method"], sent)


@contract("http.forging.forwarded", "RFC 9110, 7.1 and 17.10; RFC 7239, 8.1")
def forwarded(site: Site) -> None:
    """Host, mount and path are those of the request, whatever somebody says about another one before it."""
    # Not of URLs: a framework may build them with X-Forwarded-Host, Bottle does.
    lines = (
        "X-Forwarded-Host: evil.test",
        "X-Original-Host: evil.test",
        "Forwarded: host=evil.test",
        "X-Forwarded-Prefix: /evil",
        "X-Script-Name: /evil",
        "X-Original-URL: /evil",
        "X-Rewrite-URL: /evil",
        "X-Forwarded-Path: /evil",
    )
    echo = told(site, "GET", "/echo?x=1", *lines)
    expect("host", header(echo, "host"), ["test"])
    expect("mount, path and query", (echo["mount"], echo["path"], echo["query"]), ("", "/echo", "x=1"))


@contract("http.forging.length.two", "RFC 9112, 6.3", refuses_two_lengths=True)
def two_lengths(site: Site) -> None:
    """Two lengths that contradict are refused."""
    for lengths in (("5", "7"), ("7", "5"), ("5, 7",)):
        lines = [f"Content-Length: {length}" for length in lengths]
        _refused(site, f"lengths {lengths}", head("POST", "/echo", *lines) + b"hello")
    still_serves(site)


@contract("http.forging.length.bad", "RFC 9110, 8.6; RFC 9112, 6.3", refuses_bad_length=True)
def bad_length(site: Site) -> None:
    """A length that is no number of digits is refused."""
    for length in _NO_LENGTHS:
        _refused(site, f"length {length!r}", head("POST", "/echo", f"Content-Length: {length}") + b"hello")
    still_serves(site)


@contract("http.forging.length.chunked", "RFC 9112, 6.1 and 6.3", survives_length_and_chunks=True)
def length_and_chunks(site: Site) -> None:
    """With Transfer-Encoding a Content-Length does not count, wherever it stands; refusing both is as good."""
    framed = chunked(b"hello")
    smuggled = b"GET /missing HTTP/1.1\r\nHost: test\r\n\r\n"
    for lines in (
        ("Transfer-Encoding: chunked", "Content-Length: 3"),
        ("Content-Length: 3", "Transfer-Encoding: chunked"),
        ("Transfer-Encoding: chunked", f"Content-Length: {len(framed + smuggled)}"),
    ):
        # Not more than is framed: a server that goes by the length would wait for the rest, and answer too late.
        answer = _answer(site, head("POST", "/echo", *lines) + framed)
        if answer is None or 400 <= answer.status < 500 or answer.status == 501:
            continue
        expect(f"{lines}: status", answer.status, 200)
        echo = answer.json()
        expect(f"{lines}: body", echo["body"], "hello")
        # Servers hand on both. An adapter knows which one counts, and applications that read go by the length.
        if site.bridged and (length := header(echo, "content-length")) not in ([], ["5"]):
            raise Failed(f"{lines}: the application sees Content-Length {length!r}")
    still_serves(site)


def _refused(site: Site, what: str, request: bytes) -> None:
    answer = _answer(site, request)
    if answer is not None and not 400 <= answer.status < 500:
        raise Failed(f"{what}: expected 400 or a closed connection, got {answer.status} with {answer.body[:200]!r}")


def _answer(site: Site, request: bytes) -> Response | None:
    """Return the answer to a request; None if the connection is closed instead."""
    with site.connect() as client:
        client.send(request)
        try:
            return client.read_response("POST")
        except (EOFError, ConnectionError):
            return None

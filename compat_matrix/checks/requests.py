"""What an application learns about a request: method, target, headers, addresses."""

from __future__ import annotations

from typing import Any

from compat_matrix.checks.answers import header, listed, told, whole
from compat_matrix.checks.observe import seen
from compat_matrix.checks.registry import Failed, contract, expect, oracle
from compat_matrix.site import Site

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

# Each as it is after the "?".
_QUERIES = (
    "",
    "a=1&a=2&b=",
    "caf%C3%A9=%e9&%2F=/",
    "a+b=c%20d&e=%2B",
    "a=?b&&=&;",
    "%&%zz&%c",
    "redirect=http://other/%3Fx=1&t=12:30,5@x!$'()*~",
)

_COMMON = {
    "Accept": "text/html;q=0.9, */*;q=0.1",
    "Accept-Charset": "utf-8",
    "Accept-Encoding": "gzip, br;q=0.5",
    "Accept-Language": "de-CH, en;q=0.5",
    "Authorization": "Basic dXNlcjpwYXNz",
    "Cache-Control": "no-cache",
    "From": "user@test",
    "Origin": "http://other.test",
    "Referer": "http://other.test/?a=1",
    "User-Agent": "matrix/1.0 (of bridge)",
    "Via": "1.1 one, 1.1 two",
    "X-Requested-With": "XMLHttpRequest",
}

_LONG = 6_000  # bytes; the tightest servers take 8 kB a line
_MANY = 80  # the tightest take 100 headers
_LONG_PATH = 3_000  # bytes; Gunicorn takes 4,094 for the request line


# -- method -----------------------------------------------------------------------------------------------------------


@contract("http.request.method", "RFC 9110, 9.1; PEP 3333, environ Variables: REQUEST_METHOD")
def method(site: Site) -> None:
    """Each method arrives as it was sent."""
    for name in _METHODS:
        expect("method", told(site, name, "/echo")["method"], name)


@oracle("http.request.method.extension", "RFC 9110, 16.1")
def extension_method(site: Site) -> Any:
    """A registered method that the view does not know is the framework's to refuse."""
    return site.ask("PROPFIND", "/json").status


@contract("http.request.method.case", "RFC 9110, 9.1; ASGI HTTP specification, HTTP Connection Scope: method")
def method_case(site: Site) -> None:
    """A method in lower case is refused or understood, and no failure."""
    # The server decides which: Hypercorn makes capitals of it, httptools and Gunicorn refuse it.
    status = site.ask("get", "/json").status
    if status not in (200, 400, 404, 405, 501):
        raise Failed(f"status: expected 200, 400, 404, 405 or 501, got {status}")


# -- query ------------------------------------------------------------------------------------------------------------


@contract("http.request.query", "RFC 3986, 3.4; PEP 3333, environ Variables: QUERY_STRING")
def query(site: Site) -> None:
    """The query string arrives undecoded, however odd it is."""
    for sent in _QUERIES:
        expect("query", told(site, "GET", f"/echo?{sent}")["query"], sent)


@contract("http.request.query.none", "PEP 3333, environ Variables: QUERY_STRING; ASGI HTTP specification: query_string")
def no_query(site: Site) -> None:
    """Without a query the query string is empty, not missing."""
    expect("query", told(site, "GET", "/echo")["query"], "")


@contract("http.request.query.args", "WHATWG URL, 5.1: application/x-www-form-urlencoded parsing")
def query_args(site: Site) -> None:
    """The framework finds each argument, decoded, repeated ones in their order."""
    expect(
        "arguments",
        told(site, "GET", "/args?a=1&b=x%20y+z&a=2&caf%C3%A9=%E2%82%AC"),
        {"a": ["1", "2"], "b": ["x y z"], "caf\xe9": ["\u20ac"]},
    )


@oracle("http.request.query.odd", "WHATWG URL, 5.1: application/x-www-form-urlencoded parsing")
def odd_query_args(site: Site) -> Any:
    """What the framework makes of arguments without a value, of bytes that are no UTF-8, of broken escapes."""
    return [_made_of(site, f"/args?{sent}") for sent in ("a=&b&=c", "a=%FF%C3", "a=%zz%", "a=1;b=2")]


# -- headers ----------------------------------------------------------------------------------------------------------


@contract("http.request.header.case", "RFC 9110, 5.1; ASGI HTTP specification, HTTP Connection Scope: headers")
def header_case(site: Site) -> None:
    """A header's name is found in any case, its value keeps its own."""
    expect("x-mixed-case", header(told(site, "GET", "/echo", "x-MIXED-cAsE: VaLue"), "x-mixed-case"), ["VaLue"])


@oracle("http.request.header.bytes", "RFC 9110, 5.5: obs-text; PEP 3333, Unicode Issues", keeps_header_bytes=True)
def header_bytes(site: Site) -> Any:
    """A value keeps the bytes that are no ASCII; how they are decoded is the framework's."""
    return header(told(site, "GET", "/echo", "X-Bytes: caf\xe9 \xff \xe2\x82\xac."), "x-bytes")


@contract("http.request.header.empty", "RFC 9110, 5.5")
def empty_header(site: Site) -> None:
    """A header without a value is there, and its value is empty."""
    expect("x-empty", header(told(site, "GET", "/echo", "X-Empty:", "X-After: 1"), "x-empty"), [""])


@contract("http.request.header.space", "RFC 9112, 5.1", strips_values=True)
def header_space(site: Site) -> None:
    """The space around a value is not part of it, the space inside is."""
    expect("x-space", header(told(site, "GET", "/echo", 'X-Space: \t a  b; c="d, e"  '), "x-space"), ['a  b; c="d, e"'])


@contract("http.request.header.long", "RFC 9110, 5.4", takes_long_lines=True)
def long_header(site: Site) -> None:
    """A value of 6 kB arrives whole."""
    value = "0123456789" * (_LONG // 10)
    expect("x-long", header(told(site, "GET", "/echo", f"X-Long: {value}"), "x-long"), [value])


@contract("http.request.header.many", "RFC 9110, 5.4")
def many_headers(site: Site) -> None:
    """Eighty headers arrive, each with its own value."""
    echo = told(site, "GET", "/echo", *(f"X-Many-{number}: value {number}" for number in range(_MANY)))
    for number in range(_MANY):
        expect(f"x-many-{number}", header(echo, f"x-many-{number}"), [f"value {number}"])


@contract("http.request.header.repeated", "RFC 9110, 5.3", joins_repeated=True)
def repeated_headers(site: Site) -> None:
    """Of a header that is sent several times each value arrives, in order."""
    echo = told(site, "GET", "/echo", "X-Dup: 1", "X-Other: x", "X-Dup: 2, 3", "X-Dup: 4")
    expect("x-dup", listed(header(echo, "x-dup")), ["1", "2", "3", "4"])
    expect("x-other", header(echo, "x-other"), ["x"])


@contract("http.request.header.common", "RFC 9110, 7.6.3, 10.1, 11.6.2 and 12.5; RFC 7239, 4")
def common_headers(site: Site) -> None:
    """Headers that applications ask for, and adapters have no business with, arrive as they were sent."""
    echo = told(site, "GET", "/echo", *(f"{name}: {value}" for name, value in _COMMON.items()))
    for name, value in _COMMON.items():
        expect(name, listed(header(echo, name.lower())), listed([value]))


@contract("http.request.cookies", "RFC 6265, 4.2.1 and 5.4")
def cookies(site: Site) -> None:
    """The framework finds each cookie of a Cookie header."""
    expect(
        "cookies", told(site, "GET", "/cookies", "Cookie: a=1; b=x-y_z; c=d=e"), {"a": "1", "b": "x-y_z", "c": "d=e"}
    )


@oracle("http.request.cookies.odd", "RFC 6265, 5.4")
def odd_cookies(site: Site) -> Any:
    """What the framework makes of quoted, escaped and broken cookies."""
    return told(site, "GET", "/cookies", 'Cookie: q="x y"; e=%C3%A9; ; novalue; =noname; z=1')


@contract("http.request.cookies.lines", "RFC 9113, 8.2.3; RFC 6265, 5.4", joins_cookies=True)
def cookie_lines(site: Site) -> None:
    """Cookies from two Cookie headers are found, too: a comma between them would join the first's value."""
    expect("cookies", told(site, "GET", "/cookies", "Cookie: a=1", "Cookie: b=2; c=3"), {"a": "1", "b": "2", "c": "3"})


# -- addresses --------------------------------------------------------------------------------------------------------


@contract("http.request.client", "RFC 3875, 4.1.8; ASGI HTTP specification, HTTP Connection Scope: client")
def client_address(site: Site) -> None:
    """The client's address is the peer's."""
    expect("client", told(site, "GET", "/echo")["client"], "127.0.0.1")


@contract("http.request.scheme", "PEP 3333, environ Variables: wsgi.url_scheme; ASGI HTTP specification: scheme")
def scheme(site: Site) -> None:
    """The scheme is http where nobody speaks TLS."""
    expect("scheme", told(site, "GET", "/echo")["scheme"], "http")


@contract("http.request.host", "RFC 9110, 7.2")
def host(site: Site) -> None:
    """The Host header arrives with its port, and is what absolute URLs are built with."""
    response = whole(site.ask("GET", "/echo", host="example.org:8080"))
    expect("host", header(response.json(), "host"), ["example.org:8080"])
    response = whole(site.ask("GET", "/url", host="example.org:8080"))
    expect("absolute", response.json()["absolute"], "http://example.org:8080/json")


# -- path -------------------------------------------------------------------------------------------------------------


@contract("http.request.mount.none", "PEP 3333, environ Variables: SCRIPT_NAME; ASGI HTTP specification: root_path")
def not_mounted(site: Site) -> None:
    """At the root the mount is empty, and the path is all of it."""
    echo = told(site, "GET", "/echo")
    expect("mount and path", (echo["mount"], echo["path"]), ("", "/echo"))


@contract(
    "http.request.mount",
    "PEP 3333, environ Variables: SCRIPT_NAME, PATH_INFO; ASGI HTTP specification: root_path",
    needs=("mount",),
)
def mounted(site: Site) -> None:
    """Below a mount the application knows its mount, and routes what follows."""
    echo = told(site, "GET", f"{site.mount}/echo?x=1")
    expect("mount, path and query", (echo["mount"], echo["path"], echo["query"]), (site.mount, "/echo", "x=1"))


@contract("http.request.mount.path", "PEP 3333, Unicode Issues; ASGI HTTP specification: root_path", needs=("mount",))
def path_below_mount(site: Site) -> None:
    """Below a mount a path is decoded as at the root, also where it repeats the mount."""
    _decoded(site, f"{site.mount}/paths/caf%C3%A9%20x", "caf\xe9 x")
    _decoded(site, f"{site.mount}/paths{site.mount}/a", f"{site.mount[1:]}/a")


@contract("http.request.path.utf8", "RFC 3986, 2.5; PEP 3333, Unicode Issues; ASGI HTTP specification: path")
def path_utf8(site: Site) -> None:
    """Escapes are UTF-8, in capitals or not."""
    _decoded(site, "/paths/caf%C3%A9/%E2%82%AC", "caf\xe9/\u20ac")
    _decoded(site, "/paths/%c3%a9%f0%9f%98%80", "\xe9\U0001f600")


@contract("http.request.path.escaped", "RFC 3986, 2.1 and 2.4")
def path_escaped(site: Site) -> None:
    """Delimiters that are escaped are decoded once, and delimit nothing."""
    _decoded(site, "/paths/100%25%20sure", "100% sure")
    _decoded(site, "/paths/a%3Fb%23c?d=1", "a?b#c")
    _decoded(site, "/paths/%252F", "%2F")


@contract("http.request.path.delimiters", "RFC 3986, 3.3: sub-delims")
def path_delimiters(site: Site) -> None:
    """In a path plus, semicolon and the like are letters."""
    _decoded(site, "/paths/a+b;c=d&e,f:g@h!$'()*~", "a+b;c=d&e,f:g@h!$'()*~")


@contract("http.request.path.long", "RFC 9112, 3", takes_long_lines=True)
def long_path(site: Site) -> None:
    """A path of 3 kB arrives whole."""
    _decoded(site, f"/paths/{'x' * _LONG_PATH}", "x" * _LONG_PATH)


@oracle("http.request.path.bytes", "RFC 3986, 2.5; PEP 3333, Unicode Issues")
def path_bytes(site: Site) -> Any:
    """What the framework makes of a path that is no UTF-8."""
    return [_made_of(site, f"/paths/{rest}") for rest in ("%FF%FE/a", "caf%E9", "%C3/%A9")]


@oracle("http.request.path.slash", "RFC 3986, 2.2", decodes_slash=True)
def path_slash(site: Site) -> Any:
    """What the framework makes of an escaped slash."""
    return _made_of(site, "/paths/a%2Fb/c%2f")


@oracle("http.request.path.empty", "RFC 3986, 3.3: segment", keeps_slashes=True)
def path_empty_segments(site: Site) -> Any:
    """What the framework makes of double slashes and of one at the end; nobody before it may take them away."""
    return [_made_of(site, f"/paths/{rest}") for rest in ("a//b", "a/", "/a", "")]


@oracle("http.request.path.leading", "RFC 3986, 3.3 and 4.2", takes_double_slash=True)
def path_leading_slashes(site: Site) -> Any:
    """What the framework makes of a path that begins with two slashes: no authority, whatever it looks like."""
    return [site.get(target).status for target in ("//json", "//test/json")]


@oracle("http.request.path.dots", "RFC 3986, 5.2.4", keeps_dots=True)
def path_dots(site: Site) -> Any:
    """What the framework makes of dot segments; nobody before it may resolve them."""
    return [_made_of(site, f"/paths/{rest}") for rest in ("a/../b/./c", "a/%2e%2e/b", "..")]


@oracle("http.request.path.broken", "RFC 3986, 2.1", takes_broken_escapes=True)
def path_broken_escapes(site: Site) -> Any:
    """What the framework makes of a percent sign that escapes nothing."""
    return _made_of(site, "/paths/a%zz/%/%4")


@contract("http.request.target.absolute", "RFC 9112, 3.2.2", takes_absolute_form=True)
def absolute_form(site: Site) -> None:
    """A target in absolute form is the same request."""
    echo = told(site, "GET", "http://test/echo?x=%2F")
    expect("path and query", (echo["path"], echo["query"]), ("/echo", "x=%2F"))
    expect("host", header(echo, "host"), ["test"])


@contract("http.request.target.asterisk", "RFC 9112, 3.2.4; RFC 9110, 9.3.7")
def asterisk_form(site: Site) -> None:
    """OPTIONS * is answered or refused, and no failure."""
    status = site.ask("OPTIONS", "*").status
    if status >= 500 and status != 501:
        raise Failed(f"status: expected no failure, got {status}")


def _made_of(site: Site, target: str) -> Any:
    """Return the answer to an odd target: what the JSON says if it is one, as the order of its names means nothing."""
    response = site.get(target)
    if response.status >= 500:
        return response.status  # the view or the router has failed, and the page about it is the server's
    if response.status == 200:
        return response.json()
    return seen(response)


def _decoded(site: Site, target: str, rest: str) -> None:
    expect(f"rest of {target[:100]}", told(site, "GET", target)["rest"], rest)

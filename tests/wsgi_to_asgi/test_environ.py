"""Scope to environ: RFC 3875 and PEP 3333 on one side, what servers really send (SERVERS.md, 4.1) on the other."""

import io
import sys
from collections.abc import Callable
from pprint import pformat
from typing import Any
from urllib.parse import quote, unquote, unquote_to_bytes
from wsgiref.util import FileWrapper, request_uri
from wsgiref.validate import check_environ  # type: ignore[attr-defined]  # not in typeshed

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bridge.errors import BadRequest, BridgeError, ServerError
from bridge.wsgi_to_asgi import environ as environ_module
from bridge.wsgi_to_asgi.environ import add_headers, build_environ, environ_key, split_mount, tls_variables
from tests.asgi import Environ, Scope, http_scope

pytestmark = pytest.mark.usefixtures("_names_of_this_test")


@pytest.fixture
def _names_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test that fills the table of header names fill its own."""
    monkeypatch.setattr(environ_module, "_KEYS", dict(environ_module._KEYS))


def decode_utf_8(target: bytes) -> str:
    """scope["path"] as Uvicorn, Hypercorn, Daphne, Granian and Gunicorn make it."""
    return unquote(target.decode("ascii"))


def decode_latin_1(target: bytes) -> str:
    """scope["path"] as Tremolo makes it."""
    return unquote(target.decode("ascii"), "latin-1")


def target_scope(target: bytes, decode: Callable[[bytes], str] = decode_utf_8, **rest: Any) -> Scope:
    """The scope of a request for *target*, which has no query."""
    return http_scope(path=decode(target), raw_path=target, **rest)


def native(text: str) -> str:
    """PEP 3333, "Unicode Issues": the bytes of *text*, one character each."""
    return text.encode().decode("latin-1")


def check(environ: Environ) -> None:
    """Let wsgiref say whether *environ* is one."""
    check_environ({**environ, "wsgi.input": io.BytesIO()})


# -- path -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decode", [decode_utf_8, decode_latin_1])
@pytest.mark.parametrize(
    ("target", "path_info"),
    [
        pytest.param(b"/", "/", id="root"),
        pytest.param(b"/a/b", "/a/b", id="ASCII"),
        pytest.param(b"/caf%C3%A9", "/caf\xc3\xa9", id="UTF-8"),
        pytest.param(b"/%FF%FE/%80", "/\xff\xfe/\x80", id="not UTF-8"),
        pytest.param(b"/%C3%A9/%FF", "/\xc3\xa9/\xff", id="UTF-8 and not"),
        pytest.param(b"/%EF%BF%BD", "/\xef\xbf\xbd", id="a real U+FFFD"),
        pytest.param(b"/%C3%83%C2%A9", "/\xc3\x83\xc2\xa9", id="UTF-8 that looks like mojibake"),
        pytest.param(b"/a%2Fb%3Fc%23", "/a/b?c#", id="encoded delimiters"),
        pytest.param(b"/100%25/%2525", "/100%/%25", id="encoded percent"),
        pytest.param(b"/100%", "/100%", id="percent that escapes nothing"),
        pytest.param(b"/a+b;c=d", "/a+b;c=d", id="plus and parameters"),
        pytest.param(b"//two//slashes//", "//two//slashes//", id="double slashes"),
        pytest.param(b"/a/../b/./c", "/a/../b/./c", id="dot segments"),
        pytest.param(b"/%2E%2E/a", "/../a", id="encoded dot segments"),
        pytest.param(b"/%00%0D%0A", "/\0\r\n", id="control characters"),
    ],
)
def test_path_info_is_the_decoded_target_byte_for_byte(
    target: bytes, path_info: str, decode: Callable[[bytes], str]
) -> None:
    """PEP 3333, "Unicode Issues": one character a byte; RFC 3875, 4.1.5: decoded, and nothing else is done."""
    environ = build_environ(target_scope(target, decode))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("", path_info)


@pytest.mark.parametrize(
    ("path", "raw_path", "path_info"),
    [
        pytest.param("/café", None, "/caf\xc3\xa9", id="None"),
        pytest.param("/café", b"", "/caf\xc3\xa9", id="empty"),
        pytest.param("/a\ufffd", b"/a%FF?x=%2F", "/a\xff", id="with the query"),
        pytest.param("/new/é", b"/old/%C3%A9", "/new/\xc3\xa9", id="path rewritten by a middleware"),
        pytest.param("/new/x", b"/old/%FF", "/new/x", id="ASCII path rewritten by a middleware"),
        pytest.param("/😀", b"/%F0%9F%98%80", "/\xf0\x9f\x98\x80", id="beyond the basic plane"),
    ],
)
def test_path_counts_where_raw_path_says_something_else(path: str, raw_path: bytes | None, path_info: str) -> None:
    """DESIGN.md: PATH_INFO comes from raw_path when it agrees with path."""
    assert build_environ(http_scope(path=path, raw_path=raw_path))["PATH_INFO"] == path_info


@pytest.mark.parametrize("root_path", ["", "/app"])
def test_path_may_be_empty(root_path: str) -> None:
    """PEP 3333: at least one of SCRIPT_NAME and PATH_INFO is not empty."""
    environ = build_environ(http_scope(path="", raw_path=b"", root_path=root_path))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (root_path, "" if root_path else "/")


@pytest.mark.parametrize(
    ("path", "root_path", "expected"),
    [
        pytest.param("/app/users", "/app", ("/app", "/users"), id="inside"),
        pytest.param("/app", "/app", ("/app", ""), id="the mount itself"),
        pytest.param("/app/", "/app", ("/app", "/"), id="the mount and a slash"),
        pytest.param("/app//x", "/app", ("/app", "//x"), id="two slashes after the mount"),
        pytest.param("/apple", "/app", ("/app", "/apple"), id="same letters"),
        pytest.param("/APP/x", "/app", ("/app", "/APP/x"), id="other case"),
        pytest.param("/a/b/c", "/a/b", ("/a/b", "/c"), id="two segments"),
        pytest.param("/app/app/x", "/app", ("/app", "/app/x"), id="mount twice"),
        pytest.param("/users", "/app", ("/app", "/users"), id="mount left out of the path"),
        pytest.param("/", "/app", ("/app", "/"), id="mount left out of the root"),
        pytest.param("/app/x", "/app/", ("/app", "/x"), id="root_path with a slash at its end"),
        pytest.param("/x", "/", ("", "/x"), id="root_path is only a slash"),
        pytest.param("/", "/", ("", "/"), id="both are only a slash"),
        pytest.param("/café/x", "/café", ("/caf\xc3\xa9", "/x"), id="mount not ASCII"),
        pytest.param("/x", "/café", ("/caf\xc3\xa9", "/x"), id="mount not ASCII, left out"),
        pytest.param("/cafés", "/café", ("/caf\xc3\xa9", "/caf\xc3\xa9s"), id="mount not ASCII, same letters"),
        pytest.param("/app/é", "/app", ("/app", "/\xc3\xa9"), id="path not ASCII"),
    ],
)
def test_mount_ends_at_a_segment_border(path: str, root_path: str, expected: tuple[str, str]) -> None:
    """PATH_INFO loses whole segments of the mount, where they are there; SCRIPT_NAME never ends with a slash."""
    assert split_mount(path, root_path) == expected


@pytest.mark.parametrize(
    ("path", "raw_path"),
    [
        pytest.param("/app/\ufffd/é", b"/app/%FF/%C3%A9", id="in both"),
        pytest.param("/\ufffd/é", b"/%FF/%C3%A9", id="in neither"),
        pytest.param("/\ufffd/é", b"/app/%FF/%C3%A9", id="in raw_path only"),
        pytest.param("/app/\xff/\xc3\xa9", b"/app/%FF/%C3%A9", id="in both, decoded as latin-1"),
        pytest.param("/\xff/\xc3\xa9", b"/%FF/%C3%A9", id="in neither, decoded as latin-1"),
        pytest.param("/\xff/\xc3\xa9", b"/app/%FF/%C3%A9", id="in raw_path only, decoded as latin-1"),
    ],
)
def test_mount_may_be_in_the_path_or_left_out(path: str, raw_path: bytes) -> None:
    """Uvicorn puts root_path into both, other servers into neither, a middleware may cut only the path."""
    assert split_mount(path, "/app", raw_path) == ("/app", "/\xff/\xc3\xa9")


@pytest.mark.parametrize(
    ("path", "raw_path", "path_info"),
    [
        pytest.param("/app/x", b"/app/app/x", "/app/x", id="cut"),
        pytest.param("/app/x", b"/%61pp/app/x", "/app/x", id="cut, escaped in the target"),
        pytest.param("/app", b"/app/app", "/app", id="cut, the mount itself"),
        pytest.param("/app/é", b"/app/app/%C3%A9", "/app/\xc3\xa9", id="cut, not ASCII"),
        pytest.param("/app/x", b"/app/x", "/x", id="not cut"),
        pytest.param("/app/app/x", b"/app/app/x", "/app/x", id="not cut, twice"),
    ],
)
def test_path_that_begins_like_its_mount_keeps_it(path: str, raw_path: bytes, path_info: str) -> None:
    """Starlette before 0.33 cut the mount off path, and left raw_path alone (routing.py, Mount.matches())."""
    assert split_mount(path, "/app", raw_path) == ("/app", path_info)


def test_headers_that_repeat_cost_what_they_are_long() -> None:
    """Joined one after another they would cost its square, on the event loop (CVE-2025-14550 of asgiref)."""

    class Counting(dict[str, Any]):
        written = 0

        def __setitem__(self, key: str, value: Any) -> None:
            self.written += len(value)
            super().__setitem__(key, value)

    environ = Counting()

    add_headers(environ, [(b"x-a", b"1")] * 1000)

    assert environ == {"HTTP_X_A": ",".join("1" * 1000)}
    assert environ.written <= 2 * len(environ["HTTP_X_A"])


def test_mount_may_be_escaped_in_the_target() -> None:
    """RFC 3986, 2.3: a client may escape any character."""
    environ = build_environ(target_scope(b"/%61pp/caf%C3%A9", root_path="/app"))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/caf\xc3\xa9")


@pytest.mark.parametrize(
    ("path", "raw_path"),
    [
        pytest.param("/api/app/\ufffd", b"/api/app/%FF", id="Uvicorn"),
        pytest.param("/app/\ufffd", b"/app/%FF", id="any other server"),
        pytest.param("/\ufffd", b"/app/%FF", id="any other server, Starlette before 0.33"),
    ],
)
def test_mount_of_a_framework_comes_after_that_of_the_server(path: str, raw_path: bytes) -> None:
    """Starlette adds "/app" of a Mount to "/api", the server's root path, and says what that was."""
    environ = build_environ(http_scope(path=path, raw_path=raw_path, root_path="/api/app", app_root_path="/api"))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/api/app", "/\xff")


def test_mount_without_a_slash_is_the_servers_error() -> None:
    """RFC 3875, 4.1.13: SCRIPT_NAME is "" or starts with "/"."""
    with pytest.raises(ServerError, match=r"root_path must .* start with '/'.*'app'"):
        build_environ(http_scope(root_path="app"))


@pytest.mark.parametrize(
    ("target", "host", "path_info"),
    [
        pytest.param(b"http://example.org:81/a/b", "example.org:81", "/a/b", id="host, port, path"),
        pytest.param(b"http://example.org", "example.org", "/", id="no path"),
        pytest.param(
            b"HTTPS://user:secret@example.org/", "example.org", "/", id="scheme in capitals, user information"
        ),
        pytest.param(b"http://[::1]:81/%FF%C3%A9", "[::1]:81", "/\xff\xc3\xa9", id="IPv6, path not UTF-8"),
        pytest.param(b"http://example.org//a", "example.org", "//a", id="double slash"),
        pytest.param(b"http://ex%61mple.org/%61", "ex%61mple.org", "/a", id="escape in the host, which a path decodes"),
        pytest.param(b"http://a%0D%0Ab/", "a%0D%0Ab", "/", id="escaped CR LF in the host"),
    ],
)
def test_absolute_form_names_the_host_and_the_path(target: bytes, host: str, path_info: str) -> None:
    """RFC 9112, 3.2.2: a server must accept it, and ignore the Host field; most leave it in the path."""
    environ = build_environ(target_scope(target))

    assert (environ["HTTP_HOST"], environ["PATH_INFO"]) == (host, path_info)
    check(environ)


def test_host_of_the_absolute_form_keeps_its_bytes() -> None:
    """Where a server lets bytes through that are no URL's."""
    environ = build_environ(target_scope(b"http://caf\xe9/\xe9", lambda target: target.decode("latin-1")))

    assert (environ["HTTP_HOST"], environ["PATH_INFO"]) == ("caf\xe9", "/\xe9")


def test_absolute_form_is_cut_before_the_mount() -> None:
    """The mount is part of the path, so it comes after the authority."""
    environ = build_environ(target_scope(b"http://example.org/app/caf%C3%A9", root_path="/app"))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", "/caf\xc3\xa9")


@pytest.mark.parametrize(
    ("target", "path_info"),
    [
        pytest.param(b"/app*", "", id="asterisk form"),
        pytest.param(b"/apphttp://example.org/a", "/a", id="absolute form"),
        pytest.param(b"/apphttp://example.org/app/a", "/a", id="absolute form that names the mount"),
    ],
)
def test_mount_may_stand_before_a_target_that_is_no_path(target: bytes, path_info: str) -> None:
    """Uvicorn puts --root-path before the whole target, whatever its form (RFC 9112, 3.2)."""
    environ = build_environ(target_scope(target, root_path="/app"))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/app", path_info)


def test_host_in_the_target_brings_in_no_control_characters() -> None:
    """RFC 9110, 5.5: no field value has them, so no application expects them in HTTP_HOST. Here raw_path is missing."""
    with pytest.raises(BadRequest):
        build_environ(http_scope(path="http://a\r\nX-Evil: 1/", raw_path=None))


@pytest.mark.parametrize("root_path", ["", "/app"])
def test_asterisk_form_has_no_path(root_path: str) -> None:
    """RFC 9112, 3.3: the path of "OPTIONS *" is empty; RFC 3875, 4.1.5: PATH_INFO is empty or starts with "/"."""
    environ = build_environ({**target_scope(b"*", root_path=root_path), "method": "OPTIONS"})

    assert environ["PATH_INFO"] in ("", "/")
    assert environ["REQUEST_URI"] == "*"
    check(environ)


@pytest.mark.parametrize("target", [b"users", b"example.org:443", b"@/users", b"http:///users"])
def test_target_of_no_form_is_refused(target: bytes) -> None:
    """RFC 9112, 3.2: none of the forms of a request to an origin server; RFC 9110, 4.2.1: an empty host is invalid."""
    with pytest.raises(BadRequest):
        build_environ(target_scope(target))


# -- the request line -----------------------------------------------------------------------------------------


def test_method_and_query_arrive_as_they_were_sent() -> None:
    """RFC 3875, 4.1.7 and 4.1.12; method names are case-sensitive (RFC 9110, 9.1) and Uvicorn keeps them."""
    environ = build_environ(http_scope("pATCH", query_string=b"a=1&b=caf%C3%A9&b=\xff+?/"))

    assert (environ["REQUEST_METHOD"], environ["QUERY_STRING"]) == ("pATCH", "a=1&b=caf%C3%A9&b=\xff+?/")


@pytest.mark.parametrize(
    ("version", "protocol"),
    [
        ("1", "HTTP/1.0"),
        ("1.0", "HTTP/1.0"),
        ("1.1", "HTTP/1.1"),
        ("2", "HTTP/2.0"),
        ("3", "HTTP/3.0"),
        ("4.2", "HTTP/4.2"),
    ],
)
def test_protocol_has_major_and_minor_version(version: str, protocol: str) -> None:
    """RFC 3875, 4.1.16: "HTTP" "/" 1*digit "." 1*digit."""
    assert build_environ(http_scope(http_version=version))["SERVER_PROTOCOL"] == protocol


@pytest.mark.parametrize(("scheme", "https"), [("http", None), ("https", "on")])
def test_scheme_tells_whether_the_request_was_encrypted(scheme: str, https: str | None) -> None:
    """PEP 3333, "URL Reconstruction": wsgi.url_scheme; HTTPS is what Apache sets, and only then."""
    environ = build_environ(http_scope(scheme=scheme))

    assert (environ["wsgi.url_scheme"], environ.get("HTTPS")) == (scheme, https)


@pytest.mark.parametrize(
    ("scope", "uri"),
    [
        pytest.param(target_scope(b"/caf%C3%A9%2f;x"), "/caf%C3%A9%2f;x", id="every escape is kept"),
        pytest.param(target_scope(b"/a", query_string=b"b=%2F&c=?"), "/a?b=%2F&c=?", id="query"),
        pytest.param(target_scope(b"/a?b=1", query_string=b"b=1"), "/a?b=1", id="raw_path with the query"),
        pytest.param(target_scope(b"http://h/a", query_string=b"b"), "http://h/a?b", id="absolute form"),
        pytest.param(http_scope(path="/é ?#", raw_path=None), "/%C3%A9%20%3F%23", id="no raw_path"),
        pytest.param(http_scope(path="/100%2F", raw_path=None), "/100%252F", id="no raw_path, a percent sign"),
        pytest.param(http_scope(path="", raw_path=b""), "/", id="empty"),
    ],
)
def test_request_uri_is_the_target_as_it_was_sent(scope: Scope, uri: str) -> None:
    """REQUEST_URI and RAW_URI; where the target is not known, one that decodes to the path (RFC 3986, 2.4)."""
    environ = build_environ(scope)

    assert (environ["REQUEST_URI"], environ["RAW_URI"]) == (uri, uri)


# -- addresses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("server", "scheme", "expected"),
    [
        pytest.param(("10.0.0.1", 8000), "http", ("10.0.0.1", "8000"), id="tuple"),
        pytest.param(["10.0.0.1", 8000], "http", ("10.0.0.1", "8000"), id="list, as Daphne has it"),
        pytest.param(("10.0.0.1", "8000"), "http", ("10.0.0.1", "8000"), id="port is text, as Granian has it"),
        pytest.param(("::1", 8000), "http", ("[::1]", "8000"), id="IPv6"),
        pytest.param(("/run/app.sock", None), "http", ("localhost", "80"), id="UNIX socket"),
        pytest.param(("/run/app.sock", None), "https", ("localhost", "443"), id="UNIX socket behind TLS"),
        pytest.param(None, "https", ("localhost", "443"), id="None"),
    ],
)
def test_server_name_and_port_are_never_empty(server: object, scheme: str, expected: tuple[str, str]) -> None:
    """PEP 3333: "can never be empty strings"; RFC 3875, 4.1.14: an IPv6 address stands in brackets."""
    environ = build_environ(http_scope(server=server, scheme=scheme))

    assert (environ["SERVER_NAME"], environ["SERVER_PORT"]) == expected


@pytest.mark.parametrize(
    ("client", "expected"),
    [
        pytest.param(("10.0.0.2", 50000), ("10.0.0.2", "50000"), id="tuple"),
        pytest.param(["10.0.0.2", 50000], ("10.0.0.2", "50000"), id="list"),
        pytest.param(("10.0.0.2", "50000"), ("10.0.0.2", "50000"), id="port is text"),
        pytest.param(("::1", 50000), ("::1", "50000"), id="IPv6"),
        pytest.param(("10.0.0.2", 0), ("10.0.0.2", "0"), id="no port known, as Uvicorn behind a proxy has it"),
        pytest.param(("10.0.0.2", None), ("10.0.0.2", None), id="port is None"),
        pytest.param(None, ("", None), id="None, as on a UNIX socket"),
    ],
)
def test_remote_address_is_there(client: object, expected: tuple[str, str | None]) -> None:
    """RFC 3875, 4.1.8: REMOTE_ADDR must be set, an IPv6 address without brackets."""
    environ = build_environ(http_scope(client=client))

    assert (environ["REMOTE_ADDR"], environ.get("REMOTE_PORT")) == expected


# -- headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param([(b"x-a", b"1")], {"HTTP_X_A": "1"}, id="plain"),
        pytest.param([(b"X-Camel", b"1")], {"HTTP_X_CAMEL": "1"}, id="upper case"),
        pytest.param([[b"x-a", b"1"]], {"HTTP_X_A": "1"}, id="pair is a list"),
        pytest.param([(b"x-a", b"")], {"HTTP_X_A": ""}, id="empty value"),
        pytest.param([(b"x-a", b"caf\xc3\xa9 \xff")], {"HTTP_X_A": "caf\xc3\xa9 \xff"}, id="bytes beyond ASCII"),
        pytest.param([(b"x!#$%&'*+.^`|~1", b"1")], {"HTTP_X!#$%&'*+.^`|~1": "1"}, id="every other token character"),
        pytest.param([(b"x-\xff", b"1")], {"HTTP_X_\xff": "1"}, id="name beyond ASCII"),
        pytest.param(
            [(b"x-a", b"1"), (b"x-b", b"2"), (b"x-a", b"3")], {"HTTP_X_A": "1,3", "HTTP_X_B": "2"}, id="twice"
        ),
        pytest.param([(b"x-a", b"1"), (b"X-A", b"2")], {"HTTP_X_A": "1,2"}, id="twice, in two cases"),
        pytest.param([(b"x-a", b""), (b"x-a", b"")], {"HTTP_X_A": ","}, id="twice, empty"),
        pytest.param([(b"cookie", b"a=1"), (b"cookie", b"b=2")], {"HTTP_COOKIE": "a=1; b=2"}, id="cookies"),
        pytest.param([(b"content-type", b"text/plain")], {"CONTENT_TYPE": "text/plain"}, id="Content-Type"),
        pytest.param([(b"Content-Length", b"5")], {"CONTENT_LENGTH": "5"}, id="Content-Length"),
        pytest.param([(b"x_a", b"1")], {}, id="underscore"),
        pytest.param([(b"x-forwarded_for", b"1")], {}, id="underscore and hyphen"),
        pytest.param([(b"x-a", b"1"), (b"x_a", b"2")], {"HTTP_X_A": "1"}, id="forged by an underscore"),
        pytest.param([(b"content_length", b"9")], {}, id="Content_Length"),
        pytest.param([(b"proxy", b"http://evil")], {}, id="Proxy"),
        pytest.param([(b"Proxy", b"http://evil")], {}, id="Proxy, upper case"),
        pytest.param([(b"proxy-authorization", b"x")], {"HTTP_PROXY_AUTHORIZATION": "x"}, id="Proxy-Authorization"),
        pytest.param([(b"proxys", b"x")], {"HTTP_PROXYS": "x"}, id="starts like Proxy"),
    ],
)
def test_headers_become_variables(headers: list[tuple[bytes, bytes]], expected: dict[str, str]) -> None:
    """RFC 3875, 4.1.18; RFC 9110, 5.3 (``,``); RFC 6265, 5.4 (``; ``); CVE-2016-5385 and forged names are kept out."""
    environ = build_environ({**http_scope(), "headers": headers})

    assert {key: environ[key] for key in environ if key.startswith(("HTTP_", "CONTENT_"))} == expected


def test_headers_cannot_replace_other_variables() -> None:
    """RFC 3875, 4.1.18: all but two start with HTTP_."""
    forged = [b"script-name", b"path-info", b"remote-addr", b"https", b"wsgi.url-scheme", b"asgi.scope", b""]
    clean = build_environ(http_scope())
    environ = build_environ(http_scope(headers=[(name, b"forged") for name in forged]))

    assert {key: value for key, value in environ.items() if value == "forged" and not key.startswith("HTTP_")} == {}
    assert clean.keys() <= environ.keys()


@pytest.mark.parametrize("values", [[b"5"], [b"5", b"5"], [b"5, 5"], [b" 5 "]])
def test_content_length_is_one_decimal_number(values: list[bytes]) -> None:
    """RFC 9110, 8.6: repeated equal values may be taken for the one value."""
    assert build_environ(http_scope(headers=[(b"content-length", value) for value in values]))["CONTENT_LENGTH"] == "5"


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([b"5", b"6"], id="two different"),
        pytest.param([b"-1"], id="negative"),
        pytest.param([b"+1"], id="plus"),
        pytest.param([b"1_0"], id="underscore"),
        pytest.param([b"\xb2"], id="superscript two"),
        pytest.param([b"ten"], id="word"),
        pytest.param([b""], id="empty"),
        pytest.param([b"9" * 5000], id="more digits than int() takes"),
    ],
)
def test_content_length_that_is_none_is_refused(values: list[bytes]) -> None:
    """RFC 9112, 6.3: the server must answer 400, since nobody knows where the request ends."""
    with pytest.raises(BadRequest, match="Content-Length"):
        build_environ(http_scope(headers=[(b"content-length", value) for value in values]))


def test_names_that_clients_make_up_do_not_fill_memory() -> None:
    """DESIGN.md, "Rules": every cache has a limit."""
    build_environ(http_scope(headers=[(b"x" * 10_000, b"")]))
    for number in range(3000):
        build_environ(http_scope(headers=[(b"x-%d" % number, b"")]))

    assert len(environ_module._KEYS) <= environ_module._KNOWN_NAMES_LIMIT
    assert max(map(len, environ_module._KEYS)) < 10_000
    assert build_environ(http_scope(headers=[(b"x-one-more", b"1")]))["HTTP_X_ONE_MORE"] == "1"


@given(name=st.binary(max_size=8))
def test_name_means_the_same_in_either_case(name: bytes) -> None:
    """RFC 9110, 5.1: field names are case-insensitive, in ASCII."""
    assert environ_key(name.lower()) == environ_key(name.upper())


# -- TLS ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        pytest.param({"tls_version": 0x0304}, {"SSL_PROTOCOL": "TLSv1.3"}, id="version"),
        pytest.param({"tls_version": 0x0303}, {"SSL_PROTOCOL": "TLSv1.2"}, id="older version"),
        pytest.param({"tls_version": 0x0399}, {"SSL_PROTOCOL": "0x0399"}, id="unknown version"),
        pytest.param({"tls_version": None, "cipher_suite": None, "server_cert": None}, {}, id="nothing known"),
        pytest.param({"cipher_suite": 0x1301}, {"SSL_CIPHER": "0x1301"}, id="cipher suite"),
        pytest.param({"cipher_suite": 0}, {"SSL_CIPHER": "0x0000"}, id="cipher suite null"),
        pytest.param({"server_cert": "PEM"}, {"SSL_SERVER_CERT": "PEM"}, id="server's certificate"),
        pytest.param(
            {"client_cert_chain": iter(["leaf", "middle", "root"]), "client_cert_name": "CN=Zoë"},
            {
                "SSL_CLIENT_CERT": "leaf",
                "SSL_CLIENT_CERT_CHAIN_0": "middle",
                "SSL_CLIENT_CERT_CHAIN_1": "root",
                "SSL_CLIENT_S_DN": "CN=Zo\xc3\xab",
                "SSL_CLIENT_VERIFY": "SUCCESS",
            },
            id="client's certificate",
        ),
        pytest.param(
            {"client_cert_chain": ["leaf"]},
            {"SSL_CLIENT_CERT": "leaf", "SSL_CLIENT_VERIFY": "SUCCESS"},
            id="client's certificate without its name",
        ),
        pytest.param(
            {"client_cert_name": "CN=a", "client_cert_chain": ()},
            {"SSL_CLIENT_S_DN": "CN=a", "SSL_CLIENT_VERIFY": "SUCCESS"},
            id="client's name without the certificate, as behind a proxy",
        ),
        pytest.param(
            {"client_cert_chain": ["leaf"], "client_cert_name": "CN=a", "client_cert_error": "expired"},
            {"SSL_CLIENT_CERT": "leaf", "SSL_CLIENT_S_DN": "CN=a", "SSL_CLIENT_VERIFY": "FAILED:expired"},
            id="client's certificate refused",
        ),
    ],
)
def test_facts_of_tls_become_variables(facts: dict[str, Any], expected: dict[str, str]) -> None:
    """ASGI TLS extension 0.2; names and values of mod_ssl, whose SSL_CLIENT_VERIFY is NONE without a certificate."""
    assert tls_variables(facts) == {"SSL_CLIENT_VERIFY": "NONE", **expected}


def test_environ_holds_the_facts_of_tls() -> None:
    """All variables are text, as wsgiref checks."""
    facts = {"server_cert": "PEM", "client_cert_chain": ["leaf"], "tls_version": 0x0304, "cipher_suite": 0x1301}
    environ = build_environ(http_scope(scheme="https", extensions={"tls": facts}))

    assert environ["SSL_PROTOCOL"] == "TLSv1.3"
    check(environ)


# -- the whole ------------------------------------------------------------------------------------------------

OPTIONAL = [
    "scheme",
    "root_path",
    "raw_path",
    "client",
    "server",
    "query_string",
    "http_version",
    "extensions",
    "state",
]


@pytest.mark.parametrize("value", ["absent", None])
@pytest.mark.parametrize("keys", [*([key] for key in OPTIONAL), OPTIONAL], ids=",".join)
def test_optional_keys_may_be_absent_or_none(keys: list[str], value: str | None) -> None:
    """ASGI HTTP specification: what is missing is what is usual."""
    scope: Scope = {**http_scope(), **dict.fromkeys(keys)}
    if value == "absent":
        for key in keys:
            del scope[key]
    environ = build_environ(scope)

    assert (environ["PATH_INFO"], environ["QUERY_STRING"], environ["REQUEST_URI"]) == ("/", "", "/")
    assert (environ["wsgi.url_scheme"], environ["SERVER_PROTOCOL"]) == ("http", "HTTP/1.1")
    check(environ)


def test_environ_is_what_pep_3333_asks_for() -> None:
    """PEP 3333, "environ Variables": a builtin dict, str for what is CGI's, the wsgi.* values as they are typed."""
    environ = build_environ(target_scope(b"/app/%FF", root_path="/app", headers=[(b"content-type", b"a/b")]))

    assert type(environ) is dict
    assert environ["wsgi.version"] == (1, 0)
    assert environ["wsgi.errors"] is sys.stderr
    assert environ["wsgi.file_wrapper"] is FileWrapper
    flags = [environ[f"wsgi.{name}"] for name in ("multithread", "multiprocess", "run_once", "input_terminated")]
    assert flags == [True, True, False, True]
    check(environ)


def test_url_can_be_put_together_again() -> None:
    """PEP 3333, "URL Reconstruction", as wsgiref does it, for a request without a Host header."""
    scope = target_scope(b"/app/a%20b", root_path="/app", query_string=b"c=d", server=("::1", 8000), headers=[])

    assert request_uri(build_environ({**scope, "headers": []})) == "http://[::1]:8000/app/a%20b?c=d"


def test_environ_of_one_exchange_is_not_that_of_another() -> None:
    """An application may do with environ what it likes (PEP 3333)."""
    first = build_environ(http_scope())
    first.clear()
    first["wsgi.version"] = "broken"

    check(build_environ(http_scope()))


def test_application_finds_the_scope() -> None:
    """The scope is there with every key, the server's own included."""
    scope = http_scope(state={"pool": object()}, extensions={"http.response.pathsend": {}})

    assert build_environ(scope)["asgi.scope"] == scope


@pytest.mark.parametrize("show", [repr, str, format, pformat, lambda scope: repr([scope])])
def test_scope_does_not_show_header_values(show: Callable[[object], str]) -> None:
    """DESIGN.md: debug pages print environ, and would print cookies with it."""
    scope = http_scope(headers=[(b"cookie", b"session=secret"), (b"authorization", b"Bearer secret")])
    shown = show(build_environ(scope)["asgi.scope"])

    assert "secret" not in shown
    assert "authorization" in shown
    assert "testserver" not in shown


# -- properties -----------------------------------------------------------------------------------------------

VISIBLE = bytes(set(range(0x21, 0x7F)) - set(b"?#"))
piece = st.one_of(
    st.integers(0, 255).map(lambda byte: b"%%%02X" % byte),
    st.sampled_from([b"/", b"%2f", b"%25", b"%", b"..", b"app", b"caf%C3%A9", b"%ED%A0%80", b"://", b"@"]),
    st.sampled_from([bytes([byte]) for byte in VISIBLE]),
)
target_tail = st.lists(piece, max_size=12).map(b"".join)
field_value = st.binary(max_size=12)
field_name = st.one_of(
    st.sampled_from([b"cookie", b"host", b"content-type", b"x-a", b"X-A", b"x_a", b"proxy"]),
    st.text("!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=6).map(str.encode),
)


def mounted_everywhere(mount: str, target: bytes, decode: Callable[[bytes], str]) -> Scope:
    """Uvicorn with --root-path, and Starlette's Mount: path and raw_path hold the mount."""
    return target_scope(quote(mount).encode() + target, decode, root_path=mount)


def mounted_nowhere(mount: str, target: bytes, decode: Callable[[bytes], str]) -> Scope:
    """Every other server with a root path: the proxy in front has cut the mount off."""
    return target_scope(target, decode, root_path=mount)


def mounted_in_raw_path(mount: str, target: bytes, decode: Callable[[bytes], str]) -> Scope:
    """A middleware has cut the mount off path, and left raw_path alone."""
    return http_scope(path=decode(target), raw_path=quote(mount).encode() + target, root_path=mount)


@pytest.mark.parametrize("decode", [decode_utf_8, decode_latin_1])
@pytest.mark.parametrize("place", [mounted_everywhere, mounted_nowhere, mounted_in_raw_path])
@settings(deadline=None)
@given(mount=st.sampled_from(["", "/app", "/a/b", "/café"]), tail=target_tail)
def test_path_survives_byte_for_byte(
    place: Callable[[str, bytes, Callable[[bytes], str]], Scope],
    decode: Callable[[bytes], str],
    mount: str,
    tail: bytes,
) -> None:
    """SCRIPT_NAME and PATH_INFO together are the decoded bytes of mount and target."""
    target = b"/" + tail
    exact = unquote_to_bytes(target).decode("latin-1")
    # Where raw_path does not tell, a path that begins like its mount is taken for one that has it.
    assume(place is not mounted_nowhere or not mount or not (exact + "/").startswith(native(mount) + "/"))
    environ = build_environ(place(mount, target, decode))

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == (native(mount), exact)
    check(environ)


@settings(deadline=None)
@given(query=field_value, headers=st.lists(st.tuples(field_name, field_value), max_size=6))
def test_query_and_headers_survive_byte_for_byte(query: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    """What comes in latin-1 goes out as the same bytes; repeated values are there in their order."""
    environ = build_environ({**http_scope(query_string=query), "headers": headers})
    sent: dict[str, list[bytes]] = {}
    for name, value in headers:
        if b"_" not in name and name != b"proxy":
            sent.setdefault(name.decode().upper().replace("-", "_"), []).append(value)
    content_type = sent.pop("CONTENT_TYPE", None)
    expected = {f"HTTP_{name}": (b"; " if name == "COOKIE" else b",").join(values) for name, values in sent.items()}
    if content_type is not None:
        expected["CONTENT_TYPE"] = b",".join(content_type)

    assert environ["QUERY_STRING"].encode("latin-1") == query
    got = {key: environ[key].encode("latin-1") for key in environ if key.startswith(("HTTP_", "CONTENT_"))}
    assert got == expected
    check(environ)


@settings(deadline=None)
@given(
    target=st.one_of(target_tail, target_tail.map(b"/".__add__), target_tail.map(b"http://".__add__), st.just(b"*")),
    root_path=st.sampled_from(["", "/", "/app", "/café/", "app"]),
    lengths=st.lists(field_value | st.integers(0).map(lambda number: b"%d" % number), max_size=2),
    query=field_value,
    decode=st.sampled_from([decode_utf_8, decode_latin_1]),
)
def test_any_request_gives_a_valid_environ_or_a_documented_error(
    target: bytes, root_path: str, lengths: list[bytes], query: bytes, decode: Callable[[bytes], str]
) -> None:
    """Whatever a server lets through, nothing but BadRequest and ServerError comes out, and no broken environ."""
    headers = [(b"content-length", length) for length in lengths]
    try:
        environ = build_environ(target_scope(target, decode, root_path=root_path, query_string=query, headers=headers))
    except BridgeError as error:
        assert type(error) in (BadRequest, ServerError)  # noqa: PT017  # any other is a failure by itself
        return
    check(environ)


def test_addresses_do_not_fill_memory() -> None:
    """DESIGN.md, "Rules": every cache has a limit; beyond it the environ is the same."""
    for number in range(200):
        environ = build_environ(http_scope(server=(f"10.0.0.{number}", 8000)))
        assert environ["SERVER_NAME"] == f"10.0.0.{number}"

    assert len(environ_module._BASES) <= environ_module._BASES_LIMIT

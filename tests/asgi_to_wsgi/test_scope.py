"""Environ to scope: the ASGI specification on one side, what servers really give (SERVERS.md, 3.3) on the other."""

from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.asgi_to_wsgi import scope as scope_module
from bridge.asgi_to_wsgi.scope import build_scope, header_name
from bridge.errors import BadRequest, ServerError
from bridge.wsgi_to_asgi.environ import build_environ
from tests.asgi import Environ, Scope

pytestmark = pytest.mark.usefixtures("_names_of_this_test")


@pytest.fixture
def _names_of_this_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a test that fills the tables fill its own."""
    monkeypatch.setattr(scope_module, "_NAMES", dict(scope_module._NAMES))
    monkeypatch.setattr(scope_module, "_SERVERS", {})


def make_environ(**variables: Any) -> Environ:
    """The environ of GET / as PEP 3333 requires it, with *variables*; None takes one away."""
    environ = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/",
        "QUERY_STRING": "",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.2",
        "REMOTE_PORT": "50000",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        **variables,
    }
    return {key: value for key, value in environ.items() if value is not None}


def scope_of(**variables: Any) -> Scope:
    return build_scope(make_environ(**variables), None)


def paths_of(**variables: Any) -> tuple[str, str, bytes]:
    scope = scope_of(**variables)
    return scope["root_path"], scope["path"], scope["raw_path"]


def headers_of(**variables: Any) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = scope_of(**variables)["headers"]
    return headers


# -- path -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["RAW_URI", "REQUEST_URI", "RAW_PATH_INFO"])
@pytest.mark.parametrize(
    ("target", "path_info", "path"),
    [
        pytest.param("/", "/", "/", id="root"),
        pytest.param("/a/b", "/a/b", "/a/b", id="ASCII"),
        pytest.param("/caf%C3%A9", "/caf\xc3\xa9", "/café", id="UTF-8"),
        pytest.param("/caf\xc3\xa9", "/caf\xc3\xa9", "/café", id="UTF-8 that is not escaped"),
        pytest.param("/%FF%FE", "/\xff\xfe", "/\ufffd\ufffd", id="not UTF-8"),
        pytest.param("/%61%2fb", "/a/b", "/a/b", id="escapes that were not needed"),
        pytest.param("/100%25", "/100%", "/100%", id="escaped percent"),
        pytest.param("/%252F", "/%2F", "/%2F", id="percent escaped twice"),
        pytest.param("/a+b;c=d", "/a+b;c=d", "/a+b;c=d", id="plus and parameters"),
        pytest.param("/%00%0D%0A", "/\0\r\n", "/\0\r\n", id="control characters"),
        pytest.param("//two//slashes", "//two//slashes", "//two//slashes", id="double slashes"),
    ],
)
def test_path_is_decoded_and_raw_path_is_as_it_was_sent(key: str, target: str, path_info: str, path: str) -> None:
    """ASGI HTTP specification: path is UTF-8 with the escapes decoded; raw_path is unmodified."""
    assert paths_of(PATH_INFO=path_info, **{key: target}) == ("", path, target.encode("latin-1"))


@pytest.mark.parametrize(
    ("path_info", "raw_path"),
    [
        pytest.param("/a/b", b"/a/b", id="ASCII"),
        pytest.param("/caf\xc3\xa9", b"/caf%C3%A9", id="UTF-8"),
        pytest.param("/\xff", b"/%FF", id="not UTF-8"),
        pytest.param("/a b?#", b"/a%20b%3F%23", id="delimiters"),
        pytest.param("/%2F", b"/%252F", id="percent"),
        pytest.param("/:@!$&'()*+,;=~-._", b"/:@!$&'()*+,;=~-._", id="what RFC 3986 allows in a path"),
    ],
)
def test_raw_path_is_the_quoted_path_where_the_server_does_not_tell(path_info: str, raw_path: bytes) -> None:
    """RFC 3986, 3.3 and 2.4: it decodes to the bytes of the path."""
    assert paths_of(PATH_INFO=path_info)[2] == raw_path


@pytest.mark.parametrize(
    ("target", "path_info"),
    [
        pytest.param("/a?b=/c", "/a", id="query"),
        pytest.param("/a?b?c", "/a", id="query with a question mark"),
        pytest.param("http://example.org/a", "/a", id="absolute form"),
        pytest.param("http://user@example.org:81/a?b", "/a", id="absolute form with everything"),
    ],
)
def test_raw_path_is_only_the_path(target: str, path_info: str) -> None:
    """ASGI HTTP specification: "The original HTTP path component, excluding any query string"."""
    assert paths_of(PATH_INFO=path_info, RAW_URI=target)[2] == b"/a"


def test_absolute_form_without_a_path_has_the_root() -> None:
    """RFC 9110, 4.2.3: an empty path is "/"."""
    assert paths_of(RAW_URI="http://example.org?a") == ("", "/", b"/")


@pytest.mark.parametrize(
    ("target", "path_info"),
    [
        pytest.param("/a/../b/./c", "/b/c", id="dot segments, as Apache resolves them"),
        pytest.param("/%2e%2E/b", "/b", id="escaped dot segments"),
        pytest.param("//env/../x", "//x", id="uWSGI"),
        pytest.param("//env/../x", "/x", id="Apache"),
        pytest.param("/a/b/..", "/a/", id="dot segment at the end"),
        pytest.param("//a", "/a", id="double slash, as Waitress cuts it"),
        pytest.param("/env/%C3%A9%2Fs%2f", "/env/\xc3\xa9%2Fs%2f", id="escaped slash, as Cheroot keeps it"),
        pytest.param("/%FF", "/\xef\xbf\xbd", id="not UTF-8, as Werkzeug replaces it"),
    ],
)
def test_raw_path_is_kept_where_the_server_normalised_path_info(target: str, path_info: str) -> None:
    """SERVERS.md, 3.3: such servers differ in how they decode, not in what was asked for."""
    assert paths_of(PATH_INFO=path_info, RAW_URI=target)[2] == target.encode()


@pytest.mark.parametrize(
    ("target", "path_info", "raw_path"),
    [
        pytest.param("/admin", "/login", b"/login", id="other path"),
        pytest.param("/v1/caf%C3%A9", "/caf\xc3\xa9", b"/caf%C3%A9", id="prefix taken away"),
        pytest.param("/a", "/a/", b"/a/", id="slash appended"),
        pytest.param("/a/", "/a", b"/a", id="slash cut off"),
        pytest.param("/%61%2Fb", "/c", b"/c", id="other path, escapes"),
        pytest.param("/%2561", "/a", b"/a", id="decoded twice"),
        pytest.param("/a#b", "/a", b"/a", id="fragment"),
        pytest.param("example.org:443", "/a", b"/a", id="authority form"),
        pytest.param("*", "/a", b"/a", id="asterisk form"),
        pytest.param("/%61", "/%61", b"/%2561", id="a path with an escape, which PATH_INFO has decoded"),
    ],
)
def test_raw_path_follows_a_path_that_was_rewritten(target: str, path_info: str, raw_path: bytes) -> None:
    """An application that routes by raw_path must not be led past a middleware that rewrites PATH_INFO."""
    assert paths_of(PATH_INFO=path_info, RAW_URI=target)[2] == raw_path


@pytest.mark.parametrize(
    ("script_name", "path_info", "root_path", "path"),
    [
        pytest.param("/app", "/users", "/app", "/app/users", id="inside"),
        pytest.param("/app", "", "/app", "/app", id="the mount itself"),
        pytest.param("/app", "/", "/app", "/app/", id="the mount and a slash"),
        pytest.param("/app/", "/x", "/app", "/app/x", id="SCRIPT_NAME with a slash at its end"),
        pytest.param("/", "/x", "", "/x", id="SCRIPT_NAME is only a slash"),
        pytest.param("app", "/x", "/app", "/app/x", id="SCRIPT_NAME without its slash"),
        pytest.param("/caf\xc3\xa9", "/\xc3\xa9", "/café", "/café/é", id="not ASCII"),
        pytest.param("/\xff", "/x", "/\ufffd", "/\ufffd/x", id="not UTF-8"),
        pytest.param(None, None, "", "/", id="neither"),
        pytest.param("", "", "", "/", id="both empty"),
    ],
)
def test_path_includes_the_mount(script_name: str | None, path_info: str | None, root_path: str, path: str) -> None:
    """ASGI HTTP specification: path includes root_path, which is the same as SCRIPT_NAME."""
    for target in (None, path_info):  # a proxy may have cut the mount off what it sent on
        assert paths_of(SCRIPT_NAME=script_name, PATH_INFO=path_info, RAW_URI=target)[:2] == (root_path, path)


@pytest.mark.parametrize(
    ("script_name", "path_info", "target", "raw_path"),
    [
        pytest.param("/app", "/x%", "/app/x%25", b"/app/x%25", id="moved by a dispatcher"),
        pytest.param("/app", "/x", "/%61pp/x", b"/%61pp/x", id="mount escaped"),
        pytest.param("/app", "/x", "/app/x", b"/app/x", id="plain"),
        pytest.param("/app", "/x", "/x", b"/x", id="mount cut off by a proxy"),
        pytest.param("/outer/app", "/x", "/app/x", b"/app/x", id="outer mount cut off by a proxy"),
        pytest.param("/app", "", "/app", b"/app", id="the mount itself"),
        pytest.param("/app", "/x", "/other/x", b"/app/x", id="another mount"),
        pytest.param("/app", "/a/x", "/x", b"/app/a/x", id="less than PATH_INFO"),
        pytest.param("/\xff", "/x", None, b"/%FF/x", id="not told"),
        pytest.param("/my*x", "", "*x", b"/my*x", id="what is no path"),
    ],
)
def test_raw_path_stays_whole_below_a_mount(
    script_name: str, path_info: str, target: str | None, raw_path: bytes
) -> None:
    """It is what the client sent to this server, whatever part of it became SCRIPT_NAME."""
    assert paths_of(SCRIPT_NAME=script_name, PATH_INFO=path_info, RAW_URI=target)[2] == raw_path


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("target", "host", "path"),
    [
        pytest.param("http://foo:1234/env", b"foo:1234", "/env", id="host, port, path"),
        pytest.param("http://foo", b"foo", "/", id="no path"),
        pytest.param("HTTPS://user:secret@foo/", b"foo", "/", id="scheme in capitals, user information"),
        pytest.param("http://[::1]:81/%C3%A9", b"[::1]:81", "/é", id="IPv6"),
        pytest.param("http://foo//a", b"foo", "//a", id="double slash"),
    ],
)
def test_absolute_form_in_path_info_names_host_and_path(target: str, host: bytes, path: str, raw: bool) -> None:
    """RFC 9112, 3.2.2: its authority replaces the Host field; gevent and uWSGI leave it in PATH_INFO."""
    path_info = unquote_to_bytes(target).decode("latin-1")
    scope = scope_of(PATH_INFO=path_info, RAW_URI=target if raw else None, HTTP_HOST="other", HTTP_X_A="1")

    assert scope["path"] == path
    assert sorted(scope["headers"]) == [(b"host", host), (b"x-a", b"1")]
    assert unquote_to_bytes(scope["raw_path"]).decode() == path


def test_host_with_an_escaped_slash_stays_the_host() -> None:
    """RFC 3986, 2.2: an escaped delimiter delimits nothing. PATH_INFO alone would name the host "good"."""
    scope = scope_of(PATH_INFO="http://good/bad/x", RAW_URI="http://good%2Fbad/x")

    assert (scope["headers"], scope["path"]) == ([(b"host", b"good%2Fbad")], "/x")


def test_host_is_that_of_path_info_where_the_target_says_something_else() -> None:
    """A middleware rewrote it, and an application must not be led past that."""
    scope = scope_of(PATH_INFO="http://new/x", RAW_URI="http://old/y")

    assert (scope["headers"], scope["path"], scope["raw_path"]) == ([(b"host", b"new")], "/x", b"/x")


@pytest.mark.parametrize("target", [None, "*"])
@pytest.mark.parametrize("path_info", ["*", "", "/"])
def test_asterisk_form_has_no_path(path_info: str, target: str | None) -> None:
    """RFC 9112, 3.2.4 and 3.3; an ASGI path starts with a slash."""
    scope = scope_of(REQUEST_METHOD="OPTIONS", PATH_INFO=path_info, REQUEST_URI=target)

    assert scope["path"] == "/"
    assert scope["raw_path"] == (b"*" if target or path_info == "*" else b"/")


@pytest.mark.parametrize("path_info", ["users", "example.org:443", "http:///users", "http://a\r\nx-evil: 1/"])
def test_target_of_no_form_is_refused(path_info: str) -> None:
    """RFC 9112, 3.2: none of the forms of a request to an origin server, or a host that is none."""
    with pytest.raises(BadRequest, match="request target"):
        scope_of(PATH_INFO=path_info)


# -- the request line -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "version"),
    [
        ("HTTP/1.0", "1.0"),
        ("HTTP/1.1", "1.1"),
        ("HTTP/2", "2"),
        ("HTTP/2.0", "2"),
        ("HTTP/3", "3"),
        ("HTTP/3.0", "3"),
        ("HTTP/4.2", "4.2"),
        (None, "1.1"),
        ("", "1.1"),
        ("INCLUDED", "1.1"),
    ],
)
def test_http_version_is_what_asgi_calls_it(protocol: str | None, version: str) -> None:
    """ASGI HTTP specification: one of "1.0", "1.1" or "2"; RFC 3875, 4.1.16 knows INCLUDED."""
    assert scope_of(SERVER_PROTOCOL=protocol)["http_version"] == version


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("a=1&b=caf%C3%A9", b"a=1&b=caf%C3%A9"),
        ("\xff+?/", b"\xff+?/"),
        ("", b""),
        (None, b""),
        ("\u20ac", b"\xe2\x82\xac"),
        ("\udcff", b"\xff"),
        ("\ud800", b"\xed\xa0\x80"),
    ],
    ids=ascii,
)
def test_query_is_bytes(query: str | None, expected: bytes) -> None:
    """PEP 3333, "Unicode Issues": latin-1; what breaks that is UTF-8."""
    assert scope_of(QUERY_STRING=query)["query_string"] == expected


def test_method_is_upper_case() -> None:
    """ASGI HTTP specification: "The HTTP method name, uppercased"."""
    assert scope_of(REQUEST_METHOD="pATCH")["method"] == "PATCH"


def test_scheme_is_that_of_the_server() -> None:
    """PEP 3333: wsgi.url_scheme."""
    assert scope_of(**{"wsgi.url_scheme": "https"})["scheme"] == "https"


@pytest.mark.parametrize("key", ["REQUEST_METHOD", "wsgi.url_scheme"])
def test_missing_variable_is_the_servers_error(key: str) -> None:
    """PEP 3333, "environ Variables": these must be there."""
    with pytest.raises(ServerError, match=key):
        scope_of(**{key: None})


# -- addresses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "port", "client"),
    [
        pytest.param("10.0.0.2", "50000", ("10.0.0.2", 50000), id="port is text"),
        pytest.param("10.0.0.2", 50000, ("10.0.0.2", 50000), id="port is a number, as Werkzeug has it"),
        pytest.param("10.0.0.2", None, ("10.0.0.2", 0), id="no port"),
        pytest.param("10.0.0.2", "", ("10.0.0.2", 0), id="empty port"),
        pytest.param("10.0.0.2", "x", ("10.0.0.2", 0), id="port is no number"),
        pytest.param("::1", "50000", ("::1", 50000), id="IPv6"),
        pytest.param("", "50000", None, id="empty address, as Gunicorn has it on a UNIX socket"),
        pytest.param(None, None, None, id="no address"),
    ],
)
def test_client_has_an_address_and_a_number(address: str | None, port: object, client: tuple[str, int] | None) -> None:
    """ASGI HTTP specification: "[host, port]", host a str and port an int; or None."""
    assert scope_of(REMOTE_ADDR=address, REMOTE_PORT=port)["client"] == client


@pytest.mark.parametrize(
    ("name", "port", "server"),
    [
        pytest.param("10.0.0.1", "8000", ("10.0.0.1", 8000), id="port is text"),
        pytest.param("10.0.0.1", 8000, ("10.0.0.1", 8000), id="port is a number"),
        pytest.param("[::1]", "8000", ("::1", 8000), id="IPv6 in brackets"),
        pytest.param("::1", "8000", ("::1", 8000), id="IPv6"),
        pytest.param("localhost", "", ("localhost", None), id="UNIX socket"),
        pytest.param("localhost", None, ("localhost", None), id="no port"),
        pytest.param("localhost", "/run/app.sock", ("localhost", None), id="port is a path"),
        pytest.param(None, "8000", None, id="no name"),
        pytest.param("", "8000", None, id="empty name"),
    ],
)
def test_server_has_a_name_and_a_number(name: str | None, port: object, server: tuple[str, int] | None) -> None:
    """ASGI HTTP specification: an IP address without brackets; port None for a UNIX socket."""
    for _ in range(2):  # the second time it is known
        assert scope_of(SERVER_NAME=name, SERVER_PORT=port)["server"] == server


# -- headers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        pytest.param({"HTTP_X_A": "1"}, [(b"x-a", b"1")], id="plain"),
        pytest.param({"HTTP_X_A": ""}, [(b"x-a", b"")], id="empty value"),
        pytest.param({"HTTP_X_A": "caf\xc3\xa9\xff"}, [(b"x-a", b"caf\xc3\xa9\xff")], id="bytes beyond ASCII"),
        pytest.param({"HTTP_X_A": "\u20ac"}, [(b"x-a", b"\xe2\x82\xac")], id="beyond latin-1"),
        pytest.param({"HTTP_X_A": "\udcff"}, [(b"x-a", b"\xff")], id="a byte of os.environ"),
        pytest.param({"HTTP_X!#$%&'*+.^`|~1": "1"}, [(b"x!#$%&'*+.^`|~1", b"1")], id="every token character"),
        pytest.param({"HTTP_B": "1", "HTTP_A": "2"}, [(b"b", b"1"), (b"a", b"2")], id="in the environ's order"),
        pytest.param({"HTTP_COOKIE": "a=1; b=2,c"}, [(b"cookie", b"a=1; b=2,c")], id="cookies"),
        pytest.param({"CONTENT_TYPE": "text/plain"}, [(b"content-type", b"text/plain")], id="Content-Type"),
        pytest.param({"CONTENT_LENGTH": "5"}, [(b"content-length", b"5")], id="Content-Length"),
        pytest.param({"CONTENT_LENGTH": "0"}, [(b"content-length", b"0")], id="Content-Length 0"),
        pytest.param({"CONTENT_LENGTH": "005"}, [(b"content-length", b"5")], id="Content-Length with zeros"),
        pytest.param({"CONTENT_LENGTH": "5, 5"}, [(b"content-length", b"5")], id="Content-Length as a list"),
        pytest.param({"CONTENT_TYPE": "", "CONTENT_LENGTH": ""}, [], id="empty, as Twisted has them"),
        pytest.param(
            {"CONTENT_TYPE": "a/b", "HTTP_CONTENT_TYPE": "c/d", "CONTENT_LENGTH": "5", "HTTP_CONTENT_LENGTH": "6"},
            [(b"content-type", b"a/b"), (b"content-length", b"5")],
            id="both twice",
        ),
        pytest.param({"HTTP_CONTENT_LENGTH": "6"}, [], id="only the second copy"),
        pytest.param({"HTTP_PROXY": "http://evil"}, [], id="Proxy"),
        pytest.param({"HTTP_PROXY_AUTHORIZATION": "x"}, [(b"proxy-authorization", b"x")], id="Proxy-Authorization"),
        pytest.param({"HTTP_": "x", "HTTPS": "on", "HTTPS_PROXY": "x", "http_proxy": "x"}, [], id="no headers"),
        pytest.param(
            {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "5"},
            [(b"transfer-encoding", b"chunked")],
            id="Transfer-Encoding overrides Content-Length",
        ),
        pytest.param(
            {"HTTP_TRANSFER_ENCODING": "chunked", "CONTENT_LENGTH": "x"},
            [(b"transfer-encoding", b"chunked")],
            id="Transfer-Encoding overrides a bad Content-Length",
        ),
        pytest.param(
            {"HTTP_TRANSFER_ENCODING": "", "CONTENT_LENGTH": "5"},
            [(b"transfer-encoding", b""), (b"content-length", b"5")],
            id="Transfer-Encoding that names no coding",
        ),
    ],
)
def test_variables_become_headers(variables: dict[str, str], headers: list[tuple[bytes, bytes]]) -> None:
    """RFC 3875, 4.1.18; RFC 9112, 6.3; RFC 9110, 8.6; CVE-2016-5385."""
    assert headers_of(**variables) == headers


@pytest.mark.parametrize("length", ["ten", "-1", "+1", "1_0", "\xb2", "5, 6", " ", "9" * 5000])
def test_content_length_that_is_none_is_refused(length: str) -> None:
    """RFC 9112, 6.3: the answer is 400, since nobody knows where the request ends."""
    with pytest.raises(BadRequest, match="Content-Length"):
        scope_of(CONTENT_LENGTH=length)


def test_header_that_is_no_text_is_the_servers_error() -> None:
    """PEP 3333: CGI variables are native strings."""
    with pytest.raises(ServerError, match=r"HTTP_X_A.*int"):
        scope_of(HTTP_X_A=1)


def eventlet(*pairs: tuple[str, str], **variables: str) -> Environ:
    """What eventlet makes of *pairs*, with its default type of an e-mail."""
    joined: dict[str, str] = {"CONTENT_TYPE": "text/plain"}
    for name, value in pairs:
        if "_" in name:
            continue
        key = name.upper().replace("-", "_")
        if key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            joined[key] = value
        else:
            key = f"HTTP_{key}"
            joined[key] = f"{joined[key]},{value}" if key in joined else value
    return {"headers_raw": pairs, **joined, **variables}


@pytest.mark.parametrize(
    ("pairs", "headers"),
    [
        pytest.param([("X-A", "1"), ("B", "2"), ("x-a", "3")], [(b"x-a", b"1"), (b"b", b"2"), (b"x-a", b"3")], id="2x"),
        pytest.param([("X_A", "evil"), ("X-A", "1")], [(b"x-a", b"1")], id="forged by an underscore"),
        pytest.param([("Proxy", "evil")], [], id="Proxy"),
        pytest.param([("Content-Type", "a/b")], [(b"content-type", b"a/b")], id="Content-Type"),
        pytest.param(
            [("Content-Type", "text/plain")], [(b"content-type", b"text/plain")], id="the type of the default"
        ),
        pytest.param([("Content-Length", "05")], [(b"content-length", b"5")], id="Content-Length"),
        pytest.param([("Set", "\xff,")], [(b"set", b"\xff,")], id="bytes beyond ASCII"),
    ],
)
def test_headers_of_eventlet_are_as_they_were_sent(
    pairs: list[tuple[str, str]], headers: list[tuple[bytes, bytes]]
) -> None:
    """eventlet's headers_raw has the duplicates and the order that its variables have lost."""
    assert headers_of(**eventlet(*pairs)) == headers


@pytest.mark.parametrize(
    ("variables", "headers"),
    [
        pytest.param({"HTTP_X_USER": "me"}, [(b"x-user", b"me"), (b"x-a", b"1")], id="replaced"),
        pytest.param({"HTTP_X_B": "2"}, [(b"x-user", b"root"), (b"x-a", b"1"), (b"x-b", b"2")], id="added"),
        pytest.param({"HTTP_X_USER": None}, [(b"x-a", b"1")], id="taken away"),
    ],
)
def test_header_that_a_middleware_changed_is_as_the_middleware_has_it(
    variables: dict[str, Any], headers: list[tuple[bytes, bytes]]
) -> None:
    """A forged header that a middleware took out of environ must not come back from headers_raw."""
    environ = {**eventlet(("X-User", "root"), ("X-A", "1")), **variables, "CONTENT_TYPE": ""}

    assert headers_of(**environ) == headers


def test_names_that_clients_make_up_do_not_fill_memory() -> None:
    """DESIGN.md, "Rules": every cache has a limit; beyond it the scope is the same."""
    scope_of(**{f"HTTP_{'X' * 10_000}": ""})
    for number in range(3000):
        assert headers_of(**{f"HTTP_X_{number}": ""}) == [(b"x-%d" % number, b"")]

    assert len(scope_module._NAMES) <= scope_module._NAMES_LIMIT
    assert max(len("".join(keys)) for keys in scope_module._NAMES) < 10_000


def test_addresses_do_not_fill_memory() -> None:
    """DESIGN.md, "Rules": Gunicorn takes SERVER_NAME from the Host field on a UNIX socket."""
    for number in range(200):
        assert scope_of(SERVER_NAME=f"host-{number}")["server"] == (f"host-{number}", 8000)

    assert len(scope_module._SERVERS) <= scope_module._SERVERS_LIMIT


# -- the whole ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "extensions"),
    [
        pytest.param({}, {}, id="neither"),
        pytest.param({"wsgi.file_wrapper": list}, {"http.response.pathsend": {}}, id="file_wrapper"),
        pytest.param({"wsgi.file_wrapper": False}, {}, id="false file_wrapper"),
        pytest.param({"wsgi.early_hints": print}, {"http.response.early_hint": {}}, id="early hints"),
        pytest.param({"wsgi.early_hints": True}, {}, id="early hints that cannot be called"),
        pytest.param(
            {"wsgi.file_wrapper": list, "wsgi.early_hints": print},
            {"http.response.pathsend": {}, "http.response.early_hint": {}},
            id="both",
        ),
    ],
)
def test_extensions_are_what_the_server_can_do(variables: dict[str, Any], extensions: dict[str, Any]) -> None:
    """ASGI extensions "Path Send" and "Early Hints": offered means that the message will work."""
    assert scope_of(**variables)["extensions"] == extensions


def test_every_optional_key_is_there() -> None:
    """SERVERS.md, 5.1: Quart, Sanic, Falcon and FastAPI need them."""
    scope = scope_of()

    assert type(scope) is dict
    assert (scope["type"], scope["asgi"]) == ("http", {"version": "3.0", "spec_version": "2.4"})
    assert set(scope) == {
        *("type", "asgi", "http_version", "method", "scheme", "path", "raw_path", "query_string", "root_path"),
        *("headers", "client", "server", "state", "extensions", "wsgi.environ"),
    }


def test_application_finds_the_environ_itself() -> None:
    """Code that changes environ, or leaves something in it for the server, needs the very object."""
    environ = make_environ()

    assert build_scope(environ, None)["wsgi.environ"] is environ


def test_state_is_a_shallow_copy() -> None:
    """ASGI lifespan specification, "Lifespan State": what is added stays in the request, the objects are shared."""
    pool = object()
    state = {"pool": pool}
    scope = build_scope(make_environ(), state)
    scope["state"]["user"] = "me"

    assert (state, scope["state"]["pool"] is pool) == ({"pool": pool}, True)


def test_scope_of_one_exchange_is_not_that_of_another() -> None:
    """An application may do with its scope what it likes."""
    variables: dict[str, Any] = {"wsgi.file_wrapper": list}
    first = scope_of(**variables)
    for value in (first["asgi"], first["state"], first["extensions"], first["extensions"]["http.response.pathsend"]):
        value["broken"] = True
    first["headers"].append((b"broken", b""))
    first.pop("wsgi.environ")
    second = scope_of(**variables)
    second.pop("wsgi.environ")

    assert "broken" not in repr(second)


# -- properties -----------------------------------------------------------------------------------------------

byte = st.characters(max_codepoint=0xFF)
native = st.text(byte, max_size=8)
piece = st.one_of(native, st.sampled_from(["/", "..", "%2F", "%FF", "caf\xc3\xa9", "*", "http://", "host", "@", "#"]))
path_like = st.lists(piece, max_size=6).map("".join)
rooted = path_like.map("/".__add__)


@settings(deadline=None)
@given(
    variables=st.fixed_dictionaries(
        {},
        optional={
            "PATH_INFO": rooted | path_like,
            "SCRIPT_NAME": rooted | path_like,
            "RAW_URI": rooted | path_like,
            "REQUEST_URI": path_like,
            "QUERY_STRING": native,
            "HTTP_HOST": native,
            "HTTP_TRANSFER_ENCODING": native,
            "CONTENT_TYPE": native,
            "CONTENT_LENGTH": native | st.integers(0).map(str),
            "SERVER_NAME": native,
            "SERVER_PORT": native,
            "SERVER_PROTOCOL": native,
            "REMOTE_ADDR": native,
            "REMOTE_PORT": native,
        },
    ),
    headers=st.dictionaries(native.map("HTTP_".__add__), native | st.text(max_size=4), max_size=4),
)
def test_any_environ_gives_a_scope_or_bad_request(variables: dict[str, str], headers: dict[str, str]) -> None:
    """Whatever a server lets through, nothing but BadRequest comes out, and no scope of other types than ASGI's."""
    try:
        scope = scope_of(**headers, **variables)
    except BadRequest:
        return
    assert scope["path"].startswith("/")
    assert scope["root_path"] == "" or scope["root_path"][0] == "/" != scope["root_path"][-1]
    assert scope["path"].startswith(scope["root_path"])
    assert b"?" not in scope["raw_path"]
    assert scope["raw_path"][:1] == b"/" or scope["raw_path"] == b"*"
    assert {type(part) for header in scope["headers"] for part in header} <= {bytes}
    assert [type(scope[key]) for key in ("raw_path", "query_string", "path", "root_path")] == [bytes, bytes, str, str]


@settings(deadline=None)
@given(script_name=st.sampled_from(["", "/app", "/caf\xc3\xa9", "/\xff"]), path_info=rooted)
def test_raw_path_decodes_to_the_bytes_of_the_path(script_name: str, path_info: str) -> None:
    """DESIGN.md: paths that are not UTF-8 are kept byte for byte."""
    _, path, raw_path = paths_of(SCRIPT_NAME=script_name, PATH_INFO=path_info)
    exact = (script_name + path_info).encode("latin-1")

    assert unquote_to_bytes(raw_path) == exact
    assert path == exact.decode("utf-8", "replace")


@given(name=st.binary(max_size=8))
def test_name_is_lower_case_in_ascii_only(name: bytes) -> None:
    """RFC 9110, 5.1: field names are case-insensitive, in ASCII; the other bytes are kept."""
    assert (header_name("HTTP_X" + name.decode("latin-1")) or b"") == b"x" + name.lower().replace(b"_", b"-")


segment = st.binary(min_size=1, max_size=4).map(lambda data: quote_from_bytes(data, safe="").encode())
field_value = st.binary(max_size=8)


@settings(deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "OPTIONS", "X-OWN"]),
    version=st.sampled_from(["1.0", "1.1", "2", "3"]),
    scheme=st.sampled_from(["http", "https"]),
    root_path=st.sampled_from(["", "/app", "/café", "/a/b"]),
    target=st.lists(segment | st.sampled_from([b"", b".", b"a+b", b"%2f", b"%61"]), max_size=4),
    query=field_value,
    headers=st.dictionaries(
        st.text("abcdefghijklmnopqrstuvwxyz0123456789-!~", min_size=1, max_size=6)
        .map(str.encode)
        .filter(lambda name: name not in (b"proxy", b"content-length", b"content-type", b"transfer-encoding")),
        field_value,
        max_size=4,
    ),
    host=st.sampled_from(["10.0.0.1", "::1", "example.org"]),
    port=st.integers(0, 65535),
    length=st.none() | st.integers(0, 10**18),
)
def test_request_survives_the_way_through_an_environ(
    method: str,
    version: str,
    scheme: str,
    root_path: str,
    target: list[bytes],
    query: bytes,
    headers: dict[bytes, bytes],
    host: str,
    port: int,
    length: int | None,
) -> None:
    """Scope to environ and back is the scope: neither direction loses what the other keeps."""
    raw_path = quote_from_bytes(root_path.encode()).encode() + b"/" + b"/".join(target)
    before: Scope = {
        "type": "http",
        "http_version": version,
        "method": method,
        "scheme": scheme,
        "path": unquote_to_bytes(raw_path).decode("utf-8", "replace"),
        "raw_path": raw_path,
        "query_string": query,
        "root_path": root_path,
        "headers": [*headers.items(), *([] if length is None else [(b"content-length", b"%d" % length)])],
        "client": (host, port),
        "server": (host, port),
    }
    after = build_scope(build_environ(before), None)

    assert {key: after[key] for key in before} == before

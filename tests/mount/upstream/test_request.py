"""What the upstream is asked: target, headers and framing, from the scope alone."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BadRequest
from bridge.mount.upstream.address import parse_address
from bridge.mount.upstream.request import Framing, RequestHead, build_request
from tests.asgi import Scope, http_scope

BARE = "http://127.0.0.1:9000"


def build(scope: Scope, url: str = BARE, *, keep_host: bool = True, trust_forwarded: bool = False) -> RequestHead:
    return build_request(scope, parse_address(url), keep_host=keep_host, trust_forwarded=trust_forwarded)


def values(request: RequestHead, name: bytes) -> list[bytes]:
    return [value for key, value in request.headers if key == name]


# -- target -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "root_path", "path", "raw_path", "target"),
    [
        pytest.param(BARE, "", "/x", b"/x", b"/x", id="not mounted"),
        pytest.param(BARE, "/old", "/old/x", b"/old/x", b"/x", id="mounted"),
        pytest.param(BARE, "/old", "/old", b"/old", b"/", id="the mount itself"),
        pytest.param(BARE, "/old", "/old/", b"/old/", b"/", id="the mount with a slash"),
        pytest.param(BARE, "/old", "/x", b"/x", b"/x", id="mount not in path"),
        pytest.param(BARE + "/base", "/old", "/old/x", b"/old/x", b"/base/x", id="below a path"),
        pytest.param(BARE + "/base/", "/old", "/old/x", b"/old/x", b"/base/x", id="below a path with a slash"),
        pytest.param(BARE + "/base", "/old", "/old", b"/old", b"/base", id="the path itself"),
        pytest.param(BARE + "/old", "/old", "/old/x", b"/old/x", b"/old/x", id="as it was asked"),
        pytest.param(BARE, "", "/a/b c", b"/a%2Fb%20c", b"/a%2Fb%20c", id="escapes as they were sent"),
        pytest.param(BARE, "/old", "/old/é", b"/old/%c3%a9", b"/%c3%a9", id="small letters in escapes"),
        pytest.param(BARE, "/é", "/é/xÿ", b"/%C3%a9/%78%c3%bf", b"/%78%c3%bf", id="escapes in the mount and below"),
        pytest.param(BARE, "/old", "/old/x", b"/old%2Fx", b"/x", id="escape between mount and path"),
        pytest.param(BARE, "/é", "/é/x", b"/%C3%a9/x", b"/x", id="escapes in the mount"),
        pytest.param(BARE, "", "/\ufffd", b"/%ff", b"/%ff", id="not UTF-8"),
        pytest.param(BARE, "", "/\ufffd", b"/\xff", b"/%FF", id="not escaped"),
        pytest.param(BARE, "/old", "/old/a b", None, b"/a%20b", id="no raw_path"),
        pytest.param(BARE, "", "//x/./y", b"//x/./y", b"//x/./y", id="not normalised"),
        pytest.param(BARE, "", "*", b"*", b"*", id="asterisk"),
        pytest.param(BARE, "", "http://h/x%", b"http://h/x%25", b"/x%25", id="absolute form"),
    ],
)
def test_target_is_the_path_below_the_mount_as_it_was_sent(
    url: str, root_path: str, path: str, raw_path: bytes | None, target: bytes
) -> None:
    """RFC 3986, 2.2: an escaped slash is another one, so bytes count and not what they mean."""
    scope = http_scope(path=path, root_path=root_path)
    scope["raw_path"] = raw_path

    assert build(scope, url).target == target


@given(st.lists(st.text(max_size=5), max_size=4), st.lists(st.binary(max_size=4), max_size=4))
def test_any_path_below_any_mount_arrives(mount: list[str], rest: list[bytes]) -> None:
    """With every byte escaped that can be."""
    segments = [segment.replace("/", "").encode("utf-8", "replace") for segment in mount]
    mounted = b"".join(b"/" + segment for segment in segments).rstrip(b"/")
    below = b"".join(b"/" + bytes(segment).replace(b"/", b"") for segment in rest) or b"/"

    def escape(path: bytes) -> bytes:
        return b"".join(b"/" if byte == 47 else b"%%%02x" % byte for byte in path)

    scope = http_scope(root_path=mounted.decode())
    scope["path"] = (mounted + below).decode("utf-8", "replace")
    scope["raw_path"] = escape(mounted + below)

    assert build(scope).target == escape(below)


def test_query_is_passed_on_as_it_is() -> None:
    """It comes after the path, and nothing of it is decoded."""
    assert build(http_scope(path="/x", query_string=b"a=%2f&&b=?")).target == b"/x?a=%2f&&b=?"


@pytest.mark.parametrize("path", ["/..", "/../secret", "/a/../../secret", "/./../secret"])
def test_path_does_not_lead_out_of_the_upstreams(path: str) -> None:
    """RFC 3986, 5.2.4: the upstream would take them for paths beside its own."""
    with pytest.raises(BadRequest, match="leads out"):
        build(http_scope(path=path), BARE + "/base")
    assert build(http_scope(path="/a/../b"), BARE + "/base").target == b"/base/a/../b"


@pytest.mark.parametrize(
    "raw_path",
    [
        pytest.param(b"/a%2Fb/../../secret", id="an escaped slash that ends no segment"),
        pytest.param(b"/a/..%2F../secret", id="an escaped slash that ends one"),
        pytest.param(b"/%2e%2E/secret", id="escaped dots"),
        pytest.param(b"/a//../../secret", id="slashes that are merged"),
        pytest.param(b"/..;x=1/secret", id="a parameter"),
        pytest.param(b"/a/..\\../secret", id="a backslash"),
        pytest.param(b"/a%5C/..%5c../secret", id="an escaped backslash"),
        pytest.param(b"/a/b/../../..", id="at the end"),
    ],
)
def test_path_does_not_lead_out_of_the_upstreams_as_any_server_reads_it(raw_path: bytes) -> None:
    """RFC 3986, 5.2.4 leaves open what else is a segment: Apache, nginx, Tomcat and IIS do not agree."""
    scope = http_scope(path=unquote(raw_path.decode()), raw_path=raw_path)

    with pytest.raises(BadRequest, match="leads out"):
        build(scope, BARE + "/base")
    assert build(scope).target == raw_path


@pytest.mark.parametrize("raw_path", [b"/a..b/..c", b"/a/b%2Fc/../d", b"/...", b"/a;../x", b"/a//b/.."])
def test_path_that_only_looks_like_that_is_passed_on(raw_path: bytes) -> None:
    """Dots in a name are dots in a name."""
    scope = http_scope(path=unquote(raw_path.decode()), raw_path=raw_path)

    assert build(scope, BARE + "/base").target == b"/base" + raw_path


def test_tunnel_is_refused() -> None:
    """RFC 9110, 9.3.6: CONNECT is for proxies that a client has chosen."""
    with pytest.raises(BadRequest, match="CONNECT"):
        build(http_scope("CONNECT"))


# -- headers ------------------------------------------------------------------------------------------------------


def test_no_header_is_made_up() -> None:
    """But those that say where the request came from."""
    request = build({**http_scope(), "headers": [(b"host", b"public.example")]})

    assert request.headers == [
        (b"host", b"public.example"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"public.example"),
    ]


def test_headers_keep_their_order_and_bytes() -> None:
    """RFC 9110, 5.3: the order of repeated ones means something."""
    sent = [(b"cookie", b"a=1"), (b"x-a", b"\xe9"), (b"cookie", b"b=2"), (b"accept", b"*/*")]

    assert build(http_scope(headers=sent)).headers[-4:] == sent


def test_headers_of_the_connection_stay_with_it() -> None:
    """RFC 9110, 7.6.1: also those that Connection names, but not what says where the request goes and ends."""
    sent = [
        (b"connection", b"close, X-Own"),
        (b"connection", b"Host, content-length"),
        (b"x-own", b"1"),
        (b"keep-alive", b"timeout=5"),
        (b"te", b"trailers"),
        (b"upgrade", b"h2c"),
        (b"proxy-authorization", b"Basic x"),
        (b"x-kept", b"1"),
    ]
    names = [name for name, _ in build(http_scope("POST", headers=[*sent, (b"content-length", b"1")])).headers]

    forwarded = [b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"]
    assert names == [b"host", *forwarded, b"x-kept", b"content-length"]


@pytest.mark.parametrize(("keep_host", "host"), [(True, b"testserver"), (False, b"127.0.0.1:9000")])
def test_host_is_the_clients_or_the_upstreams(keep_host: bool, host: bytes) -> None:
    """And X-Forwarded-Host is the client's in any case."""
    request = build(http_scope(), keep_host=keep_host)

    assert (values(request, b"host"), values(request, b"x-forwarded-host")) == ([host], [b"testserver"])


def test_request_without_host_gets_the_upstreams() -> None:
    """RFC 9112, 3.2: HTTP/1.1 has one, HTTP/1.0 need not."""
    request = build({**http_scope(http_version="1.0"), "headers": []})

    assert (values(request, b"host"), values(request, b"x-forwarded-host")) == ([b"127.0.0.1:9000"], [])


def test_host_of_the_absolute_form_is_the_one_that_counts() -> None:
    """RFC 9112, 3.2.2."""
    assert values(build(http_scope(path="http://other:81/x", raw_path=b"http://other:81/x")), b"host") == [b"other:81"]


def test_two_hosts_are_refused() -> None:
    """RFC 9112, 3.2: two servers might take two different ones."""
    with pytest.raises(BadRequest, match="more than one Host"):
        build(http_scope(headers=[(b"host", b"another")]))


FORGED = [
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"x-forwarded-for", b"10.0.0.2"),
    (b"x-forwarded-proto", b"https"),
    (b"x-forwarded-host", b"outer.example"),
    (b"x-forwarded-prefix", b"/outer"),
    (b"x-forwarded-port", b"443"),
    (b"x_forwarded_for", b"10.0.0.3"),
    (b"forwarded", b"for=10.0.0.1"),
    (b"x-real-ip", b"10.0.0.1"),
]


def test_what_a_client_says_of_itself_is_replaced() -> None:
    """Anybody can send X-Forwarded-For, and applications decide by it who may enter."""
    request = build(http_scope(path="/old/x", root_path="/old", headers=FORGED))

    assert request.headers == [
        (b"host", b"testserver"),
        (b"x-forwarded-for", b"127.0.0.1"),
        (b"x-forwarded-proto", b"http"),
        (b"x-forwarded-host", b"testserver"),
        (b"x-forwarded-prefix", b"/old"),
    ]


@pytest.mark.parametrize("name", [b"script_name", b"path_info", b"Proxy"])
def test_variable_of_the_upstreams_server_is_not_the_clients(name: bytes) -> None:
    """Gunicorn believes SCRIPT_NAME and PATH_INFO of its own machine; HTTP clients obey HTTP_PROXY (CVE-2016-5385)."""
    assert values(build(http_scope(headers=[(name, b"/x")])), name.lower()) == []


def test_what_a_trusted_proxy_says_is_added_to() -> None:
    """Its hops come first, its view of the URL is the public one."""
    request = build(http_scope(path="/old/x", root_path="/old", headers=FORGED), trust_forwarded=True)

    assert request.headers == [
        (b"host", b"testserver"),
        (b"x-forwarded-for", b"10.0.0.1, 10.0.0.2, 127.0.0.1"),
        (b"x-forwarded-proto", b"https"),
        (b"x-forwarded-host", b"outer.example"),
        (b"x-forwarded-prefix", b"/outer/old"),
        (b"x-forwarded-port", b"443"),
        (b"forwarded", b"for=10.0.0.1"),
        (b"x-real-ip", b"10.0.0.1"),
    ]


@pytest.mark.parametrize(
    ("root_path", "came", "url", "prefix"),
    [
        pytest.param("", b"", BARE, [], id="not mounted"),
        pytest.param("/old", b"", BARE, [b"/old"], id="mounted"),
        pytest.param("/old", b"", BARE + "/old", [], id="asked by the same path"),
        pytest.param("/v1/old", b"", BARE + "/old", [b"/v1"], id="asked by the end of the path"),
        pytest.param("/old", b"", BARE + "/base", [b"/old"], id="asked by another path"),
        pytest.param("/r/old", b"/r", BARE, [b"/r/old"], id="server was told of the outer prefix, too"),
        pytest.param("/row", b"/r", BARE, [b"/r/row"], id="same letters"),
        pytest.param("/é", b"", BARE, [b"/%C3%A9"], id="escaped"),
    ],
)
def test_prefix_is_what_the_upstream_does_not_see(root_path: str, came: bytes, url: str, prefix: list[bytes]) -> None:
    """X-Forwarded-Prefix and the path of the upstream's request make the public path."""
    headers = [(b"x-forwarded-prefix", came)] if came else []
    scope = http_scope(path=root_path + "/x", root_path=root_path, headers=headers)

    assert values(build(scope, url, trust_forwarded=True), b"x-forwarded-prefix") == prefix


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        pytest.param({"client": None}, ([], [b"http"]), id="UNIX socket"),
        pytest.param({"client": ["::1", 5]}, ([b"::1"], [b"http"]), id="IPv6"),
        pytest.param({"scheme": "https"}, ([b"127.0.0.1"], [b"https"]), id="https"),
        pytest.param({"type": "websocket", "scheme": "wss"}, ([b"127.0.0.1"], [b"https"]), id="wss"),
        pytest.param({"type": "websocket", "scheme": "ws"}, ([b"127.0.0.1"], [b"http"]), id="ws"),
    ],
)
def test_client_and_scheme_are_the_servers(changes: dict[str, Any], expected: tuple[list[bytes], list[bytes]]) -> None:
    """A WebSocket's handshake is HTTP, and its upstream asks whether that was secure."""
    request = build({**http_scope(), **changes})

    assert (values(request, b"x-forwarded-for"), values(request, b"x-forwarded-proto")) == expected


# -- framing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "version", "headers", "framing", "length"),
    [
        pytest.param("GET", "1.1", [], Framing.NONE, None, id="GET"),
        pytest.param("HEAD", "1.1", [], Framing.NONE, None, id="HEAD"),
        pytest.param("POST", "1.1", [(b"content-length", b"5")], Framing.LENGTH, 5, id="declared"),
        pytest.param("GET", "1.1", [(b"content-length", b"5")], Framing.LENGTH, 5, id="GET with a body"),
        pytest.param("POST", "1.1", [(b"content-length", b"5, 5")], Framing.LENGTH, 5, id="declared twice"),
        pytest.param("POST", "1.1", [(b"transfer-encoding", b"chunked")], Framing.CHUNKED, None, id="chunked"),
        pytest.param("POST", "1.1", [], Framing.UNKNOWN, None, id="POST that says nothing"),
        pytest.param("GET", "2", [], Framing.UNKNOWN, None, id="HTTP/2"),
        pytest.param(
            "POST",
            "1.1",
            [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")],
            Framing.CHUNKED,
            None,
            id="both",
        ),
    ],
)
def test_framing_is_the_requests(
    method: str, version: str, headers: list[tuple[bytes, bytes]], framing: Framing, length: int | None
) -> None:
    """RFC 9112, 6.3: and a length beside chunks is not passed on, since somebody might believe it."""
    request = build(http_scope(method, http_version=version, headers=headers))
    framings = [pair for pair in request.headers if pair[0] in (b"content-length", b"transfer-encoding")]

    assert (request.framing, request.length) == (framing, length)
    assert (
        framings
        == {
            Framing.NONE: [],
            Framing.UNKNOWN: [],
            Framing.LENGTH: [(b"content-length", b"5")],
            Framing.CHUNKED: [(b"transfer-encoding", b"chunked")],
        }[framing]
    )


@pytest.mark.parametrize("header", [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")])
def test_handshake_of_a_websocket_has_no_body(header: tuple[bytes, bytes]) -> None:
    """Whatever it says: the upstream would take frames for it."""
    request = build({**http_scope(headers=[header]), "type": "websocket", "scheme": "ws"})

    assert (request.framing, request.has_body, values(request, header[0])) == (Framing.NONE, False, [])


@pytest.mark.parametrize("lengths", [[b"5", b"6"], [b"-1"], [b"x"]])
def test_bad_length_is_refused(lengths: list[bytes]) -> None:
    """RFC 9112, 6.3: it is how requests are smuggled."""
    with pytest.raises(BadRequest, match="Content-Length"):
        build(http_scope("POST", headers=[(b"content-length", length) for length in lengths]))


@pytest.mark.parametrize(
    ("version", "headers", "expects"),
    [
        ("1.1", [(b"content-length", b"5"), (b"expect", b"100-Continue")], True),
        ("1.0", [(b"content-length", b"5"), (b"expect", b"100-continue")], False),
        ("1.1", [(b"content-length", b"0"), (b"expect", b"100-continue")], False),
        ("2", [(b"expect", b"100-continue")], False),
    ],
)
def test_client_that_waits_is_waited_with(version: str, headers: list[tuple[bytes, bytes]], expects: bool) -> None:
    """RFC 9110, 10.1.1: HTTP/1.0 knows no 100 Continue, and where there may be no body it means nothing."""
    request = build(http_scope("POST", http_version=version, headers=headers))

    assert (request.expects_continue, values(request, b"expect")) == (expects, [b"100-continue"] if expects else [])

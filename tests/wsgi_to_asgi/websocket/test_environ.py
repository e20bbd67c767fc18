"""The environ of a handshake, against the tables of RFC 6455 and PEP 3333."""

from __future__ import annotations

from typing import Any
from wsgiref.validate import check_environ  # type: ignore[attr-defined]

import pytest

from bridge.wsgi_to_asgi.websocket_environ import build_websocket_environ
from tests.mount.upstream.speaking import websocket_scope

BARE: dict[str, Any] = {"type": "websocket", "path": "/", "headers": []}


def test_handshake_is_a_get_request() -> None:
    """RFC 6455, 4.1: the method is GET, and the headers say that it is to be upgraded."""
    environ = build_websocket_environ(websocket_scope("/chat", query_string=b"a=1"))

    expected = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/chat",
        "QUERY_STRING": "a=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "testserver",
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": "dGhlIHNhbXBsZSBub25jZQ==",
        "wsgi.url_scheme": "http",
    }
    assert {name: environ.get(name) for name in expected} == expected
    assert environ["wsgi.input"].read() == b""
    check_environ(environ)


def test_scope_in_it_is_the_servers() -> None:
    """It keeps the type and the scheme of a WebSocket."""
    scope = build_websocket_environ(websocket_scope())["asgi.scope"]

    assert (scope["type"], scope["scheme"], "method" in scope) == ("websocket", "ws", False)


@pytest.mark.parametrize(
    ("scheme", "expected"),
    [
        pytest.param("ws", "http", id="ws"),
        pytest.param("wss", "https", id="wss"),
        pytest.param("https", "https", id="https"),
        pytest.param(b"wss", "https", id="bytes"),
        pytest.param(None, "http", id="none"),
    ],
)
def test_scheme_is_that_of_http(scheme: object, expected: str) -> None:
    """RFC 6455, 3: ws goes over http, wss over https; PEP 3333 knows those two."""
    environ = build_websocket_environ({**BARE, "scheme": scheme})

    assert (environ["wsgi.url_scheme"], environ.get("HTTPS")) == (expected, "on" if expected == "https" else None)


def test_bare_scope_has_all_that_a_handshake_needs() -> None:
    """RFC 8441, 5: over HTTP/2 there is no key and no upgrade; Daphne has neither a scheme nor an HTTP version."""
    environ = build_websocket_environ({**BARE, "subprotocols": ["b", "a"]})

    assert environ["HTTP_UPGRADE"] == "websocket"
    assert environ["HTTP_CONNECTION"] == "Upgrade"
    assert environ["HTTP_SEC_WEBSOCKET_VERSION"] == "13"
    assert environ["HTTP_SEC_WEBSOCKET_PROTOCOL"] == "b, a"
    assert environ["HTTP_HOST"] == "localhost:80"
    assert environ["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert len(environ["HTTP_SEC_WEBSOCKET_KEY"]) == 24
    assert build_websocket_environ(BARE)["HTTP_SEC_WEBSOCKET_KEY"] != environ["HTTP_SEC_WEBSOCKET_KEY"]
    assert "HTTP_SEC_WEBSOCKET_PROTOCOL" not in build_websocket_environ(BARE)


def test_extensions_are_not_the_applications() -> None:
    """RFC 6455, 9: they change the frames, which the server speaks with the client."""
    scope = websocket_scope(headers=[(b"content-length", b"5"), (b"transfer-encoding", b"chunked")])

    environ = build_websocket_environ(scope)

    assert (b"sec-websocket-extensions", b"permessage-deflate") in scope["headers"]
    names = {"HTTP_SEC_WEBSOCKET_EXTENSIONS", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING"}
    assert names.isdisjoint(environ)

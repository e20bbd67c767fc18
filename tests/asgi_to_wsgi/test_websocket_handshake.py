"""The handshake of a WebSocket: what is one, what is refused, and how it is answered."""

from __future__ import annotations

from typing import Any

import pytest

from bridge.asgi_to_wsgi.scope import build_scope
from bridge.asgi_to_wsgi.websocket_handshake import (
    Handshake,
    asks_for_websocket,
    read_handshake,
    switching_protocols,
    websocket_scope,
)
from bridge.errors import ApplicationError, BadRequest
from tests.asgi import Environ
from tests.asgi_to_wsgi.server import request
from tests.asgi_to_wsgi.websocket_server import KEY, TOKEN


def asking(**variables: Any) -> Environ:
    """Build the environ of a handshake that is right, but for *variables*."""
    right = {
        "HTTP_UPGRADE": "websocket",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_SEC_WEBSOCKET_KEY": KEY,
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
    }
    return request(variables={**right, **variables})


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({}, True, id="right"),
        pytest.param({"HTTP_UPGRADE": "WebSocket"}, True, id="in any case"),
        pytest.param({"HTTP_UPGRADE": "h2c, websocket"}, True, id="one of several"),
        pytest.param({"HTTP_CONNECTION": "keep-alive, upgrade"}, True, id="Firefox"),
        pytest.param({"HTTP_UPGRADE": "websocket,h2c"}, True, id="first of several"),
        pytest.param({"HTTP_CONNECTION": ",Upgrade, "}, True, id="empty members"),
        pytest.param({"HTTP_CONNECTION": "upgrade-insecure"}, False, id="part of a name"),
        pytest.param({"HTTP_UPGRADE": "h2c"}, False, id="another protocol"),
        pytest.param({"HTTP_CONNECTION": "keep-alive"}, False, id="not named by Connection"),
        pytest.param({"HTTP_CONNECTION": ""}, False, id="no Connection"),
        pytest.param({"REQUEST_METHOD": "POST"}, False, id="POST"),
        pytest.param({"SERVER_PROTOCOL": "HTTP/1.0"}, False, id="HTTP/1.0"),
        pytest.param({"SERVER_PROTOCOL": "HTTP/2"}, False, id="HTTP/2"),
        pytest.param({"SERVER_PROTOCOL": "HTTP/1.0", "eventlet.input": object()}, True, id="eventlet's HTTP/1.0"),
    ],
)
def test_what_asks_for_a_websocket(variables: dict[str, Any], expected: bool) -> None:
    """RFC 6455, 4.2.1 and RFC 9110, 7.8: what is not, is a request like any other."""
    assert asks_for_websocket(asking(**variables)) is expected


@pytest.mark.parametrize(
    "variables",
    [
        pytest.param({"HTTP_SEC_WEBSOCKET_KEY": ""}, id="no key"),
        pytest.param({"HTTP_SEC_WEBSOCKET_KEY": "AAAA"}, id="short key"),
        pytest.param({"HTTP_SEC_WEBSOCKET_KEY": "é" * 24}, id="key of no base64"),
        pytest.param({"CONTENT_LENGTH": "5"}, id="body"),
        pytest.param({"HTTP_TRANSFER_ENCODING": "chunked"}, id="chunked body"),
    ],
)
def test_bad_handshake_is_refused(variables: dict[str, Any]) -> None:
    """RFC 6455, 4.2.1: with 400."""
    with pytest.raises(BadRequest):
        read_handshake(asking(**variables))


@pytest.mark.parametrize("version", ["8", "", "13, 8"])
def test_other_version_is_told_the_right_one(version: str) -> None:
    """RFC 6455, 4.4: Sec-WebSocket-Version says which."""
    with pytest.raises(BadRequest) as refusal:
        read_handshake(asking(HTTP_SEC_WEBSOCKET_VERSION=version))

    assert refusal.value.headers == ((b"sec-websocket-version", b"13"),)


def test_subprotocols_keep_their_order() -> None:
    """They are the client's preference."""
    assert read_handshake(asking(HTTP_SEC_WEBSOCKET_PROTOCOL="b, a,, c")).subprotocols == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("offers", "accepted"),
    [
        pytest.param("", None, id="none"),
        pytest.param("x-other", None, id="another"),
        pytest.param("permessage-deflate", "permessage-deflate", id="plain"),
        pytest.param(
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_max_window_bits",
            id="browser",
        ),
        pytest.param("permessage-deflate; x=1, permessage-deflate", "permessage-deflate", id="unknown parameter"),
        pytest.param("permessage-deflate; server_max_window_bits", None, id="value missing"),
        pytest.param("permessage-deflate; server_no_context_takeover=1", None, id="value that must not be"),
        pytest.param("permessage-deflate; server_max_window_bits=7", None, id="bits out of range"),
        pytest.param("permessage-deflate; server_max_window_bits=8", None, id="bits that zlib has not"),
        pytest.param(
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover", None, id="said twice"
        ),
    ],
)
def test_first_offer_of_compression_that_can_be_accepted(offers: str, accepted: str | None) -> None:
    """RFC 7692, 7.1: an offer with anything else in it is declined."""
    assert read_handshake(asking(HTTP_SEC_WEBSOCKET_EXTENSIONS=offers)).deflate == accepted


def test_scope_has_every_key_of_the_specification() -> None:
    """ASGI WebSocket specification, "Websocket Connection Scope"."""
    environ = asking(
        QUERY_STRING="a=1",
        SCRIPT_NAME="/mount",
        PATH_INFO="/chat",
        REMOTE_ADDR="192.0.2.1",
        REMOTE_PORT="5000",
        HTTP_SEC_WEBSOCKET_PROTOCOL="chat",
    )
    scope = dict(websocket_scope(build_scope(environ, {"pool": 1}), read_handshake(environ)))
    headers = dict(scope.pop("headers"))

    assert headers[b"host"] == b"testserver"
    assert headers[b"sec-websocket-key"] == KEY.encode()
    assert scope == {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": "/mount/chat",
        "raw_path": b"/mount/chat",
        "root_path": "/mount",
        "query_string": b"a=1",
        "client": ("192.0.2.1", 5000),
        "server": ("testserver", 80),
        "subprotocols": ["chat"],
        "state": {"pool": 1},
        "extensions": {"websocket.http.response": {}},
        "wsgi.environ": environ,
    }


def test_scheme_over_tls() -> None:
    """The scheme is wss then."""
    environ = asking(**{"wsgi.url_scheme": "https"})

    assert websocket_scope(build_scope(environ, None), read_handshake(environ))["scheme"] == "wss"


HANDSHAKE = Handshake(KEY, ["a", "b"], None)


def test_answer_to_a_handshake() -> None:
    """RFC 6455, 4.2.2, with the example's token."""
    message = {"subprotocol": "b", "headers": [(b"X-Served", b"yes"), [b"set-cookie", b"\xe9=1"]]}

    assert switching_protocols(HANDSHAKE, message, "permessage-deflate").decode("latin-1").split("\r\n") == [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {TOKEN}",
        "Sec-WebSocket-Protocol: b",
        "Sec-WebSocket-Extensions: permessage-deflate",
        "X-Served: yes",
        "set-cookie: é=1",
        "",
        "",
    ]


def test_headers_that_are_the_bridges_are_dropped(bridge_log: list[Any]) -> None:
    """Said once in the log; a second one of them breaks the handshake."""
    names = (b"Connection", b"content-length", b"Sec-WebSocket-Accept", b"sec-websocket-extensions")
    head = switching_protocols(HANDSHAKE, {"headers": [(name, b"x") for name in names]}, None)

    assert head.decode().splitlines()[4:] == [""]
    assert len(bridge_log) == len(names)


def test_application_may_choose_the_subprotocol_by_a_header() -> None:
    """As some do, since other servers let it pass."""
    message = {"headers": [(b"sec-websocket-protocol", b"b")]}

    assert b"\r\nsec-websocket-protocol: b\r\n" in switching_protocols(HANDSHAKE, message, None)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param({"subprotocol": "c"}, id="subprotocol that was not offered"),
        pytest.param({"headers": [(b"x-y", b"a\r\nb: c")]}, id="line break"),
        pytest.param({"headers": [(b"x y", b"a")]}, id="no token"),
        pytest.param({"headers": [("x", "y")]}, id="text"),
    ],
)
def test_bad_accept_is_an_error_of_the_application(message: dict[str, Any]) -> None:
    """Before any of it is sent."""
    with pytest.raises(ApplicationError):
        switching_protocols(HANDSHAKE, message, None)

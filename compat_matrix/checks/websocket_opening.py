"""How a WebSocket begins, or does not: the handshake, what the application sees of it, and its refusal."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from compat_matrix.checks.registry import Failed, NotApplicable, contract, expect, oracle
from compat_matrix.checks.streaming import greeting
from compat_matrix.site import Site
from compat_matrix.websocket_client import BadFrameError, WebSocketClient

_SCOPE = 'RFC 6455, 4.1 and 4.2; ASGI WebSocket, "Websocket Connection Scope"; PEP 3333, "environ Variables"'
_ACCEPT = 'RFC 6455, 4.2.2; ASGI WebSocket, "Accept - send event"'
_REFUSAL = 'RFC 6455, 4.2.2; ASGI WebSocket, "Close - send event"'
_OF_THE_CLIENT = {"cookie", "host", "origin", "user-agent"}  # and "x-"; others are the server's to read


@contextmanager
def opened(
    site: Site, target: str, *header_lines: str, deflate: bool = False, receive_buffer: int | None = None
) -> Iterator[WebSocketClient]:
    """Open a WebSocket; fail if the handshake is refused. The arguments are those of client and connection."""
    expect_websockets(site)
    with site.connect(receive_buffer=receive_buffer) as client:
        websocket = WebSocketClient(client, target, *header_lines, deflate=deflate)
        if not websocket.open:
            raise Failed(f"the handshake was answered {_answer(websocket)}")
        yield websocket


def expect_websockets(site: Site) -> None:
    """Fail if there are none here: a server that answers no handshake is waited for once, not by every check."""
    if site.without_websockets is None:
        site.get("/")  # a server that is still importing the application is no server without WebSockets
        site.without_websockets = _why_not(site)
    if site.without_websockets:
        raise Failed(f"no WebSockets here: {site.without_websockets}")


def _why_not(site: Site) -> str:
    with site.connect() as client:
        try:
            websocket = WebSocketClient(client, "/ws/echo")
        except TimeoutError:
            return f"a handshake is not answered within {site.timeout:g} s"
        except (EOFError, ConnectionError):
            return "the connection ends where a handshake has to be answered"
        except BadFrameError as error:
            return str(error)
        if not websocket.open:
            return f"a handshake is answered {_answer(websocket)}"
        websocket.close(1000)
        return ""


def _answer(websocket: WebSocketClient) -> str:
    response = websocket.response
    is_text = any(value.startswith("text/plain") for value in response.all("content-type"))
    return f"{response.status} {response.body[:200].decode('latin-1') if is_text else ''}".rstrip()


def _refused(site: Site, target: str) -> WebSocketClient:
    expect_websockets(site)
    with site.connect() as client:
        websocket = WebSocketClient(client, target)
    if websocket.open:
        raise Failed("the handshake was accepted")
    return websocket


def _told(site: Site, target: str, *header_lines: str) -> dict[str, Any]:
    """Return what the application says that it sees of a handshake."""
    with opened(site, target, *header_lines) as websocket:
        seen: dict[str, Any] = json.loads(websocket.hear())
    seen["headers"] = sorted(
        [name, value] for name, value in seen["headers"] if name in _OF_THE_CLIENT or name.startswith("x-")
    )
    return seen


@oracle("websocket.handshake", _SCOPE, needs=("websocket",), hands_out_socket=True)
def handshake(site: Site) -> Any:
    """A handshake is accepted by its token; the application sees its path, query, headers and client."""
    lines = ("Origin: http://test", "Cookie: a=1; b=2", "User-Agent: matrix", "X-One: 1")
    return _told(site, "/ws/handshake?a=%20&b=%C3%A9", *lines)


@oracle("websocket.handshake.mount", _SCOPE, needs=("websocket", "mount"), hands_out_socket=True)
def mounted(site: Site) -> Any:
    """A WebSocket below a mount has the mount apart from the path."""
    return _told(site, f"{site.mount}/ws/handshake")


@oracle("websocket.subprotocol", "RFC 6455, 1.9 and 4.2.2", needs=("websocket",), hands_out_socket=True)
def subprotocol(site: Site) -> Any:
    """The subprotocol is the one that the application has chosen of those offered, or none."""
    chosen = []
    for lines in (["Sec-WebSocket-Protocol: other, chat"], ["Sec-WebSocket-Protocol: other"], []):
        with opened(site, "/ws/handshake", *lines) as websocket:
            chosen.append(websocket.response.all("sec-websocket-protocol"))
    return chosen


@contract("websocket.accept.headers", _ACCEPT, needs=("websocket", "websocket headers"), hands_out_socket=True)
def accept_headers(site: Site) -> None:
    """Headers that the application gives with its acceptance reach the client."""
    with opened(site, "/ws/handshake") as websocket:
        expect("X-Accepted", websocket.response.all("x-accepted"), ["yes"])


@contract("websocket.version", "RFC 6455, 4.2.2 and 4.4", interface="asgi", needs=("websocket",), hands_out_socket=True)
def version(site: Site) -> None:
    """A handshake of another version than 13 is refused, and told the one that is spoken."""
    if not site.bridged:
        raise NotApplicable("what a server answers to another version is its own; adapters are asked")
    expect_websockets(site)
    with site.connect() as client:
        response = WebSocketClient(client, "/ws/echo", version=8).response
    expect("a status of 4xx", response.status // 100, 4)
    expect("Sec-WebSocket-Version", response.all("sec-websocket-version"), ["13"])


@contract("websocket.refused", _REFUSAL, needs=("websocket", "websocket refusal"), hands_out_socket=True)
def refused(site: Site) -> None:
    """An application that refuses a WebSocket is heard: 403, and no WebSocket; the server goes on."""
    expect("status", _refused(site, "/ws/refused").response.status, 403)
    expect("the next response", site.get("/").body, greeting(site))


@oracle(
    "websocket.denied",
    'ASGI, "Websocket Denial Response"; RFC 6455, 4.2.2',
    needs=("websocket", "websocket denial"),
    denies_websockets=True,
    hands_out_socket=True,
)
def denied(site: Site) -> Any:
    """What the application answers instead of accepting reaches the client: status, headers and body."""
    response = _refused(site, "/ws/denied").response
    own = {name: response.all(name) for name in ("x-denied", "content-type")}
    return {"status": response.status, "headers": own, "body": response.body.decode("latin-1")}


@contract("websocket.missing", _REFUSAL, needs=("websocket",), hands_out_socket=True)
def missing(site: Site) -> None:
    """A WebSocket that no route takes is refused with a status of 4xx."""
    expect("a status of 4xx", _refused(site, "/ws/missing").response.status // 100, 4)


@contract(
    "websocket.unavailable",
    "RFC 9110, 15.5.22 and 15.6.2",
    interface="asgi",
    needs=("websocket",),
    hands_out_socket=False,
)
def unavailable(site: Site) -> None:
    """Where the server does not hand out its connection, the client is told so: 426 or 501 and a text."""
    with site.connect() as client:
        response = WebSocketClient(client, "/ws/echo").response
    if response.status not in (426, 501):
        raise Failed(f"status: expected 426 or 501, got {response.status} with {response.body[:200]!r}")
    expect("the text says what it is about", b"WebSocket" in response.body, True)
    expect("the next response", site.get("/").body, greeting(site))

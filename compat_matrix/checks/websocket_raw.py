"""What of a WebSocket only an ASGI application without a framework sees."""

from __future__ import annotations

import json
from typing import Any

from compat_matrix.checks.registry import Failed, contract, expect, oracle
from compat_matrix.checks.websocket_ends import close_of, of_the_adapter
from compat_matrix.checks.websocket_opening import opened
from compat_matrix.site import Site


@oracle(
    "websocket.raw.scope",
    'ASGI WebSocket, "Websocket Connection Scope"; ASGI, "Lifespan State"',
    raw=True,
    interface="asgi",
    hands_out_socket=True,
)
def scope(site: Site) -> Any:
    """The scope has scheme, version, path, offered subprotocols in order, and the state of the startup."""
    with opened(site, "/ws/scope?a=1", "Sec-WebSocket-Protocol: one, two,three") as websocket:
        return json.loads(websocket.hear())


@contract(
    "websocket.raw.messages",
    'ASGI WebSocket, "Connect", "Receive" and "Disconnect - receive event", "Disconnected Client"',
    raw=True,
    interface="asgi",
    hands_out_socket=True,
)
def messages(site: Site) -> None:
    """receive() gives connect, messages, a disconnect with the client's code and reason; send() then raises OSError."""
    with site.wire() as wire, opened(site, f"/ws/messages?wire={wire.port}") as websocket:
        websocket.say("caf\xe9")
        websocket.close(4003, "bye")
        said = []
        try:
            said = [json.loads(wire.hear()) for _ in range(3)]
            last = wire.hear()
        except TimeoutError:
            raise Failed(f"receive() has given nothing within {site.timeout:g} s after {said}") from None
    expect(
        "what receive() gives",
        said,
        [
            {"type": "websocket.connect"},
            {"type": "websocket.receive", "text": "caf\xe9"},
            {"type": "websocket.disconnect", "code": 4003, "reason": "bye"},
        ],
    )
    expect("send() after that", last, "OSError")


@contract("websocket.raw.failure", "RFC 6455, 7.4.1", raw=True, interface="asgi", hands_out_socket=True)
def failure(site: Site) -> None:
    """An application that raises closes its WebSocket with 1011."""
    of_the_adapter(site)
    with opened(site, "/ws/fails") as websocket:
        websocket.say("fail")
        expect("code", close_of(site, websocket)[0], 1011)

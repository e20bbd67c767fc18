"""An HTTP response in answer to a WebSocket's handshake, as far as the server can carry it. Knows no thread."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bridge.rfc6455 import NORMAL, POLICY_VIOLATION

if TYPE_CHECKING:
    from bridge.protocols import Message, Scope, Send


def can_be_denied(scope: Scope) -> bool:
    """Whether the server can answer this handshake with an HTTP response."""
    return "websocket.http.response" in (scope.get("extensions") or {})


def as_denial(scope: Scope, send: Send) -> Send:
    """Return the send() that takes ``http.response`` messages and denies the WebSocket with them.

    A server that has no way to answer gets a close before the accept, and makes 403 of it: the rest is dropped.

    Source: ASGI specification, "Websocket Denial Response" and "Close - send event".
    """
    if can_be_denied(scope):

        async def deny(message: Message) -> None:
            await send({**message, "type": f"websocket.{message['type']}"})

    else:

        async def deny(message: Message) -> None:
            if message["type"] == "http.response.start":
                # The code reaches no client. Frameworks close with 1000 where they have no route, and Cascade then
                # asks the next application; any other answer is one.
                code = NORMAL if message["status"] == 404 else POLICY_VIOLATION
                await send({"type": "websocket.close", "code": code, "reason": ""})

    return deny

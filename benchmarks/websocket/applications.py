"""The echoes that are measured: with bridge's own object, and in bare ASGI. Knows no wrapper and no server."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module

from benchmarks.protocols import Environ, Receive, Scope, Send, StartResponse


def echo(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Send every message back, through ``bridge.websocket()``."""
    if "bridge.websocket" not in environ:
        start_response("426 Upgrade Required", [("Upgrade", "websocket"), ("Content-Length", "0")])
        return []
    websocket = import_module("bridge").websocket(environ)
    websocket.accept()
    for message in websocket:
        websocket.send(message)
    return []


async def echo_asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Send every message back, in bare ASGI."""
    if scope["type"] != "websocket":
        raise ValueError(f"only websocket is served here, got {scope['type']!r}")
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        # Servers differ in what they do with the key that has nothing in it.
        kind = "bytes" if message.get("text") is None else "text"
        await send({"type": "websocket.send", kind: message[kind]})

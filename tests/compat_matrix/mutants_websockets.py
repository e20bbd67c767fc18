"""Broken adapters whose WebSockets are not what they are at home."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.protocols import (
    AsgiApplication,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    StartResponse,
    WsgiApplication,
)
from tests.compat_matrix.mutating import adapter, websocket, websocket_message, wsgi_environ

# -- the handshake ----------------------------------------------------------------------------------------------------


@websocket("the scope has no headers but the handshake's own, and no query", "websocket.handshake")
async def loses_request(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    headers = [(name, value) for name, value in scope["headers"] if name.startswith(b"sec-websocket-")]
    await application({**scope, "headers": headers, "query_string": b""}, receive, send)


@websocket("a mounted WebSocket is not", "websocket.handshake.mount")
async def loses_mount(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    path = scope["path"].removeprefix(scope["root_path"])
    await application({**scope, "root_path": "", "path": path, "raw_path": None}, receive, send)


@websocket_message(
    "the chosen subprotocol and the headers of the acceptance are lost",
    wsgi="websocket.subprotocol",
    asgi="websocket.subprotocol websocket.accept.headers",
)
def accepts_plainly(message: Message) -> Message:
    return {"type": "websocket.accept"} if message["type"] == "websocket.accept" else message


@websocket("the scope has subprotocols in another order, and no state", asgi="websocket.raw.scope", asgi_app="asgi3")
async def sorts_subprotocols(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    await application({**scope, "subprotocols": sorted(scope["subprotocols"]), "state": {}}, receive, send)


@wsgi_environ("any version is taken for 13", asgi="websocket.version")
def takes_any_version(environ: Environ) -> None:
    if "HTTP_SEC_WEBSOCKET_VERSION" in environ:
        environ["HTTP_SEC_WEBSOCKET_VERSION"] = "13"


@wsgi_environ("a handshake is a request like any other", asgi="websocket.unavailable", asgi_on="twisted")
def ignores_handshake(environ: Environ) -> None:
    environ.pop("HTTP_UPGRADE", None)


@websocket("who is refused is let in, and then closed", "websocket.refused websocket.denied websocket.missing")
async def accepts_first(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    answered = False

    async def accepting(message: Message) -> None:
        nonlocal answered
        if not answered and message["type"] != "websocket.accept":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
        elif message["type"].startswith(("websocket.accept", "websocket.send", "websocket.close")):
            await send(message)
        answered = True

    await application(scope, receive, accepting)


@websocket("what a WebSocket is refused with is always 403", "websocket.denied")
async def denies_plainly(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    async def plain(message: Message) -> None:
        if message["type"] == "websocket.http.response.start":
            await send({"type": "websocket.close"})
        elif message["type"] != "websocket.http.response.body":
            await send(message)

    await application(scope, receive, plain)


@adapter("WebSockets are refused", asgi="websocket.text websocket.refused websocket.missing")
def refuses(application: Any) -> Any:
    served = AsgiToWsgi(application)

    def refusing(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        if "HTTP_UPGRADE" in environ:
            start_response("403 Forbidden", [("Content-Length", "0")])
            return []
        return served(environ, start_response)

    return refusing


# -- messages ---------------------------------------------------------------------------------------------------------


@websocket_message(
    "text becomes binary",
    wsgi="websocket.text websocket.socketio websocket.socketio.upgrade",
    asgi="websocket.text",
)
def encodes_text(message: Message) -> Message:
    if isinstance(text := message.get("text"), str):
        return {"type": "websocket.send", "bytes": text.encode()}
    return message


@websocket_message("binary messages become text", "websocket.binary")
def decodes_bytes(message: Message) -> Message:
    if isinstance(data := message.get("bytes"), bytes):
        return {"type": "websocket.send", "text": data.decode("latin-1")}
    return message


@websocket_message("empty messages have something in them", "websocket.empty")
def fills_empty(message: Message) -> Message:
    if message["type"] == "websocket.send" and not (message.get("text") or message.get("bytes")):
        return {"type": "websocket.send", "text": "nothing"}
    return message


@websocket_message("messages are cut at 64 KiB", "websocket.large")
def cuts_large(message: Message) -> Message:
    if isinstance(data := message.get("bytes"), bytes):
        return {"type": "websocket.send", "bytes": data[:65_536]}
    return message


@websocket("one message overtakes another", "websocket.order")
async def swaps_messages(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    held: list[Message] = []

    async def swapping(message: Message) -> None:
        if message.get("text") == "500":
            held.append(message)
            return
        await send(message)
        while held:
            await send(held.pop())

    await application(scope, receive, swapping)


class _Socket:
    """A connection of Gunicorn's whose outgoing frames are changed."""

    def __init__(self, connection: Any, change: Callable[[bytes], bytes]) -> None:
        self._connection = connection
        self._change = change

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def send(self, data: bytes) -> int:
        self._connection.sendall(self._change(bytes(data)))
        return len(data)


def _of_frames(environ: Environ, change: Callable[[bytes], bytes]) -> None:
    environ["gunicorn.socket"] = _Socket(environ["gunicorn.socket"], change)


@wsgi_environ("pongs are empty", asgi="websocket.ping websocket.fragments", asgi_on="gunicorn-gthread")
def empties_pongs(environ: Environ) -> None:
    _of_frames(environ, lambda data: b"\x8a\x00" if data[:1] == b"\x8a" else data)


@wsgi_environ("compressed messages do not say so", asgi="websocket.deflate", asgi_on="gunicorn-gthread")
def hides_compression(environ: Environ) -> None:
    _of_frames(environ, lambda data: bytes([data[0] & 0xBF]) + data[1:] if data[:1] in (b"\xc1", b"\xc2") else data)


@websocket("nobody waits for a slow client", asgi="websocket.held")
async def sends_ahead(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    queue: asyncio.Queue[Message] = asyncio.Queue()

    async def forward() -> None:
        while True:
            await send(await queue.get())

    task = asyncio.create_task(forward())
    try:
        await application(scope, receive, queue.put)
    finally:
        task.cancel()


# -- ends -------------------------------------------------------------------------------------------------------------


@websocket(
    "who has left is not noticed",
    wsgi="websocket.left",
    asgi="websocket.left websocket.lost websocket.close.client",
)
async def notices_nothing(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    async def patient() -> Message:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            await asyncio.Event().wait()
        return message

    async def silent(message: Message) -> None:
        try:
            await send(message)
        except OSError:
            await asyncio.sleep(0)

    await application(scope, patient, silent)


@websocket(
    "every close of a client is 1006",
    wsgi="websocket.close.code",
    asgi="websocket.close.code",
)
async def loses_code(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    async def lost() -> Message:
        message = await receive()
        return {**message, "code": 1006} if message["type"] == "websocket.disconnect" else message

    await application(scope, lost, send)


@websocket("the reason of a client's close is lost", asgi="websocket.raw.messages", asgi_app="asgi3")
async def loses_reason(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    async def lost() -> Message:
        message = await receive()
        return {**message, "reason": ""} if message["type"] == "websocket.disconnect" else message

    await application(scope, lost, send)


@websocket_message(
    "each close of the application is a plain one",
    wsgi="websocket.close.application websocket.close.reason websocket.failure",
    asgi="websocket.close.application websocket.close.reason",
)
def closes_plainly(message: Message) -> Message:
    return {"type": "websocket.close"} if message["type"] == "websocket.close" else message


@wsgi_environ(
    "the adapter closes with 1001, whatever has happened",
    asgi="websocket.utf8 websocket.unmasked websocket.opcode websocket.failure websocket.returned",
    asgi_on="gunicorn-gthread",
)
def goes_away(environ: Environ) -> None:
    _of_frames(environ, lambda data: b"\x88\x02\x03\xe9" if data[:1] == b"\x88" else data)


@websocket("an application that fails has just returned", asgi="websocket.raw.failure", asgi_app="asgi3")
async def hides_failure(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        await application(scope, receive, send)
    except RuntimeError:
        pass


@websocket("an application that fails leaves no trace", asgi="websocket.failure websocket.failure.logged")
async def swallows_failure(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    await hides_failure(application, scope, receive, send)


@websocket_message("a WebSocket whose application returns is left as it is", wsgi="websocket.returned")
def leaves_open(message: Message) -> Message | None:
    return None if message["type"] == "websocket.close" and message.get("code", 1000) == 1000 else message


@websocket(
    "an application that has returned is waited for",
    asgi="websocket.next",
    asgi_on="gunicorn-sync",
)
async def never_returns(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    await application(scope, receive, send)
    await asyncio.Event().wait()


@adapter("a WebSocket that has ended keeps its thread", wsgi="websocket.next")
def keeps_threads(application: WsgiApplication) -> Any:
    def staying(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        body = application(environ, start_response)
        if "werkzeug.socket" in environ:
            threading.Event().wait()
        return body

    return WsgiToAsgi(staying, websocket_threads=2)

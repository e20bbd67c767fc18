"""An ASGI application without a framework: the specification and nothing else. Knows nothing of bridge."""

from __future__ import annotations

import json as json_module
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias
from urllib.parse import parse_qs

import anyio

from compat_matrix.apps import raw
from compat_matrix.apps.support import AsyncWire, Digest

Scope: TypeAlias = "dict[str, Any]"
Receive: TypeAlias = Callable[[], Awaitable["dict[str, Any]"]]
Send: TypeAlias = Callable[["dict[str, Any]"], Awaitable[None]]

# What has happened in this process.
events: list[str] = []
shared: list[object] = []


async def start(send: Send, status: int, *headers: tuple[str, str]) -> None:
    encoded = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": encoded})


async def answer(send: Send, body: bytes, type: tuple[str, str] = raw.TEXT) -> None:
    await start(send, 200, type, ("Content-Length", str(len(body))))
    await send({"type": "http.response.body", "body": body})


async def answer_json(send: Send, value: object) -> None:
    await answer(send, json_module.dumps(value).encode(), raw.JSON)


async def body(receive: Receive) -> AsyncIterator[bytes]:
    more = True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            raise RuntimeError(f"{message['type']} in the middle of a body")
        more = message.get("more_body", False)
        yield message.get("body", b"")


def port(scope: Scope) -> str:
    return parse_qs(str(scope["query_string"], "ascii"))["wire"][0]


# Of the contract


async def index(scope: Scope, receive: Receive, send: Send) -> None:
    await answer(send, b"Hello from ASGI 3\n")


async def as_json(scope: Scope, receive: Receive, send: Send) -> None:
    await answer_json(send, {"framework": "ASGI 3", "ok": True})


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    mount = scope.get("root_path", "")
    await answer_json(
        send,
        {
            "method": scope["method"],
            "scheme": scope["scheme"],
            "mount": mount,
            "path": scope["path"].removeprefix(mount),
            "query": scope["query_string"].decode("latin-1"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
            "client": scope["client"][0] if scope.get("client") else None,
            "body": b"".join([chunk async for chunk in body(receive)]).decode("latin-1"),
        },
    )


async def stream(scope: Scope, receive: Receive, send: Send) -> None:
    async with AsyncWire(port(scope)) as wire:
        await wire.say("called")
        try:
            await start(send, 200, raw.TEXT)
            await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
            await wire.wait_for("go on")
            await send({"type": "http.response.body", "body": b"second\n", "more_body": True})
            await wire.wait_for("go on")
            await send({"type": "http.response.body", "body": b"third\n"})
        finally:
            await wire.say("finally")


# The scope


async def server(scope: Scope, receive: Receive, send: Send) -> None:
    name, number = scope.get("server") or (None, None)
    about = {"name": name, "port": str(number), "protocol": "HTTP", "version": scope["http_version"]}
    await answer_json(send, about)


async def state(scope: Scope, receive: Receive, send: Send) -> None:
    given = scope["state"]
    about = {
        "events": events,
        "process": given.get("process"),
        "here": os.getpid(),
        "shared": given.get("shared") is shared,
        "of another request": "request" in given,
    }
    given["request"] = True
    await answer_json(send, about)


# Bodies of requests


async def held(scope: Scope, receive: Receive, send: Send) -> None:
    digest = Digest()
    async with AsyncWire(port(scope)) as wire:
        await wire.say("called")
        async for chunk in body(receive):
            if chunk and not digest.size:
                await wire.say("first")
                await wire.wait_for("go on")
            digest.update(chunk)
    await answer_json(send, digest.result())


async def receives(scope: Scope, receive: Receive, send: Send) -> None:
    """Say which message comes after the body's last; nothing does before the response is complete."""

    async def next_message() -> None:
        await wire.say((await receive())["type"])

    digest = Digest()
    async for chunk in body(receive):
        digest.update(chunk)
    async with AsyncWire(port(scope)) as wire, anyio.create_task_group() as tasks:
        tasks.start_soon(next_message)
        await start(send, 200, raw.TEXT)
        await send({"type": "http.response.body", "body": f"{digest.size}\n".encode(), "more_body": True})
        await wire.wait_for("go on")
        await send({"type": "http.response.body", "body": b"end\n"})


# Responses


async def odd_headers(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, raw.ODD_STATUS, *raw.ODD_HEADERS)
    await send({"type": "http.response.body", "body": raw.ODD_BODY})


async def latin1_headers(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, raw.TEXT, ("Content-Length", "0"), ("X-Latin", raw.LATIN1))
    await send({"type": "http.response.body"})


async def empty_headers(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, raw.TEXT, ("Content-Length", "0"), ("X-Empty", ""), ("X-After", "1"))
    await send({"type": "http.response.body"})


async def chunks(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 200, raw.TEXT)
    for chunk in raw.CHUNKS:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body"})


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise RuntimeError("straight from the callable")


async def missing(scope: Scope, receive: Receive, send: Send) -> None:
    await start(send, 404, raw.TEXT)
    await send({"type": "http.response.body", "body": b"not found"})


# WebSockets


async def websocket_echo(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message.get("text"), "bytes": message.get("bytes")})


async def websocket_scope(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    about = {
        "scheme": scope["scheme"],
        "version": scope["http_version"],
        "path": [scope["path"], scope["raw_path"].decode("ascii")],
        "subprotocols": scope["subprotocols"],
        "state": scope["state"].get("shared") is shared,
    }
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json_module.dumps(about)})
    await send({"type": "websocket.close"})


async def websocket_messages(scope: Scope, receive: Receive, send: Send) -> None:
    """Say what receive() gives, and what send() does once the client has closed."""

    def parts(message: dict[str, Any]) -> str:
        return json_module.dumps({key: value for key, value in sorted(message.items()) if value is not None})

    async with AsyncWire(port(scope)) as wire:
        await wire.say(parts(await receive()))
        await send({"type": "websocket.accept"})
        message = await receive()
        await wire.say(parts(message))
        message = await receive()
        await wire.say(parts(message))
        try:
            await send({"type": "websocket.send", "text": "in vain"})
            await wire.say("nothing was raised")
        except OSError:
            await wire.say("OSError")


async def websocket_fails(scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    await receive()
    raise RuntimeError("straight from the callable")


async def websocket_missing(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "websocket.close"})


WEBSOCKETS = {
    "/ws/echo": websocket_echo,
    "/ws/scope": websocket_scope,
    "/ws/messages": websocket_messages,
    "/ws/fails": websocket_fails,
}

ENDPOINTS = {
    "/": index,
    "/json": as_json,
    "/echo": echo,
    "/stream": stream,
    "/server": server,
    "/state": state,
    "/upload/held": held,
    "/receive": receives,
    "/headers/odd": odd_headers,
    "/headers/latin1": latin1_headers,
    "/headers/empty": empty_headers,
    "/chunks": chunks,
    "/error/raw": fails,
}


async def lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        events.append(message["type"])
        if message["type"] == "lifespan.startup":
            # A server whose lifespan has no state serves the rest as well.
            scope.get("state", {}).update(process=os.getpid(), shared=shared)
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
        return
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    if scope["type"] == "websocket":
        await WEBSOCKETS.get(path, websocket_missing)(scope, receive, send)
        return
    if not events or events[-1] != "http":
        events.append("http")
    await ENDPOINTS.get(path, missing)(scope, receive, send)

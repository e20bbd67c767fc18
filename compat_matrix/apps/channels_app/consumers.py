"""What Channels answers itself."""

# mypy: disable-error-code="misc"
# Channels has no annotations: what is derived from its classes is derived from Any.

from __future__ import annotations

import asyncio
import json
from contextvars import ContextVar
from typing import Any

from channels.exceptions import DenyConnection, StopConsumer
from channels.generic.http import AsyncHttpConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.http import QueryDict

from compat_matrix.apps.support import MESSAGE, AsyncWire, Digest, for_ever, pattern

TEXT = (b"content-type", b"text/plain; charset=utf-8")
BYTES = (b"content-type", b"application/octet-stream")

current: ContextVar[str] = ContextVar("current", default="unset")


class Consumer(AsyncHttpConsumer):
    @property
    def query(self) -> QueryDict:
        return QueryDict(self.scope["query_string"])

    async def send_json(self, data: Any) -> None:
        headers = [(b"content-type", b"application/json")]
        await self.send_response(200, json.dumps(data).encode(), headers=headers)


# -- requests -------------------------------------------------------------------------------------------------


class Index(Consumer):
    async def handle(self, body: bytes) -> None:
        await self.send_response(200, b"Hello from Channels\n", headers=[TEXT])


class Echo(Consumer):
    async def handle(self, body: bytes) -> None:
        mount = self.scope.get("root_path", "")
        client = self.scope.get("client")
        await self.send_json(
            {
                "method": self.scope["method"],
                "scheme": self.scope["scheme"],
                "mount": mount,
                "path": self.scope["path"].removeprefix(mount),
                "query": self.scope["query_string"].decode("latin-1"),
                "headers": [[one.decode("latin-1") for one in header] for header in self.scope["headers"]],
                "client": client[0] if client else None,
                "body": body.decode("latin-1"),
            }
        )


class Upload(Consumer):
    """Takes the body as it comes; handle() would have it as a whole."""

    def __init__(self) -> None:
        super().__init__()
        self.digest = Digest()

    async def http_request(self, message: dict[str, Any]) -> None:
        self.digest.update(message.get("body", b""))
        if not message.get("more_body"):
            await self.send_json(self.digest.result())
            raise StopConsumer


class UploadWatch(Upload):
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.complete = False
        async with AsyncWire(QueryDict(scope["query_string"])["wire"]) as self.wire:
            await self.wire.say("called")
            try:
                await super().__call__(scope, receive, send)
            finally:
                if not self.complete:
                    await self.wire.say("cut")

    async def http_request(self, message: dict[str, Any]) -> None:
        if message.get("body") and self.digest.size == 0:
            await self.wire.say("first")
        if not message.get("more_body"):
            await self.wire.say("end")
            self.complete = True
        await super().http_request(message)


class Ignore(Consumer):
    async def http_request(self, message: dict[str, Any]) -> None:
        await self.send_response(403, b"ignored", headers=[TEXT])
        raise StopConsumer


# -- streams --------------------------------------------------------------------------------------------------


class Download(Consumer):
    def more_headers(self) -> list[tuple[bytes, bytes]]:
        return []

    async def handle(self, body: bytes) -> None:
        await self.send_headers(headers=[BYTES, *self.more_headers()])
        for piece in pattern(int(self.query["size"])):
            await self.send_body(piece, more_body=True)
        await self.send_body(b"")


class DownloadDeclared(Download):
    def more_headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"content-length", self.query["size"].encode())]


class Stream(Consumer):
    async def handle(self, body: bytes) -> None:
        async with AsyncWire(self.query["wire"]) as wire:
            await wire.say("called")
            try:
                await self.send_headers(headers=[TEXT])
                await self.send_body(b"first\n", more_body=True)
                await wire.wait_for("go on")
                await self.send_body(b"second\n", more_body=True)
                await wire.wait_for("go on")
                await self.send_body(b"third\n")
            finally:
                await wire.say("finally")


class Events(Consumer):
    async def handle(self, body: bytes) -> None:
        headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
        await self.send_headers(headers=headers)
        await self.send_event(1, "one")
        if port := self.query.get("wire"):
            async with AsyncWire(port) as wire:
                await wire.wait_for("go on")
                await self.send_event(2, "two")
                await wire.wait_for("go on")
        else:
            await self.send_event(2, "two")
        await self.send_event(3, "three")
        await self.send_body(b"")

    async def send_event(self, number: int, data: str) -> None:
        await self.send_body(f"id: {number}\nevent: tick\ndata: {data}\n\n".encode(), more_body=True)


# -- sessions, errors, headers --------------------------------------------------------------------------------


class Session(Consumer):
    async def handle(self, body: bytes) -> None:
        session = self.scope["session"]
        session["visits"] = session.get("visits", 0) + 1
        await self.send_json({"visits": session["visits"]})


class ErrorBefore(Consumer):
    async def handle(self, body: bytes) -> None:
        raise RuntimeError("before the response")


class ErrorAfter(Consumer):
    async def handle(self, body: bytes) -> None:
        async with AsyncWire(self.query["wire"]) as wire:
            await self.send_headers(headers=[TEXT])
            await self.send_body(b"first", more_body=True)
            await wire.wait_for("fail")
            raise RuntimeError("after the first chunk")


class ErrorShort(Consumer):
    async def handle(self, body: bytes) -> None:
        async with AsyncWire(self.query["wire"]) as wire:
            await self.send_headers(headers=[TEXT, (b"content-length", b"100")])
            await self.send_body(b"first", more_body=True)
            await wire.wait_for("fail")
            await self.send_body(b"")


class HeadersRepeated(Consumer):
    async def handle(self, body: bytes) -> None:
        repeated = [(b"x-repeated", b"one"), (b"x-repeated", b"two")]
        cookies = [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]
        await self.send_response(200, b"repeated", headers=[TEXT, *repeated, *cookies])


# -- where it runs --------------------------------------------------------------------------------------------


class Asynchronous(Consumer):
    async def handle(self, body: bytes) -> None:
        await asyncio.sleep(0)
        await self.send_response(200, b"async", headers=[TEXT])


class Background(Consumer):
    async def handle(self, body: bytes) -> None:
        await self.send_response(200, b"accepted", headers=[TEXT])
        async with AsyncWire(self.query["wire"]) as wire:
            await wire.say("running")
            await wire.wait_for("go on")
            await wire.say("done")


class Context(Consumer):
    async def handle(self, body: bytes) -> None:
        before = current.get()
        current.set(self.query["value"])
        await self.send_json({"before": before, "after": current.get()})


# -- WebSockets -----------------------------------------------------------------------------------------------


class EchoMessages(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data=text_data, bytes_data=bytes_data)


class Handshake(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        chosen = "chat" if "chat" in self.scope["subprotocols"] else None
        await self.accept(chosen, [(b"x-accepted", b"yes")])
        mount = self.scope.get("root_path", "")
        client = self.scope.get("client")
        about = {
            "scheme": self.scope.get("scheme"),
            "mount": mount,
            "path": self.scope["path"].removeprefix(mount),
            "query": self.scope["query_string"].decode("latin-1"),
            "headers": [[one.decode("latin-1") for one in header] for header in self.scope["headers"]],
            "client": client[0] if client else None,
        }
        await self.send(json.dumps(about))
        await self.close()


class Wired(AsyncWebsocketConsumer):
    """Has a line to the check for as long as it lives."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async with AsyncWire(QueryDict(scope["query_string"])["wire"]) as self.wire:
            await super().__call__(scope, receive, send)


class Watch(Wired):
    async def connect(self) -> None:
        await self.accept()
        await self.wire.say("open")

    async def disconnect(self, code: int) -> None:
        await self.wire.say(f"closed {code}")


class Refused(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        raise DenyConnection


class Close(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.close(4002, "enough")


class Returns(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise StopConsumer


class Fails(AsyncWebsocketConsumer):
    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise RuntimeError("in the WebSocket")


class EndlessMessages(Wired):
    async def connect(self) -> None:
        await self.accept()
        await self.wire.say("called")
        self.sender = asyncio.create_task(self.send_for_ever())

    async def send_for_ever(self) -> None:
        try:
            for _ in for_ever():
                await self.send(bytes_data=MESSAGE)
                await asyncio.sleep(0)  # a server whose send() never waits must still hear the client
        except OSError:
            pass  # the client is gone; disconnect() is told

    async def disconnect(self, code: int) -> None:
        self.sender.cancel()
        await self.wire.say("finally")

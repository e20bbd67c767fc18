"""Chats of seven ASGI frameworks, as their documentation has them, on a WSGI server; run in the server's process."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

import falcon
import falcon.asgi
import litestar
import sanic
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from fastapi import FastAPI, WebSocket, WebSocketDisconnect, WebSocketException
from litestar import exceptions as litestar_exceptions
from quart import Quart, websocket
from starlette.applications import Starlette
from starlette.endpoints import WebSocketEndpoint
from starlette.routing import WebSocketRoute

import bridge
from tests.on_wsgi_servers.applications import log

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Chat(WebSocketEndpoint):
    """Starlette: class based."""

    encoding = "text"

    async def on_connect(self, websocket: Any) -> None:
        """Choose a subprotocol."""
        await websocket.accept(subprotocol=websocket.scope["subprotocols"][0])

    async def on_receive(self, websocket: Any, data: Any) -> None:
        """Answer."""
        await websocket.send_text(f"you said {data}")

    async def on_disconnect(self, websocket: Any, close_code: int) -> None:
        """Say how it ended."""
        log(f"starlette: {close_code}")


fastapi = FastAPI()
rooms: dict[str, list[WebSocket]] = {}


@fastapi.websocket("/{room}")
async def chat(websocket: WebSocket, room: str, token: str | None = None) -> None:
    """FastAPI: what one says, all in the room hear, so all of them have to be on one loop."""
    if token != "secret":
        raise WebSocketException(code=1008, reason="no token")
    await websocket.accept()
    members = rooms.setdefault(room, [])
    members.append(websocket)
    try:
        while True:
            said = await websocket.receive_json()
            for member in members:
                await member.send_json(said)
    except WebSocketDisconnect as disconnect:
        members.remove(websocket)
        log(f"fastapi: {disconnect.code}")


@fastapi.websocket("/careless/chat")
async def careless(websocket: WebSocket) -> None:
    """Many examples do not catch the end of the WebSocket."""
    await websocket.accept()
    await websocket.receive_text()


quart = Quart(__name__)


@quart.websocket("/")
async def talk() -> None:
    """Quart: accepts with the first message that is sent."""
    while True:
        await websocket.send(await websocket.receive())


settings.configure()


class Consumer(AsyncWebsocketConsumer):  # type: ignore[misc]
    """Channels."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Answer in kind."""
        await self.send(text_data=text_data, bytes_data=bytes_data)

    async def disconnect(self, code: int) -> None:
        """Say how it ended."""
        log(f"channels: {code}")


@litestar.websocket("/")
async def answer(socket: litestar.WebSocket[Any, Any, Any]) -> None:
    """Litestar: a handler that has the WebSocket."""
    await socket.accept(subprotocols="chat")
    try:
        while True:
            await socket.send_text(f"you said {await socket.receive_text()}")
    except litestar_exceptions.WebSocketDisconnect as disconnect:
        log(f"litestar: {disconnect.code}")


class Resource:
    """Falcon."""

    async def on_websocket(self, request: falcon.asgi.Request, websocket: falcon.asgi.WebSocket) -> None:
        """Answer in kind."""
        await websocket.accept(subprotocol=websocket.subprotocols[0])
        try:
            while True:
                await websocket.send_text(await websocket.receive_text())
        except falcon.WebSocketDisconnected as disconnected:
            log(f"falcon: {disconnected.code}")


falcon_app = falcon.asgi.App()
falcon_app.add_route("/falcon/", Resource())  # it takes the mount for a part of the path

sanic_app = sanic.Sanic("chat", configure_logging=False)


@sanic_app.websocket("/sanic/")  # type: ignore[untyped-decorator]
async def converse(request: Any, websocket: Any) -> None:
    """Sanic: gets None when the client has left; takes the mount for a part of the path, too."""
    while (message := await websocket.recv()) is not None:
        await websocket.send(message)


ADAPTERS = {
    "starlette": bridge.AsgiToWsgi(Starlette(routes=[WebSocketRoute("/", Chat)])),
    "fastapi": bridge.AsgiToWsgi(fastapi),
    "quart": bridge.AsgiToWsgi(cast("Any", quart)),
    "channels": bridge.AsgiToWsgi(Consumer.as_asgi()),
    "litestar": bridge.AsgiToWsgi(cast("Any", litestar.Litestar([answer]))),
    "falcon": bridge.AsgiToWsgi(cast("Any", falcon_app)),
    "sanic": bridge.AsgiToWsgi(cast("Any", sanic_app)),
}


def served(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Mount each adapter below its name."""
    name = environ["PATH_INFO"].split("/")[1]
    environ["SCRIPT_NAME"] += "/" + name
    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/" + name)
    return ADAPTERS[name](environ, start_response)

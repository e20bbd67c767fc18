"""A FastAPI and a Starlette application with a page and the WebSockets that it opens; run in the server's process."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fastapi import FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

import bridge
from tests.pages import PAGES, log

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


async def accept(websocket: WebSocket) -> None:
    """Accept with the subprotocol that is known, if the page offers it."""
    await websocket.accept("chat" if "chat" in websocket.scope["subprotocols"] else None)


async def send_back(websocket: WebSocket, name: str) -> None:
    """Send back each message as it came; say in the log how it ended."""
    await accept(websocket)
    while (message := await websocket.receive())["type"] == "websocket.receive":
        await websocket.send({**message, "type": "websocket.send"})
    log(f"{name} ended with {message['code']} {message['reason']!r}")


async def close(websocket: WebSocket) -> None:
    """Say something, and close."""
    await accept(websocket)
    await websocket.send_text("last")
    await websocket.close(4002, "why")


async def tell_cookie(websocket: WebSocket) -> None:
    """Say which cookie came with the handshake."""
    await accept(websocket)
    await websocket.send_text(websocket.cookies.get("seen", "none"))
    await websocket.receive()


# -- FastAPI, on the loop that its startup ran on -------------------------------------------------------------

fastapi = FastAPI()
fastapi.mount("/pages", StaticFiles(directory=PAGES))


@fastapi.get("/beside")
async def beside() -> str:
    """HTTP beside the WebSockets, with JSON."""
    return "beside"


@fastapi.get("/cookie")
async def cookie(response: Response, value: str) -> None:
    """Set the cookie."""
    response.set_cookie("seen", value, httponly=True, samesite="strict")


@fastapi.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    """Echo."""
    await send_back(websocket, "fastapi")


fastapi.add_api_websocket_route("/close", close)
fastapi.add_api_websocket_route("/told", tell_cookie)


# -- Starlette, with a loop for each request ------------------------------------------------------------------


async def starlette_beside(request: Request) -> Response:
    """HTTP beside the WebSockets, with text."""
    return PlainTextResponse("beside")


async def starlette_cookie(request: Request) -> Response:
    """Set the cookie."""
    response = PlainTextResponse("set")
    response.set_cookie("seen", request.query_params["value"], httponly=True, samesite="strict")
    return response


async def starlette_echo(websocket: WebSocket) -> None:
    """Echo."""
    await send_back(websocket, "starlette")


starlette = Starlette(
    routes=[
        Mount("/pages", StaticFiles(directory=PAGES)),
        Route("/beside", starlette_beside),
        Route("/cookie", starlette_cookie),
        WebSocketRoute("/echo", starlette_echo),
        WebSocketRoute("/close", close),
        WebSocketRoute("/told", tell_cookie),
    ]
)

ADAPTERS = {
    "fastapi": bridge.AsgiToWsgi(fastapi),
    "starlette": bridge.AsgiToWsgi(starlette, loop="request"),
}


def served(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Mount each adapter below its name."""
    name = environ["PATH_INFO"].split("/")[1]
    environ["SCRIPT_NAME"] += "/" + name
    environ["PATH_INFO"] = environ["PATH_INFO"].removeprefix("/" + name)
    return ADAPTERS[name](environ, start_response)

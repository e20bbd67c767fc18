"""A Flask application with a page: WebSockets by bridge.websocket() and by flask-sock, and Socket.IO, unmodified."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response, request, send_from_directory
from flask_sock import Sock  # type: ignore[import-untyped]
from flask_socketio import SocketIO, emit, join_room  # type: ignore[import-untyped]
from simple_websocket import ConnectionClosed  # type: ignore[import-untyped]

import bridge
from tests.pages import PAGES, log

app = Flask(__name__)
app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": ["chat"]}
sock = Sock(app)
io = SocketIO(app, async_mode="threading")


@app.get("/pages/<name>")
def page(name: str) -> Response:
    return send_from_directory(PAGES, name)


@app.get("/pages/beside")
def beside() -> str:
    return "beside"


@app.get("/pages/cookie")
def cookie() -> Response:
    response = Response("set")
    response.set_cookie("seen", request.args["value"], httponly=True, samesite="Strict")
    return response


# -- bridge.websocket() --------------------------------------------------------------------------------------


def accepted() -> bridge.WebSocket:
    websocket = bridge.websocket(request.environ)
    websocket.accept("chat" if "chat" in websocket.subprotocols else None)
    return websocket


@app.route("/bridge/echo", websocket=True)
def bridge_echo() -> str:
    websocket = accepted()
    for message in websocket:
        websocket.send(message)
    log(f"bridge ended with {websocket.close_code} {websocket.close_reason!r}")
    return ""


@app.route("/bridge/close", websocket=True)
def bridge_close() -> str:
    websocket = accepted()
    websocket.send("last")
    websocket.close(4002, "why")
    return ""


@app.route("/bridge/cookie", websocket=True)
def bridge_cookie() -> str:
    websocket = accepted()
    websocket.send(request.cookies.get("seen", "none"))
    for _ in websocket:
        pass
    return ""


# -- flask-sock ----------------------------------------------------------------------------------------------


@sock.route("/flask-sock/echo")  # type: ignore[untyped-decorator]
def sock_echo(ws: Any) -> None:
    try:
        while True:
            ws.send(ws.receive())
    except ConnectionClosed as closed:
        log(f"flask-sock ended with {int(closed.reason)} {closed.message!r}")
        raise


@sock.route("/flask-sock/close")  # type: ignore[untyped-decorator]
def sock_close(ws: Any) -> None:
    ws.send("last")
    ws.close(4002, "why")


@sock.route("/flask-sock/cookie")  # type: ignore[untyped-decorator]
def sock_cookie(ws: Any) -> None:
    ws.send(request.cookies.get("seen", "none"))
    ws.receive()


# -- Flask-SocketIO ------------------------------------------------------------------------------------------


@io.on("join")  # type: ignore[untyped-decorator]
def join(room: str) -> str:
    join_room(room)
    return f"in {room}"


@io.on("say")  # type: ignore[untyped-decorator]
def say(room: str, data: object) -> str:
    emit("said", data, to=room)
    return "said"


@io.on("binary")  # type: ignore[untyped-decorator]
def binary(data: object) -> object:
    return data


@io.on("disconnect")  # type: ignore[untyped-decorator]
def disconnect(reason: str) -> None:
    log(f"Socket.IO ended: {reason}")


served = bridge.WsgiToAsgi(app)

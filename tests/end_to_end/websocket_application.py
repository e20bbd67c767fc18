"""WSGI applications with WebSockets, each written for another way to have them: served to real clients."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.util import shift_path_info

from flask import Flask
from flask_sock import Sock  # type: ignore[import-untyped]
from flask_socketio import SocketIO, emit  # type: ignore[import-untyped]

import bridge

if TYPE_CHECKING:
    from bridge.protocols import Environ, StartResponse, WsgiApplication

flask_app = Flask(__name__)
flask_app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": ["chat"], "ping_interval": 5}
sock = Sock(flask_app)
io = SocketIO(flask_app, async_mode="threading", cors_allowed_origins="*")

_chatting: set[Any] = set()
_ended: dict[str, threading.Event] = {}
_flooded = threading.Condition()
_flood = 0


@sock.route("/echo")  # type: ignore[untyped-decorator]
def flask_echo(ws: Any) -> None:
    while True:
        ws.send(ws.receive())


@sock.route("/close")  # type: ignore[untyped-decorator]
def flask_close(ws: Any) -> None:
    ws.send("last")
    ws.close(4002, "why")


@sock.route("/chat")  # type: ignore[untyped-decorator]
def flask_chat(ws: Any) -> None:
    _chatting.add(ws)
    try:
        ws.send("in")
        while True:
            message = ws.receive()
            for member in list(_chatting):
                member.send(message)
    finally:
        _chatting.discard(ws)


@io.on("ask")  # type: ignore[untyped-decorator]
def ask(data: object) -> str:
    emit("answer", data)
    emit("news", data, broadcast=True)
    return "heard"


def echo(websocket: bridge.WebSocket) -> None:
    websocket.accept("chat" if "chat" in websocket.subprotocols else None, [("X-Bridge", "yes")])
    for message in websocket:
        websocket.send(message)


def close(websocket: bridge.WebSocket) -> None:
    websocket.accept()
    websocket.send("last")
    websocket.close(4002, "why")


def fail(websocket: bridge.WebSocket) -> None:
    websocket.accept()
    raise RuntimeError("the application failed")


def lost(websocket: bridge.WebSocket) -> None:
    """Let ``watch`` of the other end know when this WebSocket has ended."""
    websocket.accept()
    websocket.send("open")
    for _ in websocket:
        pass
    _ended.setdefault("lost", threading.Event()).set()


def watch(websocket: bridge.WebSocket) -> None:
    websocket.accept()
    _ended.setdefault("lost", threading.Event()).wait(20)
    _ended.clear()
    websocket.send("ended")


def flood(websocket: bridge.WebSocket) -> None:
    """Send 128 MiB as fast as the client takes them."""
    global _flood
    websocket.accept()
    for _ in range(2048):
        websocket.send(b"x" * 65536)
        with _flooded:
            _flood += 1
            _flooded.notify_all()


def gevent_echo(websocket: Any) -> None:
    while not websocket.closed:
        message = websocket.receive()
        if message is not None:
            websocket.send(message)


_SOCKETS = {"/echo": echo, "/close": close, "/fail": fail, "/lost": lost, "/watch": watch, "/flood": flood}


def stalled(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the number of messages that the flood has sent, once it has sent none for half a second."""
    with _flooded:
        while _flooded.wait(0.5):
            pass
        sent = b"%d" % _flood
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [sent]


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/stalled":
        return stalled(environ, start_response)
    if path.startswith(("/flask/", "/socket.io/")):
        if path.startswith("/flask/"):
            shift_path_info(environ)
        served_by_flask: WsgiApplication = flask_app
        return served_by_flask(environ, start_response)
    if path == "/gevent/echo":
        gevent_echo(environ["wsgi.websocket"])
        return []
    if path in _SOCKETS:
        _SOCKETS[path](bridge.websocket(environ))
        return []
    start_response("401 Unauthorized", [("WWW-Authenticate", "Basic")])
    return [b"who are you?"]


served = bridge.WsgiToAsgi(application, websocket_threads=120)

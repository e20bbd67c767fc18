"""Applications of Flask, Django and others with WebSockets, as the documentation of their libraries has them.

None of them knows the bridge: each would run on the WSGI server that its library is made for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from wsgiref.util import shift_path_info

import simple_websocket  # type: ignore[import-untyped]
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponse
from django.urls import path
from flask import Flask
from flask_sock import Sock  # type: ignore[import-untyped]
from flask_socketio import SocketIO, emit, join_room  # type: ignore[import-untyped]
from werkzeug.exceptions import NotFound
from werkzeug.routing import Map, Rule

if TYPE_CHECKING:
    from bridge.protocols import Environ, StartResponse, WsgiApplication

flask_app = Flask(__name__)
flask_app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": ["chat"], "ping_interval": 5}
sock = Sock(flask_app)
io = SocketIO(flask_app, async_mode="threading", cors_allowed_origins="*")


# -- flask-sock ---------------------------------------------------------------------------------------------------


@sock.route("/echo")  # type: ignore[untyped-decorator]
def flask_echo(ws: Any) -> None:
    while True:
        ws.send(ws.receive())


@sock.route("/close")  # type: ignore[untyped-decorator]
def flask_close(ws: Any) -> None:
    ws.send("last")
    ws.close(4002, "why")


_crowd: set[Any] = set()


@sock.route("/crowd")  # type: ignore[untyped-decorator]
def flask_crowd(ws: Any) -> None:
    _crowd.add(ws)
    try:
        ws.send("in")
        while True:
            message = ws.receive()
            for member in list(_crowd):
                member.send(message)
    finally:
        _crowd.discard(ws)


_rooms: dict[str, dict[str, Any]] = {}
_coming_and_going = threading.RLock()


def _tell(room: str, words: str) -> None:
    for member in list(_rooms[room].values()):
        try:
            member.send(words)
        except simple_websocket.ConnectionClosed:
            pass  # its own thread takes it out


@sock.route("/chat/<room>/<name>")  # type: ignore[untyped-decorator]
def flask_chat(ws: Any, room: str, name: str) -> None:
    with _coming_and_going:
        _rooms.setdefault(room, {})[name] = ws
        _tell(room, f"{name} has joined")
    try:
        while True:
            message = ws.receive()
            with _coming_and_going:  # what is said, all hear in the same order
                _tell(room, f"{name}: {message}")
    finally:
        with _coming_and_going:
            del _rooms[room][name]
            _tell(room, f"{name} has left")


# -- Flask-SocketIO -----------------------------------------------------------------------------------------------


@io.on("ask")  # type: ignore[untyped-decorator]
def ask(data: object) -> str:
    emit("answer", data)
    emit("news", data, broadcast=True)
    return "heard"


@io.on("join")  # type: ignore[untyped-decorator]
def join(room: str) -> str:
    join_room(room)
    return "joined"


@io.on("say")  # type: ignore[untyped-decorator]
def say(room: str, words: object) -> None:
    emit("said", words, to=room)


# -- Flask-Sockets: an object of gevent-websocket in environ, and a middleware that looks for a route -----------------

_urls = Map([Rule("/gevent/echo", endpoint="echo", websocket=True)])


def sockets(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Do what ``flask_sockets.SocketMiddleware`` does, which is not maintained and matches nothing any more."""
    try:
        _urls.bind_to_environ(environ).match()
        websocket = environ["wsgi.websocket"]
    except (NotFound, KeyError):
        return flask(environ, start_response)
    while not websocket.closed:
        message = websocket.receive()
        if message is not None:
            websocket.send(message)
    return []


# -- Django with simple-websocket ---------------------------------------------------------------------------------


def django_echo(request: HttpRequest) -> HttpResponse:
    ws = simple_websocket.Server.accept(request.META)
    try:
        while True:
            ws.send(f"{request.GET['who']}: {ws.receive()}")
    except simple_websocket.ConnectionClosed:
        return HttpResponse()  # which nobody gets


urlpatterns = [path("django/echo", django_echo)]
settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], SECRET_KEY="of the tests")
django = WSGIHandler()


def flask(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Flask below its own mount; Socket.IO's path is at the root."""
    if environ["PATH_INFO"].startswith("/flask/"):
        shift_path_info(environ)
    served: WsgiApplication = flask_app
    return served(environ, start_response)


LIBRARIES: dict[str, WsgiApplication] = {"flask": flask, "socket.io": flask, "gevent": sockets, "django": django}

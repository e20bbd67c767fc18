"""The Flask application with flask-sock and Flask-SocketIO, as their users write it. Knows nothing of bridge.

Apart from the application, which needs Flask alone.
"""

# mypy: disable-error-code="import-untyped,untyped-decorator"
# Neither they nor simple-websocket have annotations.

from __future__ import annotations

from flask import Response, abort, request
from flask_sock import Sock
from flask_socketio import SocketIO, emit
from simple_websocket import ConnectionClosed, Server

from compat_matrix.apps.flask_app import app
from compat_matrix.apps.support import MESSAGE, Wire, for_ever

__all__ = ["app"]

app.config["SOCK_SERVER_OPTIONS"] = {"subprotocols": ["chat"]}
sock = Sock(app)
io = SocketIO(app, async_mode="threading")


@app.before_request
def guard() -> Response | None:
    # Once flask-sock has called a route, the handshake is answered.
    if request.endpoint == "refused":
        abort(403)
    if request.endpoint == "denied":
        return Response("log in", 401, {"X-Denied": "yes"}, mimetype="text/plain")
    return None


@sock.route("/ws/echo")
def echo_messages(ws: Server) -> None:
    while True:
        ws.send(ws.receive())


@sock.route("/ws/handshake")
def handshake(ws: Server) -> None:
    ws.send(
        app.json.dumps(
            {
                "scheme": request.scheme,
                "mount": request.script_root,
                "path": request.path,
                "query": request.query_string.decode("latin-1"),
                "headers": [[name.lower(), value] for name, value in request.headers],
                "client": request.remote_addr,
            }
        )
    )


@sock.route("/ws/watch")
def watch(ws: Server) -> None:
    with Wire(request.args["wire"]) as wire:
        wire.say("open")
        try:
            while True:
                ws.receive()
        except ConnectionClosed as closed:
            wire.say(f"closed {int(closed.reason)}")


@sock.route("/ws/refused")
def refused(ws: Server) -> None:
    raise AssertionError("guard() has answered")


@sock.route("/ws/denied")
def denied(ws: Server) -> None:
    raise AssertionError("guard() has answered")


@sock.route("/ws/close")
def close(ws: Server) -> None:
    ws.receive()
    ws.close(4002, "enough")


@sock.route("/ws/returns")
def returns(ws: Server) -> None:
    ws.receive()


@sock.route("/ws/fails")
def fails(ws: Server) -> None:
    ws.receive()
    raise RuntimeError("in the WebSocket")


@sock.route("/ws/endless")
def endless_messages(ws: Server) -> None:
    with Wire(request.args["wire"]) as wire:
        wire.say("called")
        try:
            for _ in for_ever():
                ws.send(MESSAGE)
        finally:
            wire.say("finally")


@io.on("ask")
def ask(data: object) -> str:
    emit("answer", data)
    return "heard"

"""A Flask application with long-lived responses, as users of bridge write it."""

from __future__ import annotations

from flask import Flask, Response, request

import bridge
from compat_matrix.apps import long_lived
from compat_matrix.apps.support import Wire

app = Flask(__name__)

NO_STORE = {"Cache-Control": "no-store"}


@app.get("/")
def index() -> Response:
    return Response("Hello from Flask\n", mimetype="text/plain")


@app.get("/long/events")
def events() -> Response:
    stream = bridge.stream(long_lived.events(request.args.get("wire")))
    return Response(stream, mimetype="text/event-stream", headers=NO_STORE)


@app.get("/long/fails")
def fails() -> Response:
    stream = bridge.stream(long_lived.failing(request.args["wire"]))
    return Response(stream, mimetype="text/event-stream", headers=NO_STORE)


@app.get("/long/wait")
def wait() -> Response:
    return Response(bridge.wait(long_lived.result(request.args["wire"]), timeout=30.0), mimetype="text/plain")


@app.get("/long/wait/over")
def wait_over() -> Response:
    return Response(bridge.wait(long_lived.never, timeout=0.0), mimetype="text/plain")


@app.get("/long/wait/fails")
def wait_fails() -> Response:
    return Response(bridge.wait(long_lived.broken), mimetype="text/plain")


@app.get("/hints")
def hints() -> Response:
    with Wire(request.args["wire"]) as wire:
        hint = request.environ.get("wsgi.early_hints")
        if hint is None:
            wire.say("no hints here")
        else:
            hint(long_lived.LINKS)
            wire.say("hinted")
            wire.wait_for("go on")
    return Response("styled", mimetype="text/plain")

"""A Flask application with event streams, once for bridge and once for a thread each. Knows no server."""

from __future__ import annotations

from flask import Flask, Response

import bridge
from benchmarks.streams.hub import hub

application = Flask(__name__)


@application.get("/events")
def events() -> Response:
    """Stream from the event loop."""
    return Response(bridge.stream(hub.events()), mimetype="text/event-stream")


@application.get("/events-in-thread")
def events_in_thread() -> Response:
    """Stream as any WSGI application can."""
    return Response(hub.events_in_thread(), mimetype="text/event-stream")


@application.get("/plain")
def plain() -> str:
    """Answer with a short string."""
    return "plain"

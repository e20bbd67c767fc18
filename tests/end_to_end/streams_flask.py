"""A Flask application with four threads that streams to thousands; run in the server's process."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response

import bridge

from .streams_hub import Hub, holdings, stats

app = Flask(__name__)
hub = Hub()


@app.get("/events")
def events() -> Response:
    return Response(bridge.stream(hub.events()), mimetype="text/event-stream")


@app.get("/tell")
def tell() -> str:
    bridge.run_async(hub.tell)
    return "told"


@app.get("/plain")
def plain() -> str:
    return "plain"


@app.get("/stats")
def of_adapter() -> dict[str, int]:
    return stats(served)


@app.get("/holdings")
def of_process() -> dict[str, Any]:
    return holdings()


served = bridge.WsgiToAsgi(app, threads=4)

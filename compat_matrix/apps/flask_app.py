"""A Flask application as users write it. Knows nothing of bridge.

Serve it with ``bridge serve compat_matrix.apps.flask_app:app``.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from flask import Flask, Response, jsonify, request

if TYPE_CHECKING:
    from collections.abc import Iterator

app = Flask(__name__)


@app.get("/")
def index() -> str:
    return "Hello from Flask\n"


@app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def echo() -> Response:
    return jsonify(
        method=request.method,
        mount=request.script_root,
        path=request.path,
        query=request.query_string.decode("latin-1"),
        headers=dict(request.headers),
    )


@app.get("/json")
def json() -> Response:
    return jsonify(framework="flask", ok=True)


@app.post("/upload")
def upload() -> Response:
    digest = hashlib.sha256()
    size = 0
    while chunk := request.stream.read(65536):
        digest.update(chunk)
        size += len(chunk)
    return jsonify(sha256=digest.hexdigest(), size=size)


@app.get("/stream")
def stream() -> Response:
    def lines() -> Iterator[str]:
        for number in range(10):
            yield f"line {number}\n"

    return Response(lines(), mimetype="text/plain")


@app.get("/async")
async def asynchronous() -> str:
    await asyncio.sleep(0)
    return "Hello from an async view\n"

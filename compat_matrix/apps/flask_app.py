"""A Flask application as users write it. Knows nothing of bridge.

Serve it with ``bridge serve compat_matrix.apps.flask_app:app``.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar
from typing import NoReturn

from flask import Flask, Response, abort, jsonify, redirect, request, send_file, session, url_for
from werkzeug.wrappers import Response as BaseResponse

from compat_matrix.apps import bodies
from compat_matrix.apps.support import FILE, STATIC, Wire, pattern

app = Flask(__name__, static_folder=STATIC)
app.secret_key = "not a secret"

current: ContextVar[str] = ContextVar("current", default="unset")


def text(body: str, status: int = 200) -> Response:
    return Response(body, status, mimetype="text/plain")


# Requests


@app.get("/")
def index() -> Response:
    return text("Hello from Flask\n")


@app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def echo() -> Response:
    return jsonify(
        method=request.method,
        scheme=request.scheme,
        mount=request.script_root,
        path=request.path,
        query=request.query_string.decode("latin-1"),
        headers=[[name.lower(), value] for name, value in request.headers],
        client=request.remote_addr,
        body=request.get_data().decode("latin-1"),
    )


@app.get("/json")
def json() -> Response:
    return jsonify(framework="Flask", ok=True)


@app.get("/args")
def args() -> Response:
    return jsonify(request.args.to_dict(flat=False))


@app.get("/paths/<path:rest>")
def paths(rest: str) -> Response:
    return jsonify(rest=rest)


@app.post("/form")
def form() -> Response:
    return jsonify(request.form.to_dict(flat=False))


@app.post("/multipart")
def multipart() -> Response:
    files = [
        {
            "name": name,
            "filename": upload.filename,
            "content_type": upload.content_type,
            **bodies.digest(upload.stream.read).result(),
        }
        for name, upload in request.files.items(multi=True)
    ]
    return jsonify(fields=request.form.to_dict(flat=False), files=files)


@app.post("/upload")
def upload() -> Response:
    return jsonify(bodies.digest(request.stream.read).result())


@app.post("/upload/watch")
def upload_watch() -> Response:
    digest = bodies.watched(request.stream.read, request.content_length, request.args["wire"])
    if digest is None:
        abort(400)
    return jsonify(digest.result())


@app.post("/ignore")
def ignore() -> Response:
    return text("ignored", 403)


# Streams


@app.get("/download")
def download() -> Response:
    return Response(pattern(request.args.get("size", 0, type=int)), mimetype="application/octet-stream")


@app.get("/download/declared")
def download_declared() -> Response:
    size = request.args.get("size", 0, type=int)
    return Response(pattern(size), mimetype="application/octet-stream", headers={"Content-Length": str(size)})


@app.get("/stream")
def stream() -> Response:
    return Response(bodies.lines(request.args.get("wire")), mimetype="text/plain")


@app.get("/endless")
def endless() -> Response:
    return Response(bodies.ticks(request.args["wire"]), mimetype="text/plain")


@app.get("/events")
def events() -> Response:
    body = bodies.events(request.args.get("wire"))
    return Response(body, mimetype="text/event-stream", headers={"Cache-Control": "no-cache"})


# Cookies, sessions, URLs


@app.get("/cookies")
def cookies() -> Response:
    response = jsonify(request.cookies)
    response.set_cookie("plain", "1")
    response.set_cookie("attributes", "2", path="/", httponly=True, samesite="Lax", max_age=60)
    return response


@app.post("/session")
def visits() -> Response:
    session["visits"] = session.get("visits", 0) + 1
    return jsonify(visits=session["visits"])


@app.get("/redirect")
def to_json() -> BaseResponse:
    return redirect(url_for("json"))


@app.get("/url")
def url() -> Response:
    return jsonify(path=url_for("json"), absolute=url_for("json", _external=True))


@app.get("/slashed/")
def slashed() -> Response:
    return text("slashed")


# Errors


@app.get("/error/before")
def error_before() -> NoReturn:
    raise RuntimeError("before the response")


@app.get("/error/after")
def error_after() -> Response:
    return Response(bodies.failing(request.args["wire"]), mimetype="text/plain")


@app.get("/error/short")
def error_short() -> Response:
    return Response(bodies.short(request.args["wire"]), mimetype="text/plain", headers={"Content-Length": "100"})


@app.get("/error/http")
def error_http() -> NoReturn:
    abort(418, "short and stout")


# Headers and statuses


@app.get("/headers/large")
def headers_large() -> Response:
    response = text("large")
    response.headers["X-Large"] = "x" * 6000
    for number in range(50):
        response.headers[f"X-Many-{number}"] = "y"
    return response


@app.get("/headers/repeated")
def headers_repeated() -> Response:
    response = text("repeated")
    response.headers.add("X-Repeated", "one")
    response.headers.add("X-Repeated", "two")
    response.set_cookie("a", "1")
    response.set_cookie("b", "2")
    return response


@app.get("/status/204")
def status_204() -> Response:
    return Response(status=204, headers={"X-Seen": "yes"})


@app.get("/status/304")
def status_304() -> Response:
    response = Response(status=304)
    response.set_etag("v1")
    return response


@app.get("/empty")
def empty() -> Response:
    return text("")


@app.get("/conditional")
def conditional() -> Response:
    response = text("conditional")
    response.set_etag("v1")
    response.make_conditional(request)
    return response


@app.get("/file")
def file() -> Response:
    return send_file(FILE, as_attachment=True)


# Where the view runs


@app.get("/blocking")
def blocking() -> Response:
    with Wire(request.args["wire"]) as wire:
        wire.say("running")
        wire.wait_for("go on")
    return text("blocked")


@app.get("/async")
async def asynchronous() -> Response:
    await asyncio.sleep(0)
    return text("async")


@app.get("/context")
def context() -> Response:
    before = current.get()
    current.set(request.args["value"])
    return jsonify(before=before, after=current.get())

"""The contract of endpoints in Quart, as its users write it. Knows nothing of bridge."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextvars import ContextVar
from typing import Any

from quart import Quart, Response, abort, jsonify, redirect, request, send_file, session, url_for, websocket
from werkzeug.wrappers import Response as WerkzeugResponse

from compat_matrix.apps.support import FILE, MESSAGE, STATIC, AsyncWire, Digest, Wire, for_ever, pattern

current: ContextVar[str] = ContextVar("current", default="unset")

app = Quart(__name__, static_folder=str(STATIC))
app.secret_key = "of the matrix"
app.config["MAX_CONTENT_LENGTH"] = None
app.config["SEND_FILE_MAX_AGE_DEFAULT"] = None


@app.before_serving
async def startup() -> None:
    app.config["PROCESS"] = os.getpid()


def text(body: str = "", status: int = 200) -> Response:
    return Response(body, status, mimetype="text/plain")


# -- requests -------------------------------------------------------------------------------------------------


@app.get("/")
async def index() -> Response:
    return text("Hello from Quart\n")


@app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def echo() -> dict[str, Any]:
    return {
        "method": request.method,
        "scheme": request.scheme,
        "mount": request.root_path,
        "path": request.path,
        "query": request.scope["query_string"].decode("latin-1"),
        "headers": [[name.lower(), value] for name, value in request.headers],
        "client": request.remote_addr,
        "body": (await request.data).decode("latin-1"),
    }


@app.get("/json")
async def json() -> dict[str, Any]:
    return {"framework": "Quart", "ok": True}


@app.get("/args")
async def args() -> dict[str, list[str]]:
    return request.args.to_dict(flat=False)


@app.get("/paths/<path:rest>")
async def paths(rest: str) -> dict[str, str]:
    return {"rest": rest}


@app.post("/form")
async def form() -> dict[str, list[str]]:
    return (await request.form).to_dict(flat=False)


@app.post("/multipart")
async def multipart() -> dict[str, Any]:
    files = []
    for name, file in (await request.files).items(multi=True):
        digest = Digest()
        while chunk := file.read(65_536):
            digest.update(chunk)
        about = {"name": name, "filename": file.filename, "content_type": file.content_type}
        files.append({**about, **digest.result()})
    return {"fields": (await request.form).to_dict(flat=False), "files": files}


@app.post("/upload")
async def upload() -> dict[str, Any]:
    digest = Digest()
    async for chunk in request.body:
        digest.update(chunk)
    return digest.result()


@app.post("/upload/watch")
async def upload_watch() -> tuple[dict[str, Any], int]:
    digest = Digest()
    complete = False
    async with AsyncWire(request.args["wire"]) as wire:
        await wire.say("called")
        try:
            async for chunk in request.body:
                if chunk and digest.size == 0:
                    await wire.say("first")
                digest.update(chunk)
            complete = request.content_length in (None, digest.size)
        finally:
            await wire.say("end" if complete else "cut")
    return digest.result(), 200 if complete else 400


@app.post("/ignore")
async def ignore() -> Response:
    return text("ignored", 403)


# -- streams --------------------------------------------------------------------------------------------------


@app.get("/download")
async def download() -> Response:
    return Response(pattern(int(request.args["size"])), mimetype="application/octet-stream")


@app.get("/download/declared")
async def download_declared() -> Response:
    size = request.args["size"]
    return Response(pattern(int(size)), headers={"Content-Length": size}, mimetype="application/octet-stream")


@app.get("/stream")
async def stream() -> Response:
    async def lines(port: str) -> AsyncIterator[str]:
        async with AsyncWire(port) as wire:
            await wire.say("called")
            try:
                yield "first\n"
                await wire.wait_for("go on")
                yield "second\n"
                await wire.wait_for("go on")
                yield "third\n"
            finally:
                await wire.say("finally")

    return Response(lines(request.args["wire"]), mimetype="text/plain")


@app.get("/endless")
async def endless() -> Response:
    async def ticks(port: str) -> AsyncIterator[str]:
        async with AsyncWire(port) as wire:
            await wire.say("called")
            try:
                for _ in for_ever():
                    yield "tick\n"
                    await asyncio.sleep(0)  # a server whose send() never waits must still hear the client
            finally:
                await wire.say("finally")

    return Response(ticks(request.args["wire"]), mimetype="text/plain")


@app.get("/events")
async def events() -> Response:
    def event(number: int, data: str) -> str:
        return f"id: {number}\nevent: tick\ndata: {data}\n\n"

    async def ticks(port: str | None) -> AsyncIterator[str]:
        yield event(1, "one")
        if port:
            async with AsyncWire(port) as wire:
                await wire.wait_for("go on")
                yield event(2, "two")
                await wire.wait_for("go on")
        else:
            yield event(2, "two")
        yield event(3, "three")

    response = Response(ticks(request.args.get("wire")), mimetype="text/event-stream")
    response.headers["Cache-Control"] = "no-cache"
    return response


# -- cookies, sessions, URLs ----------------------------------------------------------------------------------


@app.get("/cookies")
async def cookies() -> Response:
    response = jsonify(dict(request.cookies))
    response.set_cookie("plain", "1")
    response.set_cookie("attributes", "2", max_age=60, path="/", httponly=True, samesite="Lax")
    return response


@app.post("/session")
async def visit() -> dict[str, int]:
    session["visits"] = session.get("visits", 0) + 1
    return {"visits": session["visits"]}


@app.get("/redirect")
async def to_json() -> WerkzeugResponse:
    return redirect(url_for("json"))


@app.get("/url")
async def url() -> dict[str, str]:
    return {"path": url_for("json"), "absolute": url_for("json", _external=True)}


@app.get("/slashed/")
async def slashed() -> Response:
    return text("slashed")


# -- errors ---------------------------------------------------------------------------------------------------


@app.get("/error/before")
async def error_before() -> Response:
    raise RuntimeError("before the response")


@app.get("/error/after")
async def error_after() -> Response:
    async def chunks(port: str) -> AsyncIterator[str]:
        async with AsyncWire(port) as wire:
            yield "first"
            await wire.wait_for("fail")
            raise RuntimeError("after the first chunk")

    return Response(chunks(request.args["wire"]), mimetype="text/plain")


@app.get("/error/short")
async def error_short() -> Response:
    async def chunks(port: str) -> AsyncIterator[str]:
        async with AsyncWire(port) as wire:
            yield "first"
            await wire.wait_for("fail")

    return Response(chunks(request.args["wire"]), headers={"Content-Length": "100"}, mimetype="text/plain")


@app.get("/error/http")
async def error_http() -> Response:
    abort(418, "a teapot")


# -- headers and statuses -------------------------------------------------------------------------------------


@app.get("/headers/large")
async def headers_large() -> Response:
    response = text("large")
    response.headers["X-Large"] = "x" * 6_000
    for number in range(50):
        response.headers[f"X-Many-{number}"] = "y"
    return response


@app.get("/headers/repeated")
async def headers_repeated() -> Response:
    response = text("repeated")
    response.headers.add("X-Repeated", "one")
    response.headers.add("X-Repeated", "two")
    response.headers.add("Set-Cookie", "a=1")
    response.headers.add("Set-Cookie", "b=2")
    return response


@app.get("/status/204")
async def status_204() -> Response:
    return Response(status=204, headers={"X-Seen": "yes"})


@app.get("/status/304")
async def status_304() -> Response:
    response = Response(status=304)
    response.set_etag("v1")
    return response


@app.get("/empty")
async def empty() -> Response:
    return text()


@app.get("/conditional")
async def conditional() -> Response:
    response = text("conditional")
    response.set_etag("v1")
    await response.make_conditional(request)
    return response


@app.get("/file")
async def file() -> Response | WerkzeugResponse:
    return await send_file(FILE, as_attachment=True, attachment_filename="file.bin")


# -- where it runs --------------------------------------------------------------------------------------------


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


@app.get("/background")
async def background() -> Response:
    async def work(port: str) -> None:
        async with AsyncWire(port) as wire:
            await wire.say("running")
            await wire.wait_for("go on")
            await wire.say("done")

    app.add_background_task(work, request.args["wire"])
    return text("accepted")


@app.get("/lifespan")
async def lifespan() -> dict[str, Any]:
    process = app.config.get("PROCESS")
    return {"started": process is not None, "process": process, "here": os.getpid()}


@app.get("/context")
async def context() -> dict[str, str]:
    before = current.get()
    current.set(request.args["value"])
    return {"before": before, "after": current.get()}


# -- WebSockets -----------------------------------------------------------------------------------------------


@app.websocket("/ws/echo")
async def echo_messages() -> None:
    await websocket.accept()
    while True:
        await websocket.send(await websocket.receive())


@app.websocket("/ws/handshake")
async def handshake() -> None:
    chosen = "chat" if "chat" in websocket.requested_subprotocols else None
    await websocket.accept({"X-Accepted": "yes"}, chosen)
    await websocket.send_json(
        {
            "scheme": websocket.scheme,
            "mount": websocket.root_path,
            "path": websocket.path,
            "query": websocket.scope["query_string"].decode("latin-1"),
            "headers": [[name.lower(), value] for name, value in websocket.headers],
            "client": websocket.remote_addr,
        }
    )


@app.websocket("/ws/watch")
async def watch() -> None:
    async with AsyncWire(websocket.args["wire"]) as wire:
        await websocket.accept()
        await wire.say("open")
        try:
            while True:
                await websocket.receive()
        finally:  # Quart cancels it
            await wire.say("closed")


@app.websocket("/ws/refused")
async def refused() -> None:
    await websocket.close(1008)


@app.websocket("/ws/denied")
async def denied() -> Response:
    return Response("log in", 401, {"X-Denied": "yes"}, mimetype="text/plain")


@app.websocket("/ws/close")
async def close() -> None:
    await websocket.receive()
    await websocket.close(4002, "enough")


@app.websocket("/ws/returns")
async def returns() -> None:
    await websocket.receive()


@app.websocket("/ws/fails")
async def fails() -> None:
    await websocket.receive()
    raise RuntimeError("in the WebSocket")


@app.websocket("/ws/endless")
async def endless_messages() -> None:
    async with AsyncWire(websocket.args["wire"]) as wire:
        await wire.say("called")
        try:
            for _ in for_ever():
                await websocket.send(MESSAGE)
        finally:
            await wire.say("finally")

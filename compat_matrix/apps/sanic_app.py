"""The contract of endpoints in Sanic, as its users write it. Knows nothing of bridge."""

# mypy: disable-error-code="untyped-decorator"
# That of app.websocket() is.

from __future__ import annotations

import asyncio
import os
from contextvars import ContextVar
from json import dumps
from typing import Any
from urllib.parse import unquote

from sanic import HTTPResponse, Request, Sanic, Websocket, response
from sanic.exceptions import SanicException

from compat_matrix.apps.support import FILE, MESSAGE, STATIC, AsyncWire, Digest, Wire, for_ever, pattern

current: ContextVar[str] = ContextVar("current", default="unset")

app = Sanic("compat_matrix")
app.static("/static", STATIC)


@app.before_server_start
async def startup(app: Any) -> None:
    app.ctx.process = os.getpid()


# -- requests -------------------------------------------------------------------------------------------------


@app.get("/")
async def index(request: Request) -> HTTPResponse:
    return response.text("Hello from Sanic\n")


@app.route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def echo(request: Request) -> HTTPResponse:
    return response.json(
        {
            "method": request.method,
            "scheme": request.scheme,
            "mount": request.scope.get("root_path", ""),
            "path": request.path,
            "query": request.scope["query_string"].decode("latin-1"),
            "headers": list(request.headers.items()),
            "client": request.ip or None,
            "body": request.body.decode("latin-1"),
        }
    )


@app.get("/json")
async def json(request: Request) -> HTTPResponse:
    return response.json({"framework": "Sanic", "ok": True})


@app.get("/args")
async def args(request: Request) -> HTTPResponse:
    return response.json(request.args)


@app.get("/paths/<rest:path>")
async def paths(request: Request, rest: str) -> HTTPResponse:
    return response.json({"rest": unquote(rest)})  # Sanic leaves this kind of parameter as it is


@app.post("/form")
async def form(request: Request) -> HTTPResponse:
    return response.json(request.form)


@app.post("/multipart")
async def multipart(request: Request) -> HTTPResponse:
    files = []
    for name, uploaded in (request.files or {}).items():
        for file in uploaded:
            digest = Digest()
            digest.update(file.body)
            about = {"name": name, "filename": file.name, "content_type": file.type}
            files.append({**about, **digest.result()})
    return response.json({"fields": request.form, "files": files})


@app.post("/upload", stream=True)
async def upload(request: Request) -> HTTPResponse:
    digest = Digest()
    async for chunk in request.stream:  # type: ignore[union-attr]  # None before the request has begun
        digest.update(chunk)
    return response.json(digest.result())


@app.post("/upload/watch", stream=True)
async def upload_watch(request: Request) -> HTTPResponse:
    digest = Digest()
    complete = False
    async with AsyncWire(request.args.get("wire")) as wire:
        await wire.say("called")
        try:
            async for chunk in request.stream:  # type: ignore[union-attr]  # None before the request has begun
                if chunk and digest.size == 0:
                    await wire.say("first")
                digest.update(chunk)
            complete = digest.size == int(request.headers.get("content-length", digest.size))
        finally:
            await wire.say("end" if complete else "cut")
    return response.json(digest.result(), status=200 if complete else 400)


@app.post("/ignore", stream=True)  # without it, Sanic reads the body before it calls
async def ignore(request: Request) -> HTTPResponse:
    return response.text("ignored", status=403)


# -- streams --------------------------------------------------------------------------------------------------


async def send_pattern(request: Request, headers: dict[str, str]) -> None:
    answer = await request.respond(content_type="application/octet-stream", headers=headers)
    for piece in pattern(int(request.args.get("size"))):
        await answer.send(piece)
    await answer.eof()


@app.get("/download")
async def download(request: Request) -> None:
    await send_pattern(request, {})


@app.get("/download/declared")
async def download_declared(request: Request) -> None:
    await send_pattern(request, {"Content-Length": request.args.get("size")})


@app.get("/stream")
async def stream(request: Request) -> None:
    async with AsyncWire(request.args.get("wire")) as wire:
        await wire.say("called")
        try:
            answer = await request.respond(content_type="text/plain; charset=utf-8")
            await answer.send("first\n")
            await wire.wait_for("go on")
            await answer.send("second\n")
            await wire.wait_for("go on")
            await answer.send("third\n")
            await answer.eof()
        finally:
            await wire.say("finally")


async def left(request: Request) -> None:
    # On ASGI, Sanic does not tell a handler that the client has gone; past the body, read() returns then.
    async for _ in request.stream:  # type: ignore[union-attr]  # None before the request has begun
        pass
    await request.stream.read()  # type: ignore[union-attr]


@app.get("/endless")
async def endless(request: Request) -> None:
    gone = asyncio.create_task(left(request))
    async with AsyncWire(request.args.get("wire")) as wire:
        await wire.say("called")
        try:
            answer = await request.respond(content_type="text/plain; charset=utf-8")
            while not gone.done():
                await answer.send("tick\n")
                await asyncio.sleep(0)  # where send() never waits, too, left() has to get its turn
        finally:
            gone.cancel()
            await wire.say("finally")


@app.get("/events")
async def events(request: Request) -> None:
    def event(number: int, data: str) -> str:
        return f"id: {number}\nevent: tick\ndata: {data}\n\n"

    answer = await request.respond(content_type="text/event-stream", headers={"Cache-Control": "no-cache"})
    await answer.send(event(1, "one"))
    if port := request.args.get("wire"):
        async with AsyncWire(port) as wire:
            await wire.wait_for("go on")
            await answer.send(event(2, "two"))
            await wire.wait_for("go on")
    else:
        await answer.send(event(2, "two"))
    await answer.send(event(3, "three"))
    await answer.eof()


# -- cookies, URLs --------------------------------------------------------------------------------------------


@app.get("/cookies")
async def cookies(request: Request) -> HTTPResponse:
    answer = response.json({name: request.cookies.get(name) for name in request.cookies})
    answer.add_cookie("plain", "1", secure=False)
    answer.add_cookie("attributes", "2", path="/", secure=False, httponly=True, samesite="Lax", max_age=60)
    return answer


@app.get("/redirect")
async def redirect(request: Request) -> HTTPResponse:
    return response.redirect(app.url_for("json"))


@app.get("/url")
async def url(request: Request) -> HTTPResponse:
    return response.json({"path": app.url_for("json"), "absolute": request.url_for("json")})


@app.get("/slashed/")
async def slashed(request: Request) -> HTTPResponse:
    return response.text("slashed")


# -- errors ---------------------------------------------------------------------------------------------------


@app.get("/error/before")
async def error_before(request: Request) -> HTTPResponse:
    raise RuntimeError("before the response")


@app.get("/error/after")
async def error_after(request: Request) -> None:
    async with AsyncWire(request.args.get("wire")) as wire:
        answer = await request.respond(content_type="text/plain; charset=utf-8")
        await answer.send("first")
        await wire.wait_for("fail")
        raise RuntimeError("after the first chunk")


@app.get("/error/short")
async def error_short(request: Request) -> None:
    async with AsyncWire(request.args.get("wire")) as wire:
        headers = {"Content-Length": "100"}
        answer = await request.respond(content_type="text/plain; charset=utf-8", headers=headers)
        await answer.send("first")
        await wire.wait_for("fail")
        await answer.eof()


@app.get("/error/http")
async def error_http(request: Request) -> HTTPResponse:
    raise SanicException("a teapot", status_code=418)


# -- headers and statuses -------------------------------------------------------------------------------------


@app.get("/headers/large")
async def headers_large(request: Request) -> HTTPResponse:
    headers = {"X-Large": "x" * 6_000} | {f"X-Many-{number}": "y" for number in range(50)}
    return response.text("large", headers=headers)


@app.get("/headers/repeated")
async def headers_repeated(request: Request) -> HTTPResponse:
    answer = response.text("repeated")
    answer.headers.add("X-Repeated", "one")
    answer.headers.add("X-Repeated", "two")
    answer.headers.add("Set-Cookie", "a=1")
    answer.headers.add("Set-Cookie", "b=2")
    return answer


@app.get("/status/204")
async def status_204(request: Request) -> HTTPResponse:
    return response.empty(204, headers={"X-Seen": "yes"})


@app.get("/status/304")
async def status_304(request: Request) -> HTTPResponse:
    return response.empty(304, headers={"ETag": '"v1"'})


@app.get("/empty")
async def empty(request: Request) -> HTTPResponse:
    return response.text("")


@app.get("/conditional")
async def conditional(request: Request) -> HTTPResponse:
    headers = {"ETag": '"v1"'}
    if request.headers.get("if-none-match") == '"v1"':
        return response.empty(304, headers=headers)
    return response.text("conditional", headers=headers)


@app.get("/file")
async def file(request: Request) -> HTTPResponse:
    return await response.file(FILE, filename="file.bin")


# -- where it runs --------------------------------------------------------------------------------------------


def wait_for_go_on(port: str) -> None:
    with Wire(port) as wire:
        wire.say("running")
        wire.wait_for("go on")


@app.get("/blocking")
async def blocking(request: Request) -> HTTPResponse:
    # Sanic calls a plain function on the event loop; its documentation has blocking work done in a thread.
    await asyncio.to_thread(wait_for_go_on, request.args.get("wire"))
    return response.text("blocked")


@app.get("/async")
async def asynchronous(request: Request) -> HTTPResponse:
    await asyncio.sleep(0)
    return response.text("async")


@app.get("/background")
async def background(request: Request) -> HTTPResponse:
    async def work(port: str) -> None:
        async with AsyncWire(port) as wire:
            await wire.say("running")
            await wire.wait_for("go on")
            await wire.say("done")

    app.add_task(work(request.args.get("wire")))
    return response.text("accepted")


@app.get("/lifespan")
async def started(request: Request) -> HTTPResponse:
    process = getattr(app.ctx, "process", None)
    return response.json({"started": process is not None, "process": process, "here": os.getpid()})


@app.get("/context")
async def context(request: Request) -> HTTPResponse:
    before = current.get()
    current.set(request.args.get("value"))
    return response.json({"before": before, "after": current.get()})


# -- WebSockets -----------------------------------------------------------------------------------------------


@app.websocket("/ws/echo")
async def echo_messages(request: Request, ws: Websocket) -> None:
    while (message := await ws.recv()) is not None:
        await ws.send(message)


@app.websocket("/ws/handshake", subprotocols=["chat"])
async def handshake(request: Request, ws: Websocket) -> None:
    await ws.send(
        dumps(
            {
                "scheme": request.scheme,
                "mount": request.scope.get("root_path", ""),
                "path": request.path,
                "query": request.scope["query_string"].decode("latin-1"),
                "headers": list(request.headers.items()),
                "client": request.ip or None,
            }
        )
    )


@app.websocket("/ws/watch")
async def watch(request: Request, ws: Websocket) -> None:
    async with AsyncWire(request.args.get("wire")) as wire:
        await wire.say("open")
        try:
            while await ws.recv() is not None:
                pass
        finally:
            await wire.say("closed")


@app.websocket("/ws/returns")
async def returns(request: Request, ws: Websocket) -> None:
    await ws.recv()


@app.websocket("/ws/fails")
async def fails(request: Request, ws: Websocket) -> None:
    await ws.recv()
    raise RuntimeError("in the WebSocket")


@app.websocket("/ws/endless")
async def endless_messages(request: Request, ws: Websocket) -> None:
    async with AsyncWire(request.args.get("wire")) as wire:
        await wire.say("called")
        try:
            for _ in for_ever():
                await ws.send(MESSAGE)
                await asyncio.sleep(0)  # a server whose send() never waits must still hear the client
        finally:
            await wire.say("finally")

"""The contract of endpoints in Starlette, as its users write it. Knows nothing of bridge."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

import anyio.lowlevel
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect

from compat_matrix.apps.support import FILE, MESSAGE, STATIC, AsyncWire, Digest, Wire, for_ever, pattern

current: ContextVar[str] = ContextVar("current", default="unset")


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, int]]:
    yield {"process": os.getpid()}


# -- requests -------------------------------------------------------------------------------------------------


async def index(request: Request) -> Response:
    return PlainTextResponse("Hello from Starlette\n")


async def echo(request: Request) -> Response:
    mount = request.scope.get("root_path", "")
    return JSONResponse(
        {
            "method": request.method,
            "scheme": request.url.scheme,
            "mount": mount,
            "path": request.scope["path"].removeprefix(mount),
            "query": request.scope["query_string"].decode("latin-1"),
            "headers": request.headers.items(),
            "client": request.client.host if request.client else None,
            "body": (await request.body()).decode("latin-1"),
        }
    )


async def json(request: Request) -> Response:
    return JSONResponse({"framework": "Starlette", "ok": True})


async def args(request: Request) -> Response:
    return JSONResponse({name: request.query_params.getlist(name) for name in request.query_params})


async def paths(request: Request) -> Response:
    return JSONResponse({"rest": request.path_params["rest"]})


async def form(request: Request) -> Response:
    async with request.form() as fields:
        return JSONResponse({name: fields.getlist(name) for name in fields})


async def multipart(request: Request) -> Response:
    fields: dict[str, list[str]] = {}
    files = []
    async with request.form() as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                digest = Digest()
                while chunk := await value.read(65_536):
                    digest.update(chunk)
                about = {"name": name, "filename": value.filename, "content_type": value.content_type}
                files.append({**about, **digest.result()})
            else:
                fields.setdefault(name, []).append(value)
    return JSONResponse({"fields": fields, "files": files})


async def upload(request: Request) -> Response:
    digest = Digest()
    async for chunk in request.stream():
        digest.update(chunk)
    return JSONResponse(digest.result())


async def upload_watch(request: Request) -> Response:
    digest = Digest()
    complete = False
    async with AsyncWire(request.query_params["wire"]) as wire:
        await wire.say("called")
        try:
            async for chunk in request.stream():
                if chunk and digest.size == 0:
                    await wire.say("first")
                digest.update(chunk)
            complete = digest.size == int(request.headers.get("content-length", digest.size))
        finally:
            await wire.say("end" if complete else "cut")
    return JSONResponse(digest.result(), status_code=200 if complete else 400)


async def ignore(request: Request) -> Response:
    return PlainTextResponse("ignored", status_code=403)


# -- streams --------------------------------------------------------------------------------------------------


async def download(request: Request) -> Response:
    size = int(request.query_params["size"])
    return StreamingResponse(pattern(size), media_type="application/octet-stream")


async def download_declared(request: Request) -> Response:
    size = int(request.query_params["size"])
    headers = {"Content-Length": str(size)}
    return StreamingResponse(pattern(size), headers=headers, media_type="application/octet-stream")


async def stream(request: Request) -> Response:
    async def lines() -> AsyncIterator[str]:
        async with AsyncWire(request.query_params["wire"]) as wire:
            await wire.say("called")
            try:
                yield "first\n"
                await wire.wait_for("go on")
                yield "second\n"
                await wire.wait_for("go on")
                yield "third\n"
            finally:
                await wire.say("finally")

    return StreamingResponse(lines(), media_type="text/plain")


async def endless(request: Request) -> Response:
    async def ticks() -> AsyncIterator[str]:
        async with AsyncWire(request.query_params["wire"]) as wire:
            await wire.say("called")
            try:
                for _ in for_ever():
                    yield "tick\n"
                    await anyio.lowlevel.checkpoint()  # a server whose send() never waits must still hear the client
            finally:
                await wire.say("finally")

    return StreamingResponse(ticks(), media_type="text/plain")


async def events(request: Request) -> Response:
    def event(number: int, data: str) -> str:
        return f"id: {number}\nevent: tick\ndata: {data}\n\n"

    async def ticks() -> AsyncIterator[str]:
        yield event(1, "one")
        if port := request.query_params.get("wire"):
            async with AsyncWire(port) as wire:
                await wire.wait_for("go on")
                yield event(2, "two")
                await wire.wait_for("go on")
        else:
            yield event(2, "two")
        yield event(3, "three")

    return StreamingResponse(ticks(), headers={"Cache-Control": "no-cache"}, media_type="text/event-stream")


# -- cookies, sessions, URLs ----------------------------------------------------------------------------------


async def cookies(request: Request) -> Response:
    response = JSONResponse(request.cookies)
    response.set_cookie("plain", "1")
    response.set_cookie("attributes", "2", path="/", httponly=True, samesite="lax", max_age=60)
    return response


async def session(request: Request) -> Response:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return JSONResponse({"visits": request.session["visits"]})


async def redirect(request: Request) -> Response:
    return RedirectResponse(request.url_for("json"))


async def url(request: Request) -> Response:
    target = request.url_for("json")
    return JSONResponse({"path": target.path, "absolute": str(target)})


async def slashed(request: Request) -> Response:
    return PlainTextResponse("slashed")


# -- errors ---------------------------------------------------------------------------------------------------


async def error_before(request: Request) -> Response:
    raise RuntimeError("before the response")


async def error_after(request: Request) -> Response:
    async def chunks() -> AsyncIterator[str]:
        async with AsyncWire(request.query_params["wire"]) as wire:
            yield "first"
            await wire.wait_for("fail")
            raise RuntimeError("after the first chunk")

    return StreamingResponse(chunks(), media_type="text/plain")


async def error_short(request: Request) -> Response:
    async def chunks() -> AsyncIterator[str]:
        async with AsyncWire(request.query_params["wire"]) as wire:
            yield "first"
            await wire.wait_for("fail")

    return StreamingResponse(chunks(), headers={"Content-Length": "100"}, media_type="text/plain")


async def error_http(request: Request) -> Response:
    raise HTTPException(418, "a teapot")


# -- headers and statuses -------------------------------------------------------------------------------------


async def headers_large(request: Request) -> Response:
    headers = {"X-Large": "x" * 6_000} | {f"X-Many-{number}": "y" for number in range(50)}
    return PlainTextResponse("large", headers=headers)


async def headers_repeated(request: Request) -> Response:
    response = PlainTextResponse("repeated")
    response.headers.append("X-Repeated", "one")
    response.headers.append("X-Repeated", "two")
    response.headers.append("Set-Cookie", "a=1")
    response.headers.append("Set-Cookie", "b=2")
    return response


async def status_204(request: Request) -> Response:
    return Response(status_code=204, headers={"X-Seen": "yes"})


async def status_304(request: Request) -> Response:
    return Response(status_code=304, headers={"ETag": '"v1"'})


async def empty(request: Request) -> Response:
    return PlainTextResponse()


async def conditional(request: Request) -> Response:
    headers = {"ETag": '"v1"'}
    if request.headers.get("if-none-match") == '"v1"':
        return Response(status_code=304, headers=headers)
    return PlainTextResponse("conditional", headers=headers)


async def file(request: Request) -> Response:
    return FileResponse(FILE, filename="file.bin")


# -- where it runs --------------------------------------------------------------------------------------------


def blocking(request: Request) -> Response:
    with Wire(request.query_params["wire"]) as wire:
        wire.say("running")
        wire.wait_for("go on")
    return PlainTextResponse("blocked")


async def asynchronous(request: Request) -> Response:
    await anyio.lowlevel.checkpoint()
    return PlainTextResponse("async")


async def background(request: Request) -> Response:
    async def work(port: str) -> None:
        async with AsyncWire(port) as wire:
            await wire.say("running")
            await wire.wait_for("go on")
            await wire.say("done")

    return PlainTextResponse("accepted", background=BackgroundTask(work, request.query_params["wire"]))


async def started(request: Request) -> Response:
    process = getattr(request.state, "process", None)
    return JSONResponse({"started": process is not None, "process": process, "here": os.getpid()})


async def context(request: Request) -> Response:
    before = current.get()
    current.set(request.query_params["value"])
    return JSONResponse({"before": before, "after": current.get()})


# -- WebSockets -----------------------------------------------------------------------------------------------


async def echo_messages(websocket: WebSocket) -> None:
    await websocket.accept()
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        if (text := message.get("text")) is not None:
            await websocket.send_text(text)
        else:
            await websocket.send_bytes(message["bytes"])


async def handshake(websocket: WebSocket) -> None:
    chosen = "chat" if "chat" in websocket.scope["subprotocols"] else None
    await websocket.accept(chosen, [(b"x-accepted", b"yes")])
    mount = websocket.scope.get("root_path", "")
    await websocket.send_json(
        {
            "scheme": websocket.url.scheme,
            "mount": mount,
            "path": websocket.scope["path"].removeprefix(mount),
            "query": websocket.scope["query_string"].decode("latin-1"),
            "headers": websocket.headers.items(),
            "client": websocket.client.host if websocket.client else None,
        }
    )
    await websocket.close()


async def watch(websocket: WebSocket) -> None:
    await websocket.accept()
    async with AsyncWire(websocket.query_params["wire"]) as wire:
        await wire.say("open")
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect as gone:
            await wire.say(f"closed {gone.code}")


async def refused(websocket: WebSocket) -> None:
    await websocket.close()


async def denied(websocket: WebSocket) -> None:
    response = PlainTextResponse("log in", 401, {"X-Denied": "yes"})
    await websocket.send_denial_response(response)


async def close(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    await websocket.close(4002, "enough")


async def returns(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()


async def fails(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    raise RuntimeError("in the WebSocket")


async def endless_messages(websocket: WebSocket) -> None:
    await websocket.accept()
    async with AsyncWire(websocket.query_params["wire"]) as wire:
        await wire.say("called")
        try:
            for _ in for_ever():
                await websocket.send_bytes(MESSAGE)
                await anyio.lowlevel.checkpoint()  # a server whose send() never waits must still hear the client
        finally:
            await wire.say("finally")


app = Starlette(
    routes=[
        Route("/", index),
        Route("/echo", echo, methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]),
        Route("/json", json, name="json"),
        Route("/args", args),
        Route("/paths/{rest:path}", paths),
        Route("/form", form, methods=["POST"]),
        Route("/multipart", multipart, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/upload/watch", upload_watch, methods=["POST"]),
        Route("/ignore", ignore, methods=["POST"]),
        Route("/download", download),
        Route("/download/declared", download_declared),
        Route("/stream", stream),
        Route("/endless", endless),
        Route("/events", events),
        Route("/cookies", cookies),
        Route("/session", session, methods=["POST"]),
        Route("/redirect", redirect),
        Route("/url", url),
        Route("/slashed/", slashed),
        Route("/error/before", error_before),
        Route("/error/after", error_after),
        Route("/error/short", error_short),
        Route("/error/http", error_http),
        Route("/headers/large", headers_large),
        Route("/headers/repeated", headers_repeated),
        Route("/status/204", status_204),
        Route("/status/304", status_304),
        Route("/empty", empty),
        Route("/conditional", conditional),
        Route("/file", file),
        Mount("/static", StaticFiles(directory=STATIC), name="static"),
        Route("/blocking", blocking),
        Route("/async", asynchronous),
        Route("/background", background),
        Route("/lifespan", started),
        Route("/context", context),
        WebSocketRoute("/ws/echo", echo_messages),
        WebSocketRoute("/ws/handshake", handshake),
        WebSocketRoute("/ws/watch", watch),
        WebSocketRoute("/ws/refused", refused),
        WebSocketRoute("/ws/denied", denied),
        WebSocketRoute("/ws/close", close),
        WebSocketRoute("/ws/returns", returns),
        WebSocketRoute("/ws/fails", fails),
        WebSocketRoute("/ws/endless", endless_messages),
    ],
    middleware=[Middleware(SessionMiddleware, secret_key="of the matrix")],
    lifespan=lifespan,
)

"""The contract of endpoints in Litestar, as its users write it. Knows nothing of bridge."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio.lowlevel
from litestar import Litestar, MediaType, Request, Response, WebSocket, get, post, route, websocket
from litestar.background_tasks import BackgroundTask
from litestar.datastructures import Cookie, State, UploadFile
from litestar.enums import HttpMethod
from litestar.exceptions import HTTPException, WebSocketDisconnect, WebSocketException
from litestar.logging import LoggingConfig
from litestar.middleware.session.client_side import CookieBackendConfig
from litestar.response import File, Redirect, ServerSentEvent, ServerSentEventMessage, Stream
from litestar.response.base import ASGIResponse
from litestar.static_files import create_static_files_router

from compat_matrix.apps.support import FILE, MESSAGE, STATIC, AsyncWire, Digest, Wire, for_ever, pattern

current: ContextVar[str] = ContextVar("current", default="unset")

HttpRequest = Request[Any, Any, State]
Socket = WebSocket[Any, Any, State]


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    app.state.process = os.getpid()
    yield


# -- requests -------------------------------------------------------------------------------------------------


@get("/", media_type=MediaType.TEXT)
async def index() -> str:
    return "Hello from Litestar\n"


@route(
    "/echo",
    http_method=[
        HttpMethod.GET,
        HttpMethod.POST,
        HttpMethod.PUT,
        HttpMethod.PATCH,
        HttpMethod.DELETE,
        HttpMethod.OPTIONS,
    ],
    status_code=200,
)
async def echo(request: HttpRequest) -> dict[str, Any]:
    mount = request.scope.get("root_path", "")
    return {
        "method": request.method,
        "scheme": request.url.scheme,
        "mount": mount,
        "path": request.scope["path"].removeprefix(mount),
        "query": request.scope["query_string"].decode("latin-1"),
        "headers": list(request.headers.items()),
        "client": request.client.host if request.client else None,
        "body": (await request.body()).decode("latin-1"),
    }


@get("/json", name="json")
async def json() -> dict[str, Any]:
    return {"framework": "Litestar", "ok": True}


@get("/args")
async def args(request: HttpRequest) -> dict[str, list[str]]:
    return {name: request.query_params.getall(name) for name in request.query_params}


@get("/paths/{rest:path}")
async def paths(rest: Path) -> dict[str, str]:
    return {"rest": str(rest).removeprefix("/")}


@post("/form", status_code=200)
async def form(request: HttpRequest) -> dict[str, list[Any]]:
    fields = await request.form()
    return {name: fields.getall(name) for name in fields}


@post("/multipart", status_code=200)
async def multipart(request: HttpRequest) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    files = []
    for name, value in (await request.form()).items():
        if isinstance(value, UploadFile):
            digest = Digest()
            while chunk := await value.read(65_536):
                digest.update(chunk)
            about = {"name": name, "filename": value.filename, "content_type": value.content_type}
            files.append({**about, **digest.result()})
        else:
            fields.setdefault(name, []).append(value)
    return {"fields": fields, "files": files}


@post("/upload", status_code=200)
async def upload(request: HttpRequest) -> dict[str, Any]:
    digest = Digest()
    async for chunk in request.stream():
        digest.update(chunk)
    return digest.result()


@post("/upload/watch", status_code=200)
async def upload_watch(request: HttpRequest, wire: int) -> dict[str, Any]:
    digest = Digest()
    complete = False
    async with AsyncWire(wire) as line:
        await line.say("called")
        try:
            async for chunk in request.stream():
                if chunk and digest.size == 0:
                    await line.say("first")
                digest.update(chunk)
            complete = digest.size == int(request.headers.get("content-length", digest.size))
        finally:
            await line.say("end" if complete else "cut")
    if not complete:
        raise HTTPException(status_code=400)
    return digest.result()


@post("/ignore", media_type=MediaType.TEXT, status_code=403)
async def ignore() -> str:
    return "ignored"


# -- streams --------------------------------------------------------------------------------------------------


@get("/download")
async def download(size: int) -> Stream:
    return Stream(pattern(size), media_type="application/octet-stream")


@get("/download/declared")
async def download_declared(size: int) -> Stream:
    return Stream(pattern(size), headers={"Content-Length": str(size)}, media_type="application/octet-stream")


@get("/stream")
async def stream(wire: int) -> Stream:
    async def lines() -> AsyncIterator[str]:
        async with AsyncWire(wire) as line:
            await line.say("called")
            try:
                yield "first\n"
                await line.wait_for("go on")
                yield "second\n"
                await line.wait_for("go on")
                yield "third\n"
            finally:
                await line.say("finally")

    return Stream(lines(), media_type=MediaType.TEXT)


@get("/endless")
async def endless(wire: int) -> Stream:
    async def ticks() -> AsyncIterator[str]:
        async with AsyncWire(wire) as line:
            await line.say("called")
            try:
                for _ in for_ever():
                    yield "tick\n"
                    await anyio.lowlevel.checkpoint()  # a server whose send() never waits must still hear the client
            finally:
                await line.say("finally")

    return Stream(ticks(), media_type=MediaType.TEXT)


@get("/events")
async def events(wire: int | None = None) -> ServerSentEvent:
    async def ticks() -> AsyncIterator[ServerSentEventMessage]:
        yield ServerSentEventMessage(id=1, event="tick", data="one")
        if wire:
            async with AsyncWire(wire) as line:
                await line.wait_for("go on")
                yield ServerSentEventMessage(id=2, event="tick", data="two")
                await line.wait_for("go on")
        else:
            yield ServerSentEventMessage(id=2, event="tick", data="two")
        yield ServerSentEventMessage(id=3, event="tick", data="three")

    return ServerSentEvent(ticks())


# -- cookies, sessions, URLs ----------------------------------------------------------------------------------


@get("/cookies")
async def cookies(request: HttpRequest) -> Response[dict[str, str]]:
    response = Response(request.cookies)
    response.set_cookie("plain", "1")
    response.set_cookie("attributes", "2", path="/", httponly=True, samesite="lax", max_age=60)
    return response


@post("/session", status_code=200)
async def session(request: HttpRequest) -> dict[str, int]:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return {"visits": request.session["visits"]}


@get("/redirect")
async def redirect(request: HttpRequest) -> Redirect:
    return Redirect(request.url_for("json"))


@get("/url")
async def url(request: HttpRequest) -> dict[str, str]:
    target = request.url_for("json")
    return {"path": urlsplit(target).path, "absolute": target}


@get("/slashed/", media_type=MediaType.TEXT)
async def slashed() -> str:
    return "slashed"


# -- errors ---------------------------------------------------------------------------------------------------


@get("/error/before")
async def error_before() -> None:
    raise RuntimeError("before the response")


@get("/error/after")
async def error_after(wire: int) -> Stream:
    async def chunks() -> AsyncIterator[str]:
        async with AsyncWire(wire) as line:
            yield "first"
            await line.wait_for("fail")
            raise RuntimeError("after the first chunk")

    return Stream(chunks(), media_type=MediaType.TEXT)


@get("/error/short")
async def error_short(wire: int) -> Stream:
    async def chunks() -> AsyncIterator[str]:
        async with AsyncWire(wire) as line:
            yield "first"
            await line.wait_for("fail")

    return Stream(chunks(), headers={"Content-Length": "100"}, media_type=MediaType.TEXT)


@get("/error/http")
async def error_http() -> None:
    raise HTTPException("a teapot", status_code=418)


# -- headers and statuses -------------------------------------------------------------------------------------


@get("/headers/large")
async def headers_large() -> Response[str]:
    headers = {"X-Large": "x" * 6_000} | {f"X-Many-{number}": "y" for number in range(50)}
    return Response("large", headers=headers, media_type=MediaType.TEXT)


@get("/headers/repeated")
async def headers_repeated() -> ASGIResponse:
    # Response holds its headers in a dictionary; the ASGI response below it takes any.
    return ASGIResponse(
        body="repeated",
        media_type=MediaType.TEXT,
        encoded_headers=[(b"x-repeated", b"one"), (b"x-repeated", b"two")],
        cookies=[Cookie("a", value="1"), Cookie("b", value="2")],
    )


@get("/status/204", status_code=204)
async def status_204() -> Response[None]:
    return Response(None, headers={"X-Seen": "yes"})


@get("/status/304", status_code=304)
async def status_304() -> Response[None]:
    return Response(None, headers={"ETag": '"v1"'})


@get("/empty", media_type=MediaType.TEXT)
async def empty() -> str:
    return ""


@get("/conditional")
async def conditional(request: HttpRequest) -> Response[str | None]:
    headers = {"ETag": '"v1"'}
    if request.headers.get("if-none-match") == '"v1"':
        return Response(None, status_code=304, headers=headers)
    return Response("conditional", headers=headers, media_type=MediaType.TEXT)


@get("/file")
async def file() -> File:
    return File(FILE, filename="file.bin")


# -- where it runs --------------------------------------------------------------------------------------------


@get("/blocking", media_type=MediaType.TEXT, sync_to_thread=True)
def blocking(wire: int) -> str:
    with Wire(wire) as line:
        line.say("running")
        line.wait_for("go on")
    return "blocked"


@get("/async", media_type=MediaType.TEXT)
async def asynchronous() -> str:
    await anyio.lowlevel.checkpoint()
    return "async"


@get("/background")
async def background(wire: int) -> Response[str]:
    async def work() -> None:
        async with AsyncWire(wire) as line:
            await line.say("running")
            await line.wait_for("go on")
            await line.say("done")

    return Response("accepted", media_type=MediaType.TEXT, background=BackgroundTask(work))


@get("/lifespan")
async def started(state: State) -> dict[str, Any]:
    process = state.get("process")
    return {"started": process is not None, "process": process, "here": os.getpid()}


@get("/context")
async def context(value: str) -> dict[str, str]:
    before = current.get()
    current.set(value)
    return {"before": before, "after": current.get()}


# -- WebSockets -----------------------------------------------------------------------------------------------


@websocket("/ws/echo")
async def echo_messages(socket: Socket) -> None:
    await socket.accept()
    while (message := await socket.receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await socket.send_text(text)
        else:
            await socket.send_bytes(message["bytes"] or b"")


@websocket("/ws/handshake")
async def handshake(socket: Socket) -> None:
    chosen = "chat" if "chat" in socket.scope["subprotocols"] else None
    await socket.accept(subprotocols=chosen, headers={"X-Accepted": "yes"})
    mount = socket.scope.get("root_path", "")
    await socket.send_json(
        {
            "scheme": socket.url.scheme,
            "mount": mount,
            "path": socket.scope["path"].removeprefix(mount),
            "query": socket.scope["query_string"].decode("latin-1"),
            "headers": list(socket.headers.items()),
            "client": socket.client.host if socket.client else None,
        }
    )
    await socket.close()


@websocket("/ws/watch")
async def watch(socket: Socket, wire: int) -> None:
    await socket.accept()
    async with AsyncWire(wire) as line:
        await line.say("open")
        try:
            while True:
                await socket.receive_text()
        except WebSocketDisconnect as gone:
            await line.say(f"closed {gone.code}")


@websocket("/ws/refused")
async def refused(socket: Socket) -> None:
    raise WebSocketException(detail="no token", code=4401)


@websocket("/ws/close")
async def close(socket: Socket) -> None:
    await socket.accept()
    await socket.receive_text()
    raise WebSocketException(detail="enough", code=4002)


@websocket("/ws/returns")
async def returns(socket: Socket) -> None:
    await socket.accept()
    await socket.receive_text()


@websocket("/ws/fails")
async def fails(socket: Socket) -> None:
    await socket.accept()
    await socket.receive_text()
    raise RuntimeError("in the WebSocket")


@websocket("/ws/endless")
async def endless_messages(socket: Socket, wire: int) -> None:
    await socket.accept()
    async with AsyncWire(wire) as line:
        await line.say("called")
        try:
            for _ in for_ever():
                await socket.send_bytes(MESSAGE)
                await anyio.lowlevel.checkpoint()  # a server whose send() never waits must still hear the client
        finally:
            await line.say("finally")


app = Litestar(
    route_handlers=[
        index,
        echo,
        json,
        args,
        paths,
        form,
        multipart,
        upload,
        upload_watch,
        ignore,
        download,
        download_declared,
        stream,
        endless,
        events,
        cookies,
        session,
        redirect,
        url,
        slashed,
        error_before,
        error_after,
        error_short,
        error_http,
        headers_large,
        headers_repeated,
        status_204,
        status_304,
        empty,
        conditional,
        file,
        create_static_files_router(path="/static", directories=[STATIC]),
        blocking,
        asynchronous,
        background,
        started,
        context,
        echo_messages,
        handshake,
        watch,
        refused,
        close,
        returns,
        fails,
        endless_messages,
    ],
    lifespan=[lifespan],
    logging_config=LoggingConfig(log_exceptions="always"),
    middleware=[CookieBackendConfig(secret=b"of the matrix..!").middleware],
    request_max_body_size=None,
)

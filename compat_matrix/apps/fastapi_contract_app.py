"""The contract of endpoints in FastAPI, as its users write it. Knows nothing of bridge."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Annotated, Any

import anyio.lowlevel
from fastapi import (
    BackgroundTasks,
    FastAPI,
    Header,
    HTTPException,
    Request,
    Response,
    WebSocket,
    WebSocketDisconnect,
    WebSocketException,
)
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent
from fastapi.staticfiles import StaticFiles
from starlette.datastructures import UploadFile
from starlette.middleware.sessions import SessionMiddleware

from compat_matrix.apps.support import FILE, MESSAGE, STATIC, AsyncWire, Digest, Wire, for_ever, pattern

current: ContextVar[str] = ContextVar("current", default="unset")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    app.state.process = os.getpid()
    yield


app = FastAPI(lifespan=lifespan)
app.add_middleware(SessionMiddleware, secret_key="of the matrix")
app.mount("/static", StaticFiles(directory=STATIC), name="static")


class TextStream(StreamingResponse):
    media_type = "text/plain"


# -- requests -------------------------------------------------------------------------------------------------


@app.get("/", response_class=PlainTextResponse)
async def index() -> str:
    return "Hello from FastAPI\n"


@app.api_route("/echo", methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def echo(request: Request) -> dict[str, Any]:
    mount = request.scope.get("root_path", "")
    return {
        "method": request.method,
        "scheme": request.url.scheme,
        "mount": mount,
        "path": request.scope["path"].removeprefix(mount),
        "query": request.scope["query_string"].decode("latin-1"),
        "headers": request.headers.items(),
        "client": request.client.host if request.client else None,
        "body": (await request.body()).decode("latin-1"),
    }


@app.get("/json")
async def json() -> dict[str, Any]:
    return {"framework": "FastAPI", "ok": True}


@app.get("/args")
async def args(request: Request) -> dict[str, list[str]]:
    return {name: request.query_params.getlist(name) for name in request.query_params}


@app.get("/paths/{rest:path}")
async def paths(rest: str) -> dict[str, str]:
    return {"rest": rest}


@app.post("/form")
async def form(request: Request) -> dict[str, Any]:
    async with request.form() as fields:
        return {name: fields.getlist(name) for name in fields}


@app.post("/multipart")
async def multipart(request: Request) -> dict[str, Any]:
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
    return {"fields": fields, "files": files}


@app.post("/upload")
async def upload(request: Request) -> dict[str, Any]:
    digest = Digest()
    async for chunk in request.stream():
        digest.update(chunk)
    return digest.result()


@app.post("/upload/watch")
async def upload_watch(
    request: Request, wire: int, content_length: Annotated[int | None, Header()] = None
) -> dict[str, Any]:
    digest = Digest()
    complete = False
    async with AsyncWire(wire) as line:
        await line.say("called")
        try:
            async for chunk in request.stream():
                if chunk and digest.size == 0:
                    await line.say("first")
                digest.update(chunk)
            complete = content_length in (None, digest.size)
        finally:
            await line.say("end" if complete else "cut")
    if not complete:
        raise HTTPException(400)
    return digest.result()


@app.post("/ignore", response_class=PlainTextResponse, status_code=403)
async def ignore() -> str:
    return "ignored"


# -- streams --------------------------------------------------------------------------------------------------


@app.get("/download")
async def download(size: int) -> StreamingResponse:
    return StreamingResponse(pattern(size), media_type="application/octet-stream")


@app.get("/download/declared")
async def download_declared(size: int) -> StreamingResponse:
    headers = {"Content-Length": str(size)}
    return StreamingResponse(pattern(size), headers=headers, media_type="application/octet-stream")


@app.get("/stream")
async def stream(wire: int) -> StreamingResponse:
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

    return StreamingResponse(lines(), media_type="text/plain")


@app.get("/endless")
async def endless(wire: int) -> StreamingResponse:
    async def ticks() -> AsyncIterator[str]:
        async with AsyncWire(wire) as line:
            await line.say("called")
            try:
                for _ in for_ever():
                    yield "tick\n"
                    await anyio.lowlevel.checkpoint()  # a server whose send() never waits must still hear the client
            finally:
                await line.say("finally")

    return StreamingResponse(ticks(), media_type="text/plain")


@app.get("/events", response_class=EventSourceResponse)
async def events(wire: int | None = None) -> AsyncIterator[ServerSentEvent]:
    yield ServerSentEvent(id="1", event="tick", raw_data="one")
    if wire:
        async with AsyncWire(wire) as line:
            await line.wait_for("go on")
            yield ServerSentEvent(id="2", event="tick", raw_data="two")
            await line.wait_for("go on")
    else:
        yield ServerSentEvent(id="2", event="tick", raw_data="two")
    yield ServerSentEvent(id="3", event="tick", raw_data="three")


# -- cookies, sessions, URLs ----------------------------------------------------------------------------------


@app.get("/cookies")
async def cookies(request: Request, response: Response) -> dict[str, str]:
    response.set_cookie("plain", "1")
    response.set_cookie("attributes", "2", path="/", httponly=True, samesite="lax", max_age=60)
    return request.cookies


@app.post("/session")
async def session(request: Request) -> dict[str, int]:
    request.session["visits"] = request.session.get("visits", 0) + 1
    return {"visits": request.session["visits"]}


@app.get("/redirect")
async def redirect(request: Request) -> RedirectResponse:
    return RedirectResponse(request.url_for("json"))


@app.get("/url")
async def url(request: Request) -> dict[str, str]:
    target = request.url_for("json")
    return {"path": target.path, "absolute": str(target)}


@app.get("/slashed/", response_class=PlainTextResponse)
async def slashed() -> str:
    return "slashed"


# -- errors ---------------------------------------------------------------------------------------------------


@app.get("/error/before")
async def error_before() -> None:
    raise RuntimeError("before the response")


@app.get("/error/after", response_class=TextStream)
async def error_after(wire: int) -> AsyncIterator[str]:
    async with AsyncWire(wire) as line:
        yield "first"
        await line.wait_for("fail")
        raise RuntimeError("after the first chunk")


@app.get("/error/short")
async def error_short(wire: int) -> StreamingResponse:
    async def chunks() -> AsyncIterator[str]:
        async with AsyncWire(wire) as line:
            yield "first"
            await line.wait_for("fail")

    return StreamingResponse(chunks(), headers={"Content-Length": "100"}, media_type="text/plain")


@app.get("/error/http")
async def error_http() -> None:
    raise HTTPException(418, "a teapot")


# -- headers and statuses -------------------------------------------------------------------------------------


@app.get("/headers/large", response_class=PlainTextResponse)
async def headers_large(response: Response) -> str:
    response.headers["X-Large"] = "x" * 6_000
    for number in range(50):
        response.headers[f"X-Many-{number}"] = "y"
    return "large"


@app.get("/headers/repeated", response_class=PlainTextResponse)
async def headers_repeated(response: Response) -> str:
    response.headers.append("X-Repeated", "one")
    response.headers.append("X-Repeated", "two")
    response.headers.append("Set-Cookie", "a=1")
    response.headers.append("Set-Cookie", "b=2")
    return "repeated"


@app.get("/status/204", status_code=204)
async def status_204(response: Response) -> None:
    response.headers["X-Seen"] = "yes"


@app.get("/status/304")
async def status_304() -> Response:
    return Response(status_code=304, headers={"ETag": '"v1"'})


@app.get("/empty", response_class=PlainTextResponse)
async def empty() -> str:
    return ""


@app.get("/conditional")
async def conditional(if_none_match: Annotated[str | None, Header()] = None) -> Response:
    headers = {"ETag": '"v1"'}
    if if_none_match == '"v1"':
        return Response(status_code=304, headers=headers)
    return PlainTextResponse("conditional", headers=headers)


@app.get("/file")
async def file() -> FileResponse:
    return FileResponse(FILE, filename="file.bin")


# -- where it runs --------------------------------------------------------------------------------------------


@app.get("/blocking", response_class=PlainTextResponse)
def blocking(wire: int) -> str:
    with Wire(wire) as line:
        line.say("running")
        line.wait_for("go on")
    return "blocked"


@app.get("/async", response_class=PlainTextResponse)
async def asynchronous() -> str:
    await anyio.lowlevel.checkpoint()
    return "async"


@app.get("/background", response_class=PlainTextResponse)
async def background(wire: int, tasks: BackgroundTasks) -> str:
    async def work() -> None:
        async with AsyncWire(wire) as line:
            await line.say("running")
            await line.wait_for("go on")
            await line.say("done")

    tasks.add_task(work)
    return "accepted"


@app.get("/lifespan")
async def started() -> dict[str, Any]:
    process = getattr(app.state, "process", None)
    return {"started": process is not None, "process": process, "here": os.getpid()}


@app.get("/context")
async def context(value: str) -> dict[str, str]:
    before = current.get()
    current.set(value)
    return {"before": before, "after": current.get()}


# -- WebSockets -----------------------------------------------------------------------------------------------


@app.websocket("/ws/echo")
async def echo_messages(websocket: WebSocket) -> None:
    await websocket.accept()
    while (message := await websocket.receive())["type"] != "websocket.disconnect":
        if (text := message.get("text")) is not None:
            await websocket.send_text(text)
        else:
            await websocket.send_bytes(message["bytes"])


@app.websocket("/ws/handshake")
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


@app.websocket("/ws/watch")
async def watch(websocket: WebSocket, wire: int) -> None:
    await websocket.accept()
    async with AsyncWire(wire) as line:
        await line.say("open")
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect as gone:
            await line.say(f"closed {gone.code}")


@app.websocket("/ws/refused")
async def refused(websocket: WebSocket) -> None:
    raise WebSocketException(1008, "no token")


@app.websocket("/ws/denied")
async def denied(websocket: WebSocket) -> None:
    raise HTTPException(401, "log in", {"X-Denied": "yes"})


@app.websocket("/ws/close")
async def close(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    raise WebSocketException(4002, "enough")


@app.websocket("/ws/returns")
async def returns(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()


@app.websocket("/ws/fails")
async def fails(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.receive_text()
    raise RuntimeError("in the WebSocket")


@app.websocket("/ws/endless")
async def endless_messages(websocket: WebSocket, wire: int) -> None:
    await websocket.accept()
    async with AsyncWire(wire) as line:
        await line.say("called")
        try:
            for _ in for_ever():
                await websocket.send_bytes(MESSAGE)
                await anyio.lowlevel.checkpoint()  # a server whose send() never waits must still hear the client
        finally:
            await line.say("finally")

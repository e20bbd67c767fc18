"""The contract of endpoints in Falcon's ASGI flavour, as its users write it. Knows nothing of bridge."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from typing import Any, NoReturn

import aiofiles
import falcon
import falcon.asgi
from falcon.asgi import Request, Response, SSEvent, WebSocket
from falcon.media import BinaryBaseHandlerWS, TextBaseHandlerWS

from compat_matrix.apps import async_bodies
from compat_matrix.apps.support import FILE, MESSAGE, STATIC, AsyncWire, Digest, Wire, for_ever

current: ContextVar[str] = ContextVar("current", default="unset")


class Startup:
    """Middleware: Falcon tells it about the lifespan."""

    process: int | None = None

    async def process_startup(self, scope: Mapping[str, Any], event: Mapping[str, Any]) -> None:
        self.process = os.getpid()


def text(resp: Response, body: str) -> None:
    resp.content_type = falcon.MEDIA_TEXT
    resp.text = body


class Requests:
    async def on_get(self, req: Request, resp: Response) -> None:
        text(resp, "Hello from Falcon\n")

    async def on_get_echo(self, req: Request, resp: Response) -> None:
        resp.media = {
            "method": req.method,
            "scheme": req.scheme,
            "mount": req.root_path,
            "path": req.path,
            "query": req.query_string,
            # req.headers is a dictionary and loses repeated ones.
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in req.scope["headers"]],
            "client": req.remote_addr,
            "body": (await req.stream.read()).decode("latin-1"),
        }

    on_post_echo = on_put_echo = on_patch_echo = on_delete_echo = on_options_echo = on_get_echo

    async def on_get_json(self, req: Request, resp: Response) -> None:
        resp.media = {"framework": "Falcon", "ok": True}

    async def on_get_args(self, req: Request, resp: Response) -> None:
        resp.media = {name: req.get_param_as_list(name) for name in req.params}

    async def on_get_paths(self, req: Request, resp: Response, rest: str) -> None:
        resp.media = {"rest": rest}

    async def on_post_form(self, req: Request, resp: Response) -> None:
        fields = await req.get_media()
        resp.media = {name: value if isinstance(value, list) else [value] for name, value in fields.items()}

    async def on_post_multipart(self, req: Request, resp: Response) -> None:
        fields: dict[str, list[str]] = {}
        files = []
        async for part in await req.get_media():
            if part.filename is None:
                fields.setdefault(part.name, []).append(await part.text)
                continue
            digest = Digest()
            async for chunk in part.stream:
                digest.update(chunk)
            about = {"name": part.name, "filename": part.filename, "content_type": part.content_type}
            files.append({**about, **digest.result()})
        resp.media = {"fields": fields, "files": files}

    async def on_post_upload(self, req: Request, resp: Response) -> None:
        digest = Digest()
        async for chunk in req.stream:
            digest.update(chunk)
        resp.media = digest.result()

    async def on_post_watch(self, req: Request, resp: Response) -> None:
        digest = Digest()
        complete = False
        async with AsyncWire(req.get_param_as_int("wire", required=True)) as wire:
            await wire.say("called")
            try:
                async for chunk in req.stream:
                    if chunk and digest.size == 0:
                        await wire.say("first")
                    digest.update(chunk)
                complete = req.content_length in (None, digest.size)
            finally:
                await wire.say("end" if complete else "cut")
        if not complete:
            raise falcon.HTTPBadRequest
        resp.media = digest.result()

    async def on_post_ignore(self, req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_403
        text(resp, "ignored")


async def ticks(port: int) -> AsyncIterator[bytes]:
    async with AsyncWire(port) as wire:
        await wire.say("called")
        # Falcon does not listen for the client's end while it streams. On a server whose send() does not say it
        # either, this one ends with the check: when it hangs up, or after support.TIMEOUT.
        asked = asyncio.create_task(wire.wait_for("end"))
        try:
            while not asked.done():
                yield b"tick\n"
                await asyncio.sleep(0)
        finally:
            asked.cancel()
            await asyncio.wait([asked])
            if not asked.cancelled():
                asked.exception()  # is no news
            await wire.say("finally")


async def events(port: int | None) -> AsyncIterator[SSEvent]:
    yield SSEvent(event_id="1", event="tick", text="one")
    if port:
        async with AsyncWire(port) as wire:
            await wire.wait_for("go on")
            yield SSEvent(event_id="2", event="tick", text="two")
            await wire.wait_for("go on")
    else:
        yield SSEvent(event_id="2", event="tick", text="two")
    yield SSEvent(event_id="3", event="tick", text="three")


class Streams:
    async def on_get_download(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        resp.stream = async_bodies.pattern(req.get_param_as_int("size", required=True))

    async def on_get_declared(self, req: Request, resp: Response) -> None:
        size = req.get_param_as_int("size", required=True)
        resp.content_type = "application/octet-stream"
        resp.set_stream(async_bodies.pattern(size), size)

    async def on_get_lines(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = async_bodies.lines(req.get_param("wire", required=True))

    async def on_get_endless(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = ticks(req.get_param_as_int("wire", required=True))

    async def on_get_events(self, req: Request, resp: Response) -> None:
        resp.cache_control = ["no-cache"]
        resp.sse = events(req.get_param_as_int("wire"))

    async def on_get_file(self, req: Request, resp: Response) -> None:
        resp.content_type = "application/octet-stream"
        resp.downloadable_as = "file.bin"
        resp.set_stream(await aiofiles.open(FILE, "rb"), FILE.stat().st_size)


class Urls:
    async def on_get_cookies(self, req: Request, resp: Response) -> None:
        resp.media = req.cookies
        resp.set_cookie("plain", "1")
        resp.set_cookie("attributes", "2", path="/", http_only=True, same_site="Lax", max_age=60)

    async def on_get_redirect(self, req: Request, resp: Response) -> NoReturn:
        raise falcon.HTTPFound(f"{req.root_path}/json")

    async def on_get_url(self, req: Request, resp: Response) -> None:
        resp.media = {"path": f"{req.root_path}/json", "absolute": f"{req.prefix}/json"}

    async def on_get_slashed(self, req: Request, resp: Response) -> None:
        text(resp, "slashed")


class Errors:
    async def on_get_before(self, req: Request, resp: Response) -> NoReturn:
        raise RuntimeError("before the response")

    async def on_get_after(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.stream = async_bodies.failing(req.get_param("wire", required=True))

    async def on_get_short(self, req: Request, resp: Response) -> None:
        resp.content_type = falcon.MEDIA_TEXT
        resp.set_stream(async_bodies.short(req.get_param("wire", required=True)), 100)

    async def on_get_http(self, req: Request, resp: Response) -> NoReturn:
        raise falcon.HTTPError(falcon.HTTP_418, description="a teapot")


class Answers:
    async def on_get_large(self, req: Request, resp: Response) -> None:
        resp.set_header("X-Large", "x" * 6_000)
        for number in range(50):
            resp.set_header(f"X-Many-{number}", "y")
        text(resp, "large")

    async def on_get_repeated(self, req: Request, resp: Response) -> None:
        # Falcon joins them into one header.
        resp.append_header("X-Repeated", "one")
        resp.append_header("X-Repeated", "two")
        resp.set_cookie("a", "1")
        resp.set_cookie("b", "2")
        text(resp, "repeated")

    async def on_get_204(self, req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_204
        resp.set_header("X-Seen", "yes")

    async def on_get_304(self, req: Request, resp: Response) -> None:
        resp.status = falcon.HTTP_304
        resp.etag = "v1"

    async def on_get_empty(self, req: Request, resp: Response) -> None:
        text(resp, "")

    async def on_get_conditional(self, req: Request, resp: Response) -> None:
        resp.etag = "v1"
        if "v1" in (req.if_none_match or ()):
            resp.status = falcon.HTTP_304
        else:
            text(resp, "conditional")


def wait_for_go_on(port: int) -> None:
    with Wire(port) as wire:
        wire.say("running")
        wire.wait_for("go on")


class Places:
    def __init__(self, startup: Startup) -> None:
        self._startup = startup

    async def on_get_blocking(self, req: Request, resp: Response) -> None:
        # Falcon refuses responders that are no coroutines; its documentation has blocking work done in a thread.
        await falcon.util.sync_to_async(wait_for_go_on, req.get_param_as_int("wire", required=True))
        text(resp, "blocked")

    async def on_get_async(self, req: Request, resp: Response) -> None:
        await asyncio.sleep(0)
        text(resp, "async")

    async def on_get_background(self, req: Request, resp: Response) -> None:
        port = req.get_param_as_int("wire", required=True)

        async def work() -> None:
            async with AsyncWire(port) as wire:
                await wire.say("running")
                await wire.wait_for("go on")
                await wire.say("done")

        resp.schedule(work)
        text(resp, "accepted")

    async def on_get_lifespan(self, req: Request, resp: Response) -> None:
        process = self._startup.process
        resp.media = {"started": process is not None, "process": process, "here": os.getpid()}

    async def on_get_context(self, req: Request, resp: Response) -> None:
        before = current.get()
        current.set(req.get_param("value", required=True))
        resp.media = {"before": before, "after": current.get()}


class PlainText(TextBaseHandlerWS):
    """Text messages are what they are; Falcon's own handler takes them for JSON."""

    def deserialize(self, payload: str) -> object:
        return payload


class PlainBytes(BinaryBaseHandlerWS):
    """Likewise; Falcon's own takes them for MessagePack."""

    def deserialize(self, payload: bytes) -> object:
        return payload


class WebSockets:
    async def on_websocket_echo(self, req: Request, ws: WebSocket) -> None:
        await ws.accept()
        while True:
            message = await ws.receive_media()
            if isinstance(message, str):
                await ws.send_text(message)
            elif isinstance(message, bytes):
                await ws.send_data(message)

    async def on_websocket_handshake(self, req: Request, ws: WebSocket) -> None:
        chosen = "chat" if "chat" in ws.subprotocols else None
        await ws.accept(chosen, {"X-Accepted": "yes"})
        about = {
            "scheme": req.scheme,
            "mount": req.root_path,
            "path": req.path,
            "query": req.query_string,
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in req.scope["headers"]],
            "client": req.remote_addr,
        }
        await ws.send_text(json.dumps(about))

    async def on_websocket_watch(self, req: Request, ws: WebSocket) -> None:
        await ws.accept()
        async with AsyncWire(req.get_param_as_int("wire", required=True)) as wire:
            await wire.say("open")
            try:
                while True:
                    await ws.receive_text()
            except falcon.WebSocketDisconnected as gone:
                await wire.say(f"closed {gone.code}")

    async def on_websocket_refused(self, req: Request, ws: WebSocket) -> None:
        raise falcon.HTTPForbidden

    async def on_websocket_close(self, req: Request, ws: WebSocket) -> None:
        await ws.accept()
        await ws.receive_text()
        await ws.close(4002, "enough")

    async def on_websocket_returns(self, req: Request, ws: WebSocket) -> None:
        await ws.accept()
        await ws.receive_text()

    async def on_websocket_fails(self, req: Request, ws: WebSocket) -> None:
        await ws.accept()
        await ws.receive_text()
        raise RuntimeError("in the WebSocket")

    async def on_websocket_endless(self, req: Request, ws: WebSocket) -> None:
        await ws.accept()
        async with AsyncWire(req.get_param_as_int("wire", required=True)) as wire:
            await wire.say("called")
            try:
                for _ in for_ever():
                    await ws.send_data(MESSAGE)
                    await asyncio.sleep(0)  # a server whose send() never waits must still hear the client
            finally:
                await wire.say("finally")


def create_app() -> falcon.asgi.App[Request, Response]:
    startup = Startup()
    app = falcon.asgi.App(middleware=[startup])
    app.resp_options.secure_cookies_by_default = False  # no TLS here
    app.add_static_route("/static", STATIC)

    requests = Requests()
    app.add_route("/", requests)
    app.add_route("/echo", requests, suffix="echo")
    app.add_route("/json", requests, suffix="json")
    app.add_route("/args", requests, suffix="args")
    app.add_route("/paths/{rest:path}", requests, suffix="paths")
    app.add_route("/form", requests, suffix="form")
    app.add_route("/multipart", requests, suffix="multipart")
    app.add_route("/upload", requests, suffix="upload")
    app.add_route("/upload/watch", requests, suffix="watch")
    app.add_route("/ignore", requests, suffix="ignore")

    streams = Streams()
    app.add_route("/download", streams, suffix="download")
    app.add_route("/download/declared", streams, suffix="declared")
    app.add_route("/stream", streams, suffix="lines")
    app.add_route("/endless", streams, suffix="endless")
    app.add_route("/events", streams, suffix="events")
    app.add_route("/file", streams, suffix="file")

    urls = Urls()
    app.add_route("/cookies", urls, suffix="cookies")
    app.add_route("/redirect", urls, suffix="redirect")
    app.add_route("/url", urls, suffix="url")
    app.add_route("/slashed/", urls, suffix="slashed")

    errors = Errors()
    app.add_route("/error/before", errors, suffix="before")
    app.add_route("/error/after", errors, suffix="after")
    app.add_route("/error/short", errors, suffix="short")
    app.add_route("/error/http", errors, suffix="http")

    answers = Answers()
    app.add_route("/headers/large", answers, suffix="large")
    app.add_route("/headers/repeated", answers, suffix="repeated")
    app.add_route("/status/204", answers, suffix="204")
    app.add_route("/status/304", answers, suffix="304")
    app.add_route("/empty", answers, suffix="empty")
    app.add_route("/conditional", answers, suffix="conditional")

    places = Places(startup)
    app.add_route("/blocking", places, suffix="blocking")
    app.add_route("/async", places, suffix="async")
    app.add_route("/background", places, suffix="background")
    app.add_route("/lifespan", places, suffix="lifespan")
    app.add_route("/context", places, suffix="context")

    app.ws_options.media_handlers[falcon.WebSocketPayloadType.TEXT] = PlainText()
    app.ws_options.media_handlers[falcon.WebSocketPayloadType.BINARY] = PlainBytes()
    sockets = WebSockets()
    for name in ("echo", "handshake", "watch", "refused", "close", "returns", "fails", "endless"):
        app.add_route(f"/ws/{name}", sockets, suffix=name)
    return app


app = create_app()

"""An aiohttp application on aiohttp's own server, in a thread. Knows no bridge."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import WSMsgType, web

TIMEOUT = 10.0  # seconds


class Upstream:
    """The running server, and what its tests tell it."""

    def __init__(self) -> None:
        self.url = ""
        self.go_on = asyncio.Event()
        self.cancelled = threading.Event()  # or ended: a view that waited for its client
        self.close_code: int | None = None  # of the last WebSocket
        self._loop = asyncio.new_event_loop()

    def let_go_on(self) -> None:
        self._loop.call_soon_threadsafe(self.go_on.set)

    def call(self, coroutine: Any) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(TIMEOUT)

    def run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)

    # -- views ----------------------------------------------------------------------------------------------------

    async def tell(self, request: web.Request) -> web.Response:
        body = await request.read()
        headers = [[name.lower(), value] for name, value in request.headers.items()]
        return web.json_response(
            {"method": request.method, "target": request.raw_path, "headers": headers, "size": len(body)}
        )

    async def log_in(self, request: web.Request) -> web.Response:
        location = request.headers.get("X-Forwarded-Prefix", "") + "/tell"
        response = web.Response(status=302, headers={"Location": location})
        response.set_cookie("a", "1")
        response.set_cookie("b", "2", path="/aiohttp")
        return response

    async def stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        await self.go_on.wait()
        await response.write(b"second")
        return response

    async def endless(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"here")
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()
        return response

    async def cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"half of ")
        assert request.transport is not None
        request.transport.abort()
        return response

    async def refuse(self, request: web.Request) -> web.Response:
        return web.Response(status=413, text="too long")

    async def speak(self, request: web.Request) -> web.StreamResponse:
        if "X-Stranger" in request.headers:
            return web.Response(status=401, text="who are you?")
        socket = web.WebSocketResponse(protocols=["chat"], max_msg_size=0)
        await socket.prepare(request)
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY:
                    await socket.send_bytes(message.data)
                elif message.data == "leave":
                    await socket.close(code=4002, message=b"as you wish")
                else:
                    await socket.send_str(f"{request.headers['X-Forwarded-Prefix']}: {message.data}")
        finally:  # cancelled, if the connection is lost
            self.close_code = socket.close_code
            self.cancelled.set()
        return socket


@contextmanager
def running() -> Iterator[Upstream]:
    """Serve on a free port until the block ends."""
    upstream = Upstream()
    application = web.Application(client_max_size=0)
    application.router.add_route("*", "/tell{tail:.*}", upstream.tell)
    application.router.add_get("/login", upstream.log_in)
    application.router.add_get("/stream", upstream.stream)
    application.router.add_get("/endless", upstream.endless)
    application.router.add_get("/cut", upstream.cut)
    application.router.add_post("/refuse", upstream.refuse)
    application.router.add_get("/ws", upstream.speak)
    runner = web.AppRunner(application, handler_cancellation=True, shutdown_timeout=1)

    async def start() -> None:
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        upstream.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    thread = threading.Thread(target=upstream.run)
    thread.start()
    try:
        upstream.call(start())
        yield upstream
        upstream.call(runner.cleanup())
    finally:
        upstream.stop()
        thread.join(TIMEOUT)

"""FastAPI in front of Flask, and the other way round, on Uvicorn and over sockets."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any

import anyio.to_thread
import httpx
import pytest
import uvicorn
from fastapi import FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from flask import Flask
from flask import Response as FlaskResponse
from flask import request as flask_request
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from bridge.mount.cascade import Cascade
from tests.asgi import TIMEOUT

UPLOAD = [b"%08d" % number * 4096 for number in range(64)]  # 2 MiB
DIGEST = sha256(b"".join(UPLOAD)).hexdigest()


class Steps:
    """What lets a streamed answer go on."""

    def __init__(self) -> None:
        self._allowed: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def go_on(self) -> None:
        self._allowed.put(True)

    def wait(self) -> None:
        self._allowed.get(timeout=TIMEOUT)


STEPS = Steps()


def fastapi_app() -> FastAPI:
    app = FastAPI()

    @app.get("/new/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first "
            await anyio.to_thread.run_sync(STEPS.wait)
            yield b"second"

        return StreamingResponse(chunks())

    @app.post("/read/{rest:path}")
    async def reads_and_refuses(request: Request) -> None:
        await request.body()
        raise HTTPException(404, headers={"set-cookie": "a=1"})

    @app.post("/new/upload")
    async def upload(request: Request) -> str:
        return sha256(await request.body()).hexdigest()

    return app


def chat_app() -> FastAPI:
    app = FastAPI()

    @app.websocket("/chat")
    async def chat(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app


def flask_app() -> Flask:
    app = Flask("legacy")

    @app.post("/read/upload")
    @app.post("/upload")
    def upload() -> str:
        return sha256(flask_request.get_data()).hexdigest()

    @app.get("/stream")
    def stream() -> FlaskResponse:
        def chunks() -> Iterator[bytes]:
            yield b"first "
            STEPS.wait()
            yield b"second"

        return FlaskResponse(chunks())

    return app


@contextmanager
def serving(application: Any) -> Iterator[str]:
    """Run Uvicorn in a thread of this process; give its address."""
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    listener = socket.create_server(("127.0.0.1", 0))
    server = Server(uvicorn.Config(application, ws="wsproto", log_level="error"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        assert started.wait(TIMEOUT)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)
        listener.close()
    assert not thread.is_alive()


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    """A client of FastAPI in front of Flask, with another FastAPI in between."""
    with (
        serving(Cascade([fastapi_app(), chat_app(), flask_app()])) as url,
        httpx.Client(base_url=url, timeout=TIMEOUT) as made,
    ):
        yield made


@pytest.mark.parametrize("chunked", [False, True], ids=["Content-Length", "chunked"])
@pytest.mark.parametrize("path", ["/upload", "/read/upload", "/new/upload"])
def test_upload_arrives_whole(client: httpx.Client, path: str, chunked: bool) -> None:
    """Where FastAPI knows no route, where it has read all of it before it refuses, and where it takes it."""
    content: bytes | Iterable[bytes] = UPLOAD if chunked else b"".join(UPLOAD)

    response = client.post(path, content=content)

    assert (response.status_code, response.text.strip('"')) == (200, DIGEST)
    assert "set-cookie" not in response.headers


def test_upload_arrives_whole_behind_flask() -> None:
    """The adapter of the first reads ahead; what it has read is there for the second."""
    with serving(Cascade([flask_app(), fastapi_app()])) as url:
        response = httpx.post(f"{url}/new/upload", content=b"".join(UPLOAD), timeout=TIMEOUT)

    assert (response.status_code, response.text) == (200, f'"{DIGEST}"')


@pytest.mark.parametrize("path", ["/new/stream", "/stream"], ids=["accepted from FastAPI", "fell through to Flask"])
def test_first_chunk_arrives_before_the_second_is_made(client: httpx.Client, path: str) -> None:
    """Nothing of an accepted answer is held back."""
    with client.stream("GET", path) as response:
        chunks = response.iter_raw()

        assert next(chunks) == b"first "
        STEPS.go_on()
        assert b"".join(chunks) == b"second"


def test_body_is_not_asked_for_before_it_is_read(client: httpx.Client) -> None:
    """RFC 9110, 10.1.1: a client that waits for 100 gets the answer of an application that reads nothing, without."""
    url = client.base_url
    with socket.create_connection((url.host, url.port), timeout=TIMEOUT) as connection:
        connection.sendall(
            b"POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\nExpect: 100-continue\r\n\r\n"
        )
        assert connection.recv(4096).startswith(b"HTTP/1.1 404 ")


def test_websocket_is_accepted_by_the_application_that_knows_it(client: httpx.Client) -> None:
    """The first has no route for it; where none has one, the client is refused."""
    url = f"ws://{client.base_url.host}:{client.base_url.port}"
    with connect(f"{url}/chat", open_timeout=TIMEOUT) as websocket:
        websocket.send("hello")
        assert websocket.recv(TIMEOUT) == "hello"

    # With 403 for a close, or with the answer of the last.
    with pytest.raises(InvalidStatus, match=r"HTTP 40[34]"), connect(f"{url}/nowhere", open_timeout=TIMEOUT):
        pytest.fail("it was accepted")

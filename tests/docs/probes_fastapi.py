"""What a client asks of a mounted application, in FastAPI. Knows no page and no mount."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import anyio
from fastapi import FastAPI, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from compat_matrix.wire import TIMEOUT
from tests.docs.probes import MARK


def add_to(api: FastAPI) -> None:
    """Add what ``probes`` has to an application that has an ``index`` already."""
    go_on = anyio.Event()

    @api.middleware("http")
    async def mark(request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers[MARK] = "FastAPI"
        return response

    @api.get("/redirect")
    async def to_seen(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("seen", rest="seen/after"))

    @api.get("/cookie")
    async def cookie(request: Request, response: Response) -> dict[str, str]:
        response.set_cookie("basket", "full", path=request.url_for("index").path)
        return request.cookies

    @api.post("/upload")
    async def upload(request: Request) -> Response:
        digest = hashlib.sha256()
        async for chunk in request.stream():
            digest.update(chunk)
        return Response(digest.hexdigest())

    @api.get("/stream")
    async def stream() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"first"
            with anyio.fail_after(TIMEOUT):
                await go_on.wait()
            yield b"second"

        return StreamingResponse(chunks(), media_type="text/plain")

    @api.get("/go-on")
    async def release() -> str:
        go_on.set()
        return "goes on"

    @api.get("/{rest:path}")
    async def seen(request: Request) -> list[str]:
        root_path: str = request.scope["root_path"]
        whole: str = request.scope["path"]
        # As WSGI has it: native strings, and the mount not in the path.
        return [one.encode().decode("latin-1") for one in (root_path, whole.removeprefix(root_path))]

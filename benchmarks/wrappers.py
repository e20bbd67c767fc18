"""How each peer turns a WSGI application into an ASGI one. Imports a peer only when it is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib import import_module
from io import BytesIO
from typing import Any
from wsgiref.util import setup_testing_defaults

from benchmarks.protocols import AsgiApplication, Environ, Message, Receive, Scope, Send, WsgiApplication

# Worker threads that every contestant gets, where it has a setting for them.
THREADS = 40

Wrap = Callable[[WsgiApplication], AsgiApplication]


def through_bridge(application: WsgiApplication) -> AsgiApplication:
    """Wrap with the package under test."""
    adapter: AsgiApplication = import_module("bridge").WsgiToAsgi(application, threads=THREADS)
    return adapter


def through_a2wsgi(application: WsgiApplication) -> AsgiApplication:
    """Wrap with a2wsgi."""
    adapter: AsgiApplication = import_module("a2wsgi").WSGIMiddleware(application, workers=THREADS)
    return adapter


def through_asgiref(application: WsgiApplication) -> AsgiApplication:
    """Wrap with asgiref, which runs all requests in one thread and has no setting for it."""
    adapter: AsgiApplication = import_module("asgiref.wsgi").WsgiToAsgi(application)
    return adapter


def through_starlette(application: WsgiApplication) -> AsgiApplication:
    """Wrap with Starlette, whose threads are anyio's: 40 by default."""
    adapter: AsgiApplication = import_module("starlette.middleware.wsgi").WSGIMiddleware(application)
    return adapter


def through_uvicorn(application: WsgiApplication) -> AsgiApplication:
    """Wrap with Uvicorn's own middleware, the one behind ``--interface wsgi``."""
    adapter: AsgiApplication = import_module("uvicorn.middleware.wsgi")._WSGIMiddleware(application, workers=THREADS)
    return adapter


def through_hypercorn(application: WsgiApplication) -> AsgiApplication:
    """Wrap with Hypercorn's own wrapper; must be called on the event loop that will serve.

    Hypercorn hands its wrapper two more callables. These are the ones of its asyncio worker
    (``hypercorn/asyncio/task_group.py``), on an executor with as many threads as the others get.
    """
    wrapper = import_module("hypercorn.app_wrappers").WSGIWrapper(application, 2**24)
    loop = asyncio.get_running_loop()
    sync_spawn = partial(loop.run_in_executor, ThreadPoolExecutor(THREADS))

    def call_soon(function: Callable[..., Any], *arguments: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(function(*arguments), loop).result()

    async def adapter(scope: Scope, receive: Receive, send: Send) -> None:
        await wrapper(scope, receive, send, sync_spawn, call_soon)

    return adapter


def through_executor(application: WsgiApplication) -> AsgiApplication:
    """Run the application with a bare ``loop.run_in_executor``; must be called on that loop.

    The reference, not a bridge: one ready-made environ for every request, no request body,
    the whole response collected in the thread.
    """
    loop = asyncio.get_running_loop()
    loop.set_default_executor(ThreadPoolExecutor(THREADS))
    common: Environ = {}
    setup_testing_defaults(common)

    def call(path: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        status, headers = "", [("", "")]

        def start_response(given: str, pairs: list[tuple[str, str]], exc_info: object = None) -> None:
            nonlocal status, headers
            status, headers = given, pairs

        environ = {**common, "PATH_INFO": path, "wsgi.input": BytesIO()}
        chunks = application(environ, start_response)
        try:
            body = b"".join(chunks)
        finally:
            close = getattr(chunks, "close", None)
            if close is not None:
                close()
        return int(status[:3]), [(name.encode(), value.encode()) for name, value in headers], body

    async def adapter(scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = await loop.run_in_executor(None, call, scope["path"])
        start: Message = {"type": "http.response.start", "status": status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": body})

    return adapter


WRAPPERS: dict[str, Wrap] = {
    "bridge": through_bridge,
    "a2wsgi": through_a2wsgi,
    "asgiref": through_asgiref,
    "Starlette": through_starlette,
    "Uvicorn": through_uvicorn,
    "Hypercorn": through_hypercorn,
    "run_in_executor": through_executor,
}

NOTES: dict[str, str] = {
    "asgiref": "runs all requests in one thread",
    "Starlette": "deprecated by its authors",
    "Uvicorn": "deprecated by its authors",
    "run_in_executor": "reference: no environ, no body, no streaming",
}

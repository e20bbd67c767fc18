"""What adapters do where they differ, in the words of the tables of docs/migrating.md. Knows no expectation."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator, Sequence
from io import BytesIO
from typing import Any, TypeAlias, cast

import a2wsgi
import asgiref.wsgi
from asgiref.sync import async_to_sync

import bridge
import bridge.compat.a2wsgi
import bridge.compat.asgiref
from tests.asgi import TIMEOUT, Environ, Message, Receive, Scope, Send, StartResponse, http_scope, upload_scope
from tests.asgi_to_wsgi.server import request

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from starlette.middleware.wsgi import WSGIMiddleware as _Starlette
    from uvicorn.middleware.wsgi import _WSGIMiddleware as _Uvicorn

Adapter: TypeAlias = Callable[..., Any]


def _patience(adapter: Adapter, never: Sequence[Adapter]) -> float:
    """How long to wait for what happens, in seconds: short where it is known that it does not.

    Where that is wrong the observation is right all the same, if it happens soon; and late if it does not happen.
    """
    return 0.2 if adapter in never else TIMEOUT


def _uvicorn(app: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return _Uvicorn(app)


WSGI_PEERS: dict[str, Adapter] = {
    "a2wsgi": a2wsgi.WSGIMiddleware,
    "asgiref": asgiref.wsgi.WsgiToAsgi,
    "Starlette": _Starlette,
    "Uvicorn": _uvicorn,
}
WSGI_OURS: list[Adapter] = [
    bridge.WsgiToAsgi,
    bridge.compat.a2wsgi.WSGIMiddleware,
    bridge.compat.asgiref.WsgiToAsgi,
]
ASGI_PEERS: dict[str, Adapter] = {"a2wsgi": a2wsgi.ASGIMiddleware}
ASGI_OURS: list[Adapter] = [bridge.AsgiToWsgi, bridge.compat.a2wsgi.ASGIMiddleware]


def closing_later(adapter: Adapter, adapters: list[bridge.AsgiToWsgi]) -> Adapter:
    """Be *adapter*, and put what is to be closed into *adapters*."""

    def make(app: Any) -> Any:
        made = adapter(app)
        adapters.append(made if isinstance(made, bridge.AsgiToWsgi) else made._adapter)
        return made

    return make


class Outcome:
    """What a server got from one request."""

    def __init__(self) -> None:
        self.sent: list[Message] = []
        self.error: BaseException | None = None

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent[1:])

    def header(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.sent[0]["headers"] if key.lower() == name]


async def call(app: Any, scope: Scope | None = None, *messages: Message, send: Send | None = None) -> Outcome:
    """Serve one request, as a server that checks nothing."""
    outcome = Outcome()
    fed = list(messages or [{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> Message:
        if fed:
            return fed.pop(0)
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def take(message: Message) -> None:
        outcome.sent.append(message)
        if send is not None:
            await send(message)

    try:
        await asyncio.wait_for(app(scope or http_scope(), receive, take), TIMEOUT)
    except Exception as error:
        outcome.error = error
    return outcome


def environ_of(seen: list[Environ]) -> Any:
    """An application that keeps its environ."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ)
        start_response("200 OK", [])
        return [b""]

    return application


def response_of(*chunks: bytes, headers: list[tuple[str, str]] | None = None) -> Any:
    """An application that makes this response."""

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", headers or [])
        return list(chunks)

    return application


# -- a WSGI application on an ASGI server -----------------------------------------------------------------------


async def upload_that_breaks_off(adapter: Adapter) -> str:
    ends: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            environ["wsgi.input"].read()
            ends.append("looks complete")
        except OSError:
            ends.append("`read()` raises")
            raise
        start_response("200 OK", [])
        return []

    half = {"type": "http.request", "body": b"x" * 70_000, "more_body": True}
    outcome = await call(adapter(application), upload_scope(140_000), half, {"type": "http.disconnect"})
    return ends[0] if ends else f"not called; `{type(outcome.error).__name__}`"


async def large_upload(adapter: Adapter) -> str:
    receives = 0
    at_call: list[int] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        at_call.append(receives)
        while environ["wsgi.input"].read(65536):
            pass
        start_response("200 OK", [])
        return []

    app = adapter(application)

    async def receive() -> Message:
        nonlocal receives
        receives += 1
        return {"type": "http.request", "body": b"x" * 65536, "more_body": receives < 50}

    async def send(message: Message) -> None:
        pass

    await asyncio.wait_for(app(upload_scope(50 * 65536), receive, send), TIMEOUT)
    return "read first" if at_call == [50] else "streamed"


async def chunked_upload(adapter: Adapter) -> str:
    seen: list[Environ] = []
    await call(
        adapter(environ_of(seen)), upload_scope(None), {"type": "http.request", "body": b"abc", "more_body": False}
    )
    return "has its length" if seen[0].get("CONTENT_LENGTH") == "3" else "no length"


async def readline_with_a_size(adapter: Adapter) -> str:
    lines: list[bytes] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        lines.append(environ["wsgi.input"].readline(10))
        start_response("200 OK", [])
        return []

    await call(adapter(application), upload_scope(4), {"type": "http.request", "body": b"abc\n", "more_body": False})
    return "the line" if lines == [b"abc\n"] else "nothing"


async def same_letters_as_the_mount(adapter: Adapter) -> str:
    seen: list[Environ] = []
    await call(adapter(environ_of(seen)), http_scope(path="/apple", root_path="/app"))
    return f"`{seen[0]['PATH_INFO']}`"


async def path_that_is_not_utf_8(adapter: Adapter) -> str:
    seen: list[Environ] = []
    await call(adapter(environ_of(seen)), http_scope(path="/\ufffd", raw_path=b"/%FF"))
    return "as sent" if seen[0]["PATH_INFO"] == "/\xff" else "U+FFFD"


async def header_with_an_underscore(adapter: Adapter) -> str:
    seen: list[Environ] = []
    headers = [(b"x-forwarded-for", b"10.0.0.1"), (b"x_forwarded_for", b"forged")]
    await call(adapter(environ_of(seen)), http_scope(headers=headers))
    return "forges" if "forged" in seen[0]["HTTP_X_FORWARDED_FOR"] else "dropped"


async def two_cookie_headers(adapter: Adapter) -> str:
    seen: list[Environ] = []
    await call(adapter(environ_of(seen)), http_scope(headers=[(b"cookie", b"a=1"), (b"cookie", b"b=2")]))
    return f"`{seen[0]['HTTP_COOKIE']}`"


async def type_of_the_port(adapter: Adapter) -> str:
    seen: list[Environ] = []
    await call(adapter(environ_of(seen)))
    return f"`{type(seen[0]['SERVER_PORT']).__name__}`"


async def where_errors_go(adapter: Adapter) -> str:
    seen: list[Environ] = []
    await call(adapter(environ_of(seen)))
    return "`stderr`" if seen[0]["wsgi.errors"] is sys.stderr else "`stdout`"


async def scope_in_environ(adapter: Adapter) -> str:
    seen: list[Environ] = []
    scope = http_scope()
    await call(adapter(environ_of(seen)), scope)
    if "asgi.scope" not in seen[0]:
        return "none"
    return "the scope" if seen[0]["asgi.scope"] is scope else "a copy"


async def variable_of_the_process(adapter: Adapter) -> str:
    seen: list[Environ] = []
    os.environ["SCRIPT_NAME"] = "/outer"
    try:
        await call(adapter(environ_of(seen)))
    finally:
        del os.environ["SCRIPT_NAME"]
    return "used" if seen[0]["SCRIPT_NAME"] == "/outer" else "ignored"


async def head(adapter: Adapter) -> str:
    outcome = await call(adapter(response_of(b"hello", headers=[("Content-Length", "5")])), http_scope("HEAD"))
    return "sends the body" if outcome.body else "no body"


async def writing(adapter: Adapter) -> str:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        write = start_response("200 OK", [])
        write(b"hello")
        return []

    outcome = await call(adapter(application))
    return "works" if outcome.body == b"hello" else "`TypeError`"


async def closing(adapter: Adapter) -> str:
    closed: list[bool] = []

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"hello"])

        def close(self) -> None:
            closed.append(True)

    def application(environ: Environ, start_response: StartResponse) -> Body:
        start_response("200 OK", [])
        return Body()

    await call(adapter(application))
    return "called" if closed else "not called"


async def error_page(adapter: Adapter) -> str:
    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        try:
            raise KeyError("the page")
        except KeyError:
            start_response("500 Sorry", [], sys.exc_info())
        return [b"sorry"]

    outcome = await call(adapter(application))
    if outcome.error is None:
        return f"{outcome.sent[0]['status']}"
    return f"{outcome.sent[0]['status']}, and raises"


async def start_of_the_response(adapter: Adapter) -> str:
    sent: list[Message] = []
    started = threading.Event()
    early: list[bool] = []
    patience = _patience(adapter, [asgiref.wsgi.WsgiToAsgi, *WSGI_OURS])

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        early.append(started.wait(patience))
        yield b"hello"

    async def send(message: Message) -> None:
        sent.append(message)
        started.set()

    await call(adapter(application), send=send)
    return "with `start_response`" if early == [True] else "with the first chunk"


async def missing_length(adapter: Adapter) -> str:
    outcome = await call(adapter(response_of(b"hello")))
    return "added" if outcome.header(b"content-length") == [b"5"] else "none"


async def body_that_is_too_short(adapter: Adapter) -> str:
    outcome = await call(adapter(response_of(b"hell", headers=[("Content-Length", "5")])))
    return "an error" if outcome.error is not None else "ends as if complete"


async def body_that_is_too_long(adapter: Adapter) -> str:
    outcome = await call(adapter(response_of(b"hello, and more", headers=[("Content-Length", "5")])))
    return "cut off" if outcome.body == b"hello" else "sent"


async def hop_by_hop(adapter: Adapter) -> str:
    outcome = await call(adapter(response_of(b"hello", headers=[("Connection", "close"), ("X", "y")])))
    return "passed on" if outcome.header(b"connection") else "dropped"


async def slow_client(adapter: Adapter) -> str:
    produced = threading.Event()

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        for _ in range(20):
            yield b"x" * 65536
        produced.set()

    looked: list[bool] = []
    patience = _patience(adapter, [a2wsgi.WSGIMiddleware, asgiref.wsgi.WsgiToAsgi, *WSGI_OURS])

    async def send(message: Message) -> None:
        if message["type"] == "http.response.body" and not looked:
            looked.append(await asyncio.get_running_loop().run_in_executor(None, produced.wait, patience))

    await call(adapter(application), send=send)
    return "all in memory" if looked == [True] else "bounded"


async def two_requests_at_once(adapter: Adapter) -> str:
    together = threading.Barrier(2)
    met: list[bool] = []
    patience = _patience(adapter, [asgiref.wsgi.WsgiToAsgi])

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        try:
            together.wait(patience)
            met.append(True)
        except threading.BrokenBarrierError:
            met.append(False)
        start_response("200 OK", [])
        return []

    app = adapter(application)
    await asyncio.gather(call(app), call(app))
    return "side by side" if met == [True, True] else "one by one"


async def asynchronous_view(adapter: Adapter) -> str:
    loops: list[asyncio.AbstractEventLoop] = []

    async def view() -> None:
        loops.append(asyncio.get_running_loop())

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        async_to_sync(view)()
        start_response("200 OK", [])
        return []

    await call(adapter(application))
    return "the server's" if loops == [asyncio.get_running_loop()] else "a new one"


async def lifespan(adapter: Adapter) -> str:
    outcome = await call(
        adapter(response_of()),
        {"type": "lifespan"},
        {"type": "lifespan.startup"},
        {"type": "lifespan.shutdown"},
    )
    return f"`{type(outcome.error).__name__}`" if outcome.error is not None else "answered"


async def web_socket(adapter: Adapter) -> str:
    seen: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ["HTTP_UPGRADE"])
        start_response("403 Forbidden", [])
        return []

    scope: Scope = {"type": "websocket", "path": "/", "headers": [(b"upgrade", b"websocket")]}
    outcome = await call(adapter(application), scope, {"type": "websocket.connect"})
    if outcome.error is not None:
        return f"`{type(outcome.error).__name__}`"
    return "the application's" if seen else "refused"


WSGI_ROWS: dict[str, Callable[[Adapter], Awaitable[str]]] = {
    "An upload that breaks off": upload_that_breaks_off,
    "A large upload": large_upload,
    "An upload without `Content-Length`": chunked_upload,
    '`readline(10)` of `b"abc\\n"`': readline_with_a_size,
    "`PATH_INFO` of `/apple` under the mount `/app`": same_letters_as_the_mount,
    "A path that is not UTF-8": path_that_is_not_utf_8,
    "The header `X_Forwarded_For`": header_with_an_underscore,
    "Two `Cookie` headers (HTTP/2)": two_cookie_headers,
    "`SERVER_PORT`": type_of_the_port,
    "`wsgi.errors`": where_errors_go,
    '`environ["asgi.scope"]`': scope_in_environ,
    "`SCRIPT_NAME` among the variables of the process": variable_of_the_process,
    "HEAD": head,
    "`write()`": writing,
    "`close()` of the iterable": closing,
    "`start_response` again, with `exc_info`: the status": error_page,
    "The headers leave": start_of_the_response,
    "`Content-Length` of a body that is a list": missing_length,
    "A body shorter than its `Content-Length`": body_that_is_too_short,
    "A body longer than its `Content-Length`": body_that_is_too_long,
    "`Connection` and other hop-by-hop headers": hop_by_hop,
    "A response to a slow client": slow_client,
    "Two requests at once": two_requests_at_once,
    "The event loop of an `async def` view (Flask, Django)": asynchronous_view,
    "Lifespan": lifespan,
    "WebSocket": web_socket,
}
"""How a row of the first table is observed, by its first cell."""


# -- an ASGI application on a WSGI server -----------------------------------------------------------------------


class Response:
    """What a server got, which checks nothing."""

    def __init__(self) -> None:
        self.status = ""
        self.headers: list[tuple[str, str]] = []
        self.body = b""
        self.error: BaseException | None = None

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
        self.status, self.headers = status, headers


def get(app: Any, environ: Environ | None = None, timeout: float = TIMEOUT) -> Response:
    """Serve one request, from another thread since some never end; TimeoutError says so after *timeout* seconds."""
    response = Response()

    def run() -> None:
        iterable: Any = None
        try:
            iterable = app(environ if environ is not None else request(), response.start_response)
            response.body = b"".join(iterable)
        except Exception as error:
            response.error = error
        finally:
            if hasattr(iterable, "close"):
                iterable.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout)
    if thread.is_alive():
        response.error = TimeoutError()
    return response


def http_only(application: Callable[[Scope, Receive, Send], Awaitable[None]]) -> Any:
    """An application without lifespan."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError("http only")
        await application(scope, receive, send)

    return checked


async def _hello(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"hello"})


def lifespan_of_the_application(adapter: Adapter) -> str:
    started: list[bool] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            started.append(True)
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await _hello(scope, receive, send)

    get(adapter(application))
    return "run" if started else "not run"


def error_before_the_response(adapter: Adapter) -> str:
    @http_only
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("the view failed")

    response = get(adapter(application))
    return "raised" if isinstance(response.error, RuntimeError) and not response.status else "a 500 of its own"


def no_response(adapter: Adapter) -> str:
    @http_only
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        pass

    response = get(adapter(application), timeout=_patience(adapter, [a2wsgi.ASGIMiddleware]))
    return "waits for ever" if isinstance(response.error, TimeoutError) else "an error"


def body_that_ends_early(adapter: Adapter) -> str:
    messages: list[Message] = []

    @http_only
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        while len(messages) < 20:
            message = await receive()
            messages.append(message)
            if message["type"] != "http.request" or not message.get("more_body"):
                break
        await _hello(scope, receive, send)

    get(adapter(application), request("POST", CONTENT_LENGTH="10", variables={"wsgi.input": BytesIO(b"hello")}))
    return "`http.disconnect`" if messages[-1]["type"] == "http.disconnect" else "empty messages, for ever"


def chunked_body(adapter: Adapter) -> str:
    body = bytearray()

    @http_only
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        more = True
        while more:
            message = await receive()
            body.extend(message.get("body", b""))
            more = message.get("more_body", False)
        await _hello(scope, receive, send)

    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True, "wsgi.input": BytesIO(b"hello")}
    get(adapter(application), request("POST", variables=chunked))
    return "read" if body == b"hello" else "lost"


def head_of_an_asgi_application(adapter: Adapter) -> str:
    return "sends the body" if get(adapter(http_only(_hello)), request("HEAD")).body else "no body"


def undecodable_path(adapter: Adapter) -> str:
    response = get(adapter(http_only(_hello)), request(path="/\xff"))
    return f"`{type(response.error).__name__}`" if response.error is not None else "served"


def keys_of_the_scope(adapter: Adapter) -> str:
    keys: set[str] = set()

    @http_only
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        keys.update(scope)
        await _hello(scope, receive, send)

    get(adapter(application))
    return "there" if {"raw_path", "client", "state"} <= keys else "missing"


def added_length(adapter: Adapter) -> str:
    headers = dict(get(adapter(http_only(_hello))).headers)
    return "added" if headers.get("content-length") == "5" else "none"


def forged_header(adapter: Adapter) -> str:
    @http_only
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nset-cookie: b=c")]})
        await send({"type": "http.response.body"})

    response = get(adapter(application))
    return "passed on" if any("\r\n" in value for _, value in response.headers) else "refused"


def background_task(adapter: Adapter) -> str:
    done = threading.Event()
    go: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":  # so that AsgiToWsgi chooses the shared loop
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        go.append((asyncio.get_running_loop(), asyncio.Event()))
        await _hello(scope, receive, send)
        await go[0][1].wait()
        done.set()

    app = adapter(application)
    over = threading.Event()

    def take() -> None:
        get(app)
        over.set()

    threading.Thread(target=take, daemon=True).start()
    early = over.wait(_patience(adapter, [a2wsgi.ASGIMiddleware]))
    go[0][0].call_soon_threadsafe(go[0][1].set)
    assert over.wait(TIMEOUT)
    assert done.wait(TIMEOUT)
    return "goes on after it" if early else "holds it open"


def client_that_leaves(adapter: Adapter) -> str:
    told, ended = threading.Event(), threading.Event()
    tasks: list[asyncio.Task[Any]] = []

    @http_only
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        tasks.append(cast("asyncio.Task[Any]", asyncio.current_task()))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        except OSError:
            told.set()
        finally:
            ended.set()

    app = adapter(application)
    iterable = app(request(), Response().start_response)
    next(iter(iterable))
    iterable.close()
    if told.wait(_patience(adapter, [a2wsgi.ASGIMiddleware])):
        return "`send()` raises"
    tasks[0].get_loop().call_soon_threadsafe(tasks[0].cancel)
    assert ended.wait(TIMEOUT)
    return "is not told"


ASGI_ROWS: dict[str, Callable[[Adapter], str]] = {
    "Lifespan of the application": lifespan_of_the_application,
    "An error before the response": error_before_the_response,
    "An application that returns without a response": no_response,
    "An upload that breaks off": body_that_ends_early,
    "A chunked upload": chunked_body,
    "HEAD": head_of_an_asgi_application,
    "A path that is not UTF-8": undecodable_path,
    "`raw_path`, `client` and `state` in the scope": keys_of_the_scope,
    "`Content-Length` of a body sent as one message": added_length,
    "CR and LF in a header": forged_header,
    "A background task and the end of the response": background_task,
    "A client that leaves during a stream": client_that_leaves,
}
"""How a row of the second table is observed, by its first cell."""

"""Broken adapters that get it wrong when something happens: closing, concurrency, contexts, lifespan."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar, copy_context
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import anyio.to_thread

from bridge import AsgiToWsgi, WorkerThreads, WsgiToAsgi
from bridge.protocols import (
    AsgiApplication,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    StartResponse,
    WsgiApplication,
)
from tests.compat_matrix.mutating import (
    adapter,
    asgi,
    asgi_receive,
    asgi_scope,
    ends,
    set_path,
    wsgi,
    wsgi_environ,
)

# -- clients that leave, iterables that are closed --------------------------------------------------------------------


@asgi_receive("http.disconnect never comes", wsgi="disconnect.endless", asgi="raw.receive", asgi_app="asgi3")
def never_disconnects(receive: Receive, scope: Scope) -> Receive:
    async def patient() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            await asyncio.Event().wait()
        return message

    return patient


@asgi_receive(
    "http.disconnect comes after the request",
    wsgi="backpressure.resumed",
    asgi="http.stream.complete",
    asgi_app="quart",
)
def disconnects_at_once(receive: Receive, scope: Scope) -> Receive:
    ended = False

    async def hasty() -> Message:
        nonlocal ended
        if ended:
            return {"type": "http.disconnect"}
        message = await receive()
        ended = not message.get("more_body", False)
        return message

    return hasty


@wsgi("close() is not called", wsgi="validators.streams")
def drops_close(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    return map(bytes, application(environ, start_response))


_kept: list[Any] = []


@wsgi("what is not closed is kept", "disconnect.endless")
def keeps_iterables(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    _kept.append(iter(application(environ, start_response)))
    return map(bytes, _kept[-1])


@wsgi("close() is called before the body", asgi="http.stream.complete")
def closes_first(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    body: Any = application(environ, start_response)
    body.close()
    return map(bytes, body)


@wsgi("close() is called after each chunk", wsgi="http.stream.complete")
def closes_early(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    body: Any = application(environ, start_response)
    for chunk in body:
        yield chunk
        body.close()


@wsgi("close() is called twice", wsgi="validators.streams")
def closes_twice(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    body: Any = application(environ, start_response)
    try:
        yield from body
    finally:
        body.close()
        body.close()


# -- at the same time, one after another ------------------------------------------------------------------------------

_one = threading.Lock()


@wsgi(
    "requests wait for each other",
    wsgi="concurrency.blocking websocket.beside",
    asgi="concurrency.blocking websocket.concurrent",
)
def one_by_one(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    with _one:
        iterable = application(environ, start_response)
        try:
            yield from iterable
        finally:
            getattr(iterable, "close", int)()


class _OnTheLoop(WorkerThreads):
    def submit(self, job: Any, max_pending: int | None = None) -> bool:
        job.run()
        job.finish()
        return True


@adapter("the application runs on the event loop", wsgi="concurrency.others")
def blocks_the_loop(application: Any) -> Any:
    return WsgiToAsgi(application, threads=_OnTheLoop(1))


@adapter("plain views run on the event loop", asgi="concurrency.others")
def blocks_the_loop_of_views(application: Any) -> Any:
    async def here(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return function(*args)

    vars(anyio.to_thread)["run_sync"] = here
    return AsgiToWsgi(application)


_context = copy_context()


@wsgi("requests share a context", wsgi="concurrency.contexts.later http.response.context")
def shares_context(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    return _context.run(application, environ, start_response)


_carried: dict[ContextVar[Any], Any] = {}


@asgi("context variables are carried on to the next request", asgi="concurrency.contexts.later http.response.context")
async def carries_context(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    for variable, value in _carried.items():
        variable.set(value)
    await application(scope, receive, send)
    _carried.update(copy_context())


_sends: list[Send] = []


@asgi("responses go to who has asked last", "concurrency.streams")
async def shares_send(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    _sends.append(send)
    await application(scope, receive, lambda message: _sends[-1](message))


_targets: dict[Any, str] = {}


@asgi_scope("a connection's second request is taken for its first", "http.keep_alive http.pipelining")
def repeats_request(scope: Scope) -> None:
    set_path(scope, _targets.setdefault(tuple(scope["client"]), scope["path"]))


# -- where it runs, lifespan ------------------------------------------------------------------------------------------


@wsgi("the application is called where an event loop runs", wsgi="http.response.async")
def called_in_a_loop(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Any:
    async def call() -> Any:
        return application(environ, start_response)

    return asyncio.run(call())


@adapter("startup is left out", asgi="lifespan.startup")
def startup_left_out(application: Any) -> Any:
    return AsgiToWsgi(application, lifespan="off")


@asgi_scope("what startup left in the state is lost", asgi="lifespan.startup")
def state_lost(scope: Scope) -> None:
    scope["state"] = {}


@adapter("startup runs before each request", asgi="raw.lifespan.once", asgi_app="asgi3")
def starts_each_time(application: Any) -> Any:
    def anew(environ: Environ, start_response: StartResponse) -> Any:
        return AsgiToWsgi(application)(environ, start_response)

    return anew


_state: dict[str, Any] = {}


@asgi_scope("requests share one state", asgi="raw.lifespan.state", asgi_app="asgi3")
def state_shared(scope: Scope) -> None:
    _state.update({} if _state else scope["state"])
    scope["state"] = _state


@asgi_scope("what is in the state is copied, too", asgi="raw.lifespan.state", asgi_app="asgi3")
def state_copied_deeply(scope: Scope) -> None:
    scope["state"] = deepcopy(scope["state"])


@asgi_receive("receive() gives empty messages after the body", asgi="raw.receive", asgi_app="asgi3")
def receives_for_ever(receive: Receive, scope: Scope) -> Receive:
    ended = False

    async def empty() -> Message:
        nonlocal ended
        if ended:
            return {"type": "http.request", "body": b"", "more_body": False}
        message = await receive()
        ended = not message.get("more_body", False)
        return message

    return empty


@asgi("what the application does after its response delays it", asgi="background.after background.left")
async def background_first(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    last: list[Message] = []

    async def hold(message: Message) -> None:
        if ends(message):
            last.append(message)
        else:
            await send(message)

    await application(scope, receive, hold)
    for message in last:
        await send(message)


@asgi("the application is cancelled once its response is complete", asgi="background.after background.left")
async def background_cancelled(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
    complete = asyncio.Event()

    async def watched(message: Message) -> None:
        await send(message)
        if ends(message):
            complete.set()

    task = asyncio.ensure_future(application(scope, receive, watched))
    done = asyncio.create_task(complete.wait())
    await asyncio.wait((task, done), return_when=asyncio.FIRST_COMPLETED)
    task.cancel()


# -- what only validators see -----------------------------------------------------------------------------------------


@wsgi_environ("SERVER_PORT is a number", wsgi="validators.requests")
def port_is_number(environ: Environ) -> None:
    environ["SERVER_PORT"] = int(environ["SERVER_PORT"])


@wsgi_environ("wsgi.input has no readline()", wsgi="validators.requests")
def input_is_not_a_file(environ: Environ) -> None:
    environ["wsgi.input"] = SimpleNamespace(read=environ["wsgi.input"].read)


@asgi_scope("the query string is text", asgi="validators.requests", needs="asgion")
def query_is_text(scope: Scope) -> None:
    scope["query_string"] = scope["query_string"].decode()


@asgi_scope("the scope has no version", asgi="validators.requests", needs="asgion")
def version_lost(scope: Scope) -> None:
    del scope["asgi"]

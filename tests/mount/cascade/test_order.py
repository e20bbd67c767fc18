"""Applications in order: whose answer the client gets, what it sees of the others, and how those end."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from fastapi import BackgroundTasks, FastAPI, Response
from flask import Flask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.types import ASGIApp

from bridge import ConfigurationError
from bridge.errors import ServerError
from bridge.mount import Dispatcher
from bridge.mount.cascade import Cascade
from tests.asgi import (
    TIMEOUT,
    AsgiApplication,
    FakeServer,
    Message,
    Receive,
    Scope,
    Send,
    empty_receive,
    http_scope,
    serve,
)


def start(status: int, *headers: tuple[bytes, bytes]) -> Message:
    return {"type": "http.response.start", "status": status, "headers": list(headers)}


def body(chunk: bytes = b"", *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": chunk, "more_body": more}


def answering(status: int, text: bytes = b"", *headers: tuple[bytes, bytes]) -> AsgiApplication:
    """Make an application that answers everything with one status."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(status, *headers))
        await send(body(text))

    return application


def sending(*messages: Message) -> AsgiApplication:
    """Make an application that sends these."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return application


async def never(scope: Scope, receive: Receive, send: Send) -> None:
    raise AssertionError("this application is not to be called")


async def sent_by(application: AsgiApplication) -> list[Message]:
    """What a server gets that takes any message."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    with anyio.fail_after(TIMEOUT):
        await application(http_scope(), empty_receive, send)
    return sent


# -- whose answer -------------------------------------------------------------------------------------------------


async def test_refused_answer_is_not_seen() -> None:
    """Neither its status nor its headers, cookies and body."""
    first = answering(405, b"not here", (b"set-cookie", b"a=1"), (b"allow", b"GET"))

    server = await serve(Cascade([first, answering(200, b"here", (b"set-cookie", b"b=2"))]))

    assert server.sent == [start(200, (b"set-cookie", b"b=2")), body(b"here")]


@pytest.mark.parametrize("status", [200, 403])
async def test_any_other_answer_is_the_clients(status: int) -> None:
    """The next application is not called."""
    server = await serve(Cascade([answering(status, b"mine"), never]))

    assert server.sent == [start(status), body(b"mine")]


async def test_statuses_are_chosen() -> None:
    """They are all that falls through."""
    assert (await serve(Cascade([answering(501), answering(200)], statuses={501}))).status == 200
    assert (await serve(Cascade([answering(404), never], statuses=[501]))).status == 404


async def test_applications_are_asked_in_order() -> None:
    """Until one answers."""
    server = await serve(Cascade([answering(404), answering(405), answering(200, b"third"), never]))

    assert server.body == b"third"


@pytest.mark.parametrize("count", [1, 3])
async def test_answer_of_the_last_is_the_clients(count: int) -> None:
    """Whatever it is."""
    applications = [answering(404, b"%d" % number) for number in range(count)]

    server = await serve(Cascade(applications))

    assert server.sent == [start(404), body(b"%d" % (count - 1))]


async def test_messages_after_an_accepted_start_are_the_servers_matter() -> None:
    """Trailers, files, and what no specification has yet."""
    messages = [
        {**start(200), "trailers": True},
        {"type": "http.response.zerocopysend", "file": 1, "more_body": True},
        {"type": "http.response.pathsend", "path": "/a"},
        {"type": "http.response.trailers", "headers": []},
        {"type": "http.response.unheard"},
    ]

    assert await sent_by(Cascade([sending(*messages), never])) == messages


async def test_message_out_of_order_is_the_servers_matter() -> None:
    """It says what is wrong with it."""

    async def send(message: Message) -> None:
        raise RuntimeError(f"the server knows no {message['type']} here")

    with pytest.raises(RuntimeError, match=r"the server knows no http\.response\.body here"):
        await Cascade([sending(body(b"x")), never])(http_scope(), empty_receive, send)


HINT = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
BEFORE = [
    HINT,
    {"type": "http.response.push", "path": "/a", "headers": []},
    {"type": "http.response.debug", "info": {}},
    start(103, (b"link", b"</a.css>")),
]


@pytest.mark.parametrize("before", BEFORE, ids=lambda message: message["type"])
async def test_hint_goes_with_its_answer(before: Message) -> None:
    """Out before it if it is accepted; else not at all. RFC 9110, 15.2: 1xx is no answer."""
    accepted = await sent_by(Cascade([sending(before, start(200), body()), never]))
    refused = await sent_by(Cascade([sending(before, start(404), body()), answering(200)]))

    assert accepted == [before, start(200), body()]
    assert refused == [start(200), body()]


async def test_hints_that_are_held_are_bounded() -> None:
    """The latest are kept: they are advice."""
    hints = [{**HINT, "links": [b"%d" % number]} for number in range(100)]

    sent = await sent_by(Cascade([sending(*hints, start(200), body()), never]))

    assert sent == [*hints[-16:], start(200), body()]


async def test_streamed_answer_is_passed_on_chunk_by_chunk() -> None:
    """With backpressure: send() returns when the server's has."""
    server = FakeServer()
    made: list[int] = []

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200))
        for number in range(3):
            made.append(number)
            await send(body(b"%d" % number, more=True))
        await send(body())

    def one_at_a_time(message: Message) -> None:
        if message.get("more_body"):
            assert made == list(range(len(server.sent) - 1))

    server.on_sent = one_at_a_time
    async with server.serving(Cascade([streams, never])):
        server.hold()
        await server.until(lambda: server.sends == 1)
        assert made == []
        server.release()

    assert server.pieces == [b"0", b"1", b"2"]


# -- errors -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("others", [[], [answering(404)]], ids=["first", "last"])
@pytest.mark.parametrize("begun", [False, True], ids=["before its answer", "after it began"])
async def test_error_is_raised_to_the_server(others: list[AsgiApplication], begun: bool) -> None:
    """Itself, and nobody else is asked: it is no answer that something is not here."""
    error = ValueError("broken")

    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        if begun:
            await send(start(200))
        raise error

    server = FakeServer()
    rest = [] if others else [never]

    with pytest.raises(ValueError, match="broken") as raised:
        await server.serve(Cascade([*others, broken, *rest]))

    assert raised.value is error
    assert len(server.sent) == begun


async def test_application_without_an_answer_leaves_that_to_the_server() -> None:
    """Django returns like this when the client has left; the next application would then run for nobody."""
    assert (await serve(Cascade([sending(), never]))).sent == []


async def test_error_of_the_server_reaches_the_application() -> None:
    """And, raised on, the server."""
    server = FakeServer()
    server.fail_send(OSError("the client is gone"), after=1)

    with pytest.raises(OSError, match="the client is gone"):
        await server.serve(Cascade([answering(404), answering(200)]))

    assert server.sent == [start(200)]


async def test_error_after_a_refused_answer_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """The client has another answer, and somebody has to see it."""

    async def breaks(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(404))
        raise ValueError("broken behind its answer")

    server = await serve(Cascade([breaks, answering(200, b"here")]))

    assert server.body == b"here"
    assert "whose answer had fallen through" in caplog.text
    assert "broken behind its answer" in caplog.text


# -- how a refused application ends -------------------------------------------------------------------------------


async def test_background_work_of_a_refused_application_runs_beside_the_next() -> None:
    """To its end, while the client has its answer long since."""
    answered = anyio.Event()
    log: list[str] = []

    async def working(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(404, b"x" * (2 << 20))(scope, receive, send)
        await answered.wait()
        log.append("worked")

    server = FakeServer()
    server.on_sent = lambda message: answered.set() if server.complete else None

    await server.serve(Cascade([working, answering(200)]))

    assert (server.status, log) == (200, ["worked"])


async def test_refused_application_is_told_that_the_client_has_left() -> None:
    """As by any server once the response is complete. A receive() that waits for the server learns it at once."""
    log: list[Any] = []
    sent: list[Message] = []

    async def refused(scope: Scope, receive: Receive, send: Send) -> None:
        async def listen() -> None:
            log.append(await receive())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            await anyio.lowlevel.checkpoint()
            await send(start(404))
        log.append(await receive())

    async def send(message: Message) -> None:
        sent.append(message)

    with anyio.fail_after(TIMEOUT):
        await Cascade([refused, answering(200)])(http_scope(), empty_receive, send)

    assert sent == [start(200), body()]
    assert log == [{"type": "http.disconnect"}] * 2


async def test_endless_refused_answer_is_ended_by_its_size() -> None:
    """By a cancellation, in which it can clean up; what it sends is not kept."""
    sent = 0
    log: list[str] = []
    ended = anyio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal sent
        try:
            await send(start(404))
            while True:
                await send(body(bytes(65536), more=True))
                sent += 65536
        finally:
            log.append("cleaned up")
            ended.set()

    async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
        await ended.wait()
        await answering(200)(scope, receive, send)

    assert (await serve(Cascade([endless, waiting]))).status == 200
    assert log == ["cleaned up"]
    assert sent <= 2 << 20


async def test_refused_answer_that_goes_on_is_ended_with_the_exchange() -> None:
    """However slowly it comes."""
    answered = anyio.Event()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(404))
        await answered.wait()
        while True:
            await send(body(b".", more=True))

    async def answers(scope: Scope, receive: Receive, send: Send) -> None:
        await answering(200)(scope, receive, send)
        answered.set()

    assert (await serve(Cascade([slow, answers]))).status == 200


async def test_application_that_is_ended_takes_no_other_with_it() -> None:
    """The next one, which was started meanwhile, is none of its tasks."""
    stopped = anyio.Event()

    async def endless(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(start(404))
            while True:
                await send(body(bytes(1 << 20), more=True))
        finally:
            stopped.set()

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start(200))
        await stopped.wait()
        await anyio.lowlevel.checkpoint()
        await send(body(b"all of it"))

    assert (await serve(Cascade([endless, streams]))).body == b"all of it"


async def test_cancellation_ends_all_of_them() -> None:
    """The server's own: the one that answers and the one that still works."""
    log: list[str] = []
    server = FakeServer()

    async def works(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await answering(404)(scope, receive, send)
            await anyio.sleep_forever()
        finally:
            log.append("refused")

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(start(200))
            await anyio.sleep_forever()
        finally:
            log.append("accepted")

    async with server.serving(Cascade([works, streams])):
        await server.until(lambda: server.sent)
        server.cancel()

    assert sorted(log) == ["accepted", "refused"]


# -- what each of them sees ---------------------------------------------------------------------------------------

SETTING: ContextVar[str] = ContextVar("SETTING", default="untouched")


async def test_changes_of_one_application_are_not_seen_by_the_next() -> None:
    """Routers write into their scope, middlewares into its headers; and none of it comes back to the server."""
    seen: list[Any] = []

    async def changes(scope: Scope, receive: Receive, send: Send) -> None:
        scope["path_params"] = {"a": "b"}
        scope["path"] = "/other"
        scope["headers"].append((b"x-user", b"admin"))
        scope["state"]["user"] = "admin"
        scope["extensions"]["more"] = {}
        SETTING.set("changed")
        await answering(404)(scope, receive, send)

    async def looks(scope: Scope, receive: Receive, send: Send) -> None:
        seen.extend([dict(scope), SETTING.get()])
        await answering(200)(scope, receive, send)

    def scope() -> Scope:
        return http_scope(state={"of the server": 1}, extensions={"tls": {}})

    own = scope()
    await serve(Cascade([changes, looks]), own)

    assert seen == [scope(), "untouched"]
    assert own == scope()


async def test_exchanges_run_at_the_same_time() -> None:
    """One cascade, many clients."""
    gathered = anyio.Event()
    waiting = 0

    async def echo(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal waiting
        waiting += 1
        if waiting == 20:
            gathered.set()
        await gathered.wait()
        await answering(200, scope["path"].encode())(scope, receive, send)

    cascade = Cascade([answering(404), echo])
    servers = [FakeServer() for _ in range(20)]
    async with anyio.create_task_group() as tasks:
        for number, server in enumerate(servers):
            tasks.start_soon(server.serve, cascade, http_scope(path=f"/{number}"))

    assert [server.body for server in servers] == [b"/%d" % number for number in range(20)]


# -- lifespans ----------------------------------------------------------------------------------------------------


def living(name: str, log: list[Any], *, fails: bool = False, status: int = 200) -> AsgiApplication:
    """Make an application that notes its lifespan and its state."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            log.append((name, dict(scope["state"])))
            await answering(status)(scope, receive, send)
            return
        await receive()
        log.append(f"{name} startup")
        if fails:
            await send({"type": "lifespan.startup.failed", "message": "it cannot"})
            return
        scope["state"].update({name: 1, "name": name})
        await send({"type": "lifespan.startup.complete"})
        await receive()
        log.append(f"{name} shutdown")
        await send({"type": "lifespan.shutdown.complete"})

    return application


async def live(application: AsgiApplication, *paths: str) -> list[Message]:
    """Start, make requests, shut down; return what the server was told."""
    said: list[Message] = []
    state: dict[str, Any] = {}
    started, ending = anyio.Event(), anyio.Event()

    async def receive() -> Message:
        if not said and not started.is_set():
            return {"type": "lifespan.startup"}
        await ending.wait()
        return {"type": "lifespan.shutdown"}

    async def send(message: Message) -> None:
        said.append(message)
        started.set()

    async def call() -> None:
        await application({"type": "lifespan", "asgi": {"version": "3.0"}, "state": state}, receive, send)

    with anyio.fail_after(TIMEOUT):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            await started.wait()
            for path in paths:
                await serve(application, http_scope(path=path, state=dict(state)))
            ending.set()
    return said


async def test_every_application_is_started_and_shut_down() -> None:
    """In their order, and back; each finds its own state first, and that of the others."""
    log: list[Any] = []

    said = await live(Cascade([living("a", log, status=404), living("b", log)]), "/")

    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert log == [
        "a startup",
        "b startup",
        ("a", {"a": 1, "b": 1, "name": "a"}),
        ("b", {"a": 1, "b": 1, "name": "b"}),
        "b shutdown",
        "a shutdown",
    ]


async def test_startup_that_fails_says_which() -> None:
    """By its place in the list."""
    said = await live(Cascade([living("a", []), living("b", [], fails=True)]))

    assert said == [
        {
            "type": "lifespan.startup.failed",
            "message": "the application at position 2 of the cascade failed to start: it cannot",
        }
    ]


async def test_compositions_can_be_nested() -> None:
    """A cascade behind a prefix, and a dispatcher in a cascade: each application still finds its own state."""
    log: list[Any] = []
    inner = Cascade([living("a", log, status=404), living("b", log)])
    outer = Cascade([Dispatcher(living("c", log, status=404), {"/in": inner}), living("d", log)])

    await live(outer, "/in/x", "/out")

    everything = {"a": 1, "b": 1, "c": 1, "d": 1}
    states = [line for line in log if isinstance(line, tuple)]
    assert [name for name, _ in states] == ["a", "b", "c", "d"]
    for name, state in states:
        assert state["name"] == name
        assert state.items() <= {**everything, "name": name}.items()


# -- frameworks ---------------------------------------------------------------------------------------------------


def fastapi_app(log: list[str], *middleware: Callable[..., ASGIApp]) -> FastAPI:
    app = FastAPI(middleware=[Middleware(one) for one in middleware])

    @app.get("/new")
    def new() -> dict[str, str]:
        return {"by": "FastAPI"}

    @app.get("/gone")
    def gone(tasks: BackgroundTasks) -> Response:
        tasks.add_task(log.append, "background")
        return Response(status_code=404, background=tasks)

    return app


def flask_app() -> Flask:
    app = Flask("legacy")

    @app.route("/old", methods=["GET", "POST", "HEAD"])
    @app.route("/new", methods=["POST"])
    @app.route("/gone")
    def old() -> str:
        return "by Flask"

    return app


class Headers(BaseHTTPMiddleware):
    async def dispatch(self, request: Any, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["x-new"] = "1"
        return response


@pytest.fixture(params=[(), (Headers,)], ids=["plain", "BaseHTTPMiddleware"])
def migration(request: Any) -> tuple[Cascade, list[str], bool]:
    """FastAPI in front of Flask, what FastAPI logs, and whether it adds headers. Takes too long for a loop."""
    log: list[str] = []
    return Cascade([fastapi_app(log, *request.param), flask_app()]), log, bool(request.param)


async def test_fastapi_in_front_of_flask(migration: tuple[Cascade, list[str], bool]) -> None:
    """Route by route, and a method at a time. What FastAPI does after a refused answer is done."""
    cascade, log, adds = migration
    async with httpx.AsyncClient(transport=httpx.ASGITransport(cascade), base_url="http://test") as client:
        new = await client.get("/new")
        old = [await client.request(*line) for line in (("GET", "/old"), ("POST", "/new"), ("GET", "/gone"))]
        head, nowhere = await client.head("/old"), await client.get("/nowhere")

    assert (new.json(), "x-new" in new.headers) == ({"by": "FastAPI"}, adds)
    assert [response.text for response in old] == ["by Flask"] * 3
    assert not any("x-new" in response.headers for response in old)
    assert (head.status_code, head.content) == (200, b"")
    assert (nowhere.status_code, "text/html" in nowhere.headers["content-type"]) == (404, True)  # Flask's page
    assert log == ["background"]


# -- arguments ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("applications", "options", "message"),
    [
        pytest.param([], {}, "one or more", id="none"),
        pytest.param(never, {}, "a list of applications", id="no list"),
        pytest.param([never, never], {}, "asked once", id="twice"),
        pytest.param([never, object()], {}, "object", id="no application"),
        pytest.param([never], {"statuses": 404}, "statuses are numbers", id="one status"),
        pytest.param([never], {"statuses": ["404"]}, "statuses are numbers", id="status as text"),
        pytest.param([never], {"statuses": [103]}, "statuses are numbers", id="no final status"),
        pytest.param([never], {"replay_memory": -1}, "replay_memory is a number of bytes", id="memory"),
        pytest.param([never], {"replay_limit": "1M"}, "replay_limit is a number of bytes", id="limit"),
    ],
)
def test_arguments_that_cannot_be_are_refused(applications: Any, options: dict[str, Any], message: str) -> None:
    """When the cascade is made, and not in each request."""
    with pytest.raises(ConfigurationError, match=message):
        Cascade(applications, **options)


async def test_scope_of_no_known_type_is_refused() -> None:
    """As by the adapters."""
    with pytest.raises(ServerError, match="the server sent 'mqtt'"):
        await Cascade([never])({"type": "mqtt"}, empty_receive, empty_receive)  # type: ignore[arg-type]

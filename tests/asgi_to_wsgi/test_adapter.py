"""Options, the three loop modes, contexts and threads: what AsgiToWsgi promises beside the exchange itself."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from bridge import ApplicationError, AsgiToWsgi, ConfigurationError, ServerError
from tests.asgi import TIMEOUT, Receive, Scope, Send, bridge_threads, wait
from tests.asgi_to_wsgi.helpers import (
    Adapt,
    ServerThread,
    adapting,
    in_threads,
    ok,
    respond,
    with_lifespan,
)
from tests.asgi_to_wsgi.kinds import Kind, Serve, kinds
from tests.asgi_to_wsgi.server import Server, request

MODES = ["auto", "request", "shared"]


@pytest.fixture
def adapt() -> Iterator[Adapt]:
    """Make adapters that are closed after the test."""
    with adapting() as make:
        yield make


class Recorder:
    """Remembers the loop of each request, and lets *together* of them be in the application at once."""

    def __init__(self, together: int = 1) -> None:
        self.loops: list[asyncio.AbstractEventLoop] = []
        self.threads: list[threading.Thread] = []
        self.contexts: list[str] = []
        self.barrier = threading.Barrier(together)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loops.append(asyncio.get_running_loop())
        self.threads.append(threading.current_thread())
        await asyncio.get_running_loop().run_in_executor(None, self.barrier.wait, TIMEOUT)
        await respond(send)


# -- options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"loop": "thread"}, "loop"),
        ({"loop": None}, "loop"),
        ({"backend": "curio"}, "backend"),
        ({"lifespan": True}, "lifespan"),
        ({"loop_factory": asyncio.new_event_loop, "backend": "trio"}, "loop_factory"),
        ({"loop_factory": "uvloop"}, "loop_factory"),
        ({"startup_timeout": -1}, "startup_timeout"),
        ({"startup_timeout": float("nan")}, "startup_timeout"),
        ({"startup_timeout": "30"}, "startup_timeout"),
        ({"shutdown_timeout": -0.5}, "shutdown_timeout"),
        ({"shutdown_timeout": None}, "shutdown_timeout"),
        ({"request_buffer": 0}, "request_buffer"),
        ({"request_buffer": 1.5}, "request_buffer"),
        ({"response_buffer": 0}, "response_buffer"),
        ({"response_buffer": "64K"}, "response_buffer"),
    ],
)
def test_option_that_cannot_be_is_refused(options: dict[str, Any], named: str) -> None:
    """DESIGN: every limit says so. The message names the option and the value."""
    with pytest.raises(ConfigurationError, match=f"^{named} is ") as caught:
        AsgiToWsgi(ok, **options)

    assert isinstance(caught.value, ValueError)
    assert repr(options[named]) in str(caught.value)


def test_application_has_to_be_callable() -> None:
    """What an import string leads to is often a module or an instance."""
    with pytest.raises(ConfigurationError, match="'module:app'"):
        AsgiToWsgi("module:app")  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_made_before_the_first_request(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """DESIGN: loops and threads are made on first use, never at import."""
    made: list[str] = []

    def loop_factory() -> asyncio.AbstractEventLoop:
        made.append("loop")
        return asyncio.new_event_loop()

    AsgiToWsgi(ok, loop=mode, loop_factory=loop_factory)

    assert (made, bridge_threads()) == ([], [])


# -- loop modes -------------------------------------------------------------------------------------------------


def test_request_loop_is_run_by_the_servers_thread(adapt: Adapt) -> None:
    """Issue 3: an event loop per request, driven by the server's own thread."""
    recorder = Recorder()
    adapter = adapt(recorder, loop="request", lifespan="off")

    Server(adapter).serve()

    assert recorder.threads == [threading.current_thread()]
    assert bridge_threads() == []


def test_request_loop_is_used_again(adapt: Adapt) -> None:
    """DESIGN: loops are pooled."""
    recorder = Recorder()
    server = Server(adapt(recorder, loop="request", lifespan="off"))

    for _ in range(5):
        server.serve()

    assert len(set(recorder.loops)) == 1
    assert not recorder.loops[0].is_closed()


def test_request_loop_serves_one_exchange_at_a_time(adapt: Adapt) -> None:
    """DESIGN: one exchange at a time has a loop."""
    recorder = Recorder(together=4)
    server = Server(adapt(recorder, loop="request", lifespan="off"))

    for _ in range(3):
        in_threads(4, server.serve)

    assert [len(set(recorder.loops[at : at + 4])) for at in (0, 4, 8)] == [4, 4, 4]
    assert len(set(recorder.loops)) == 4


def test_request_loop_of_a_response_that_is_not_taken_is_not_shared(adapt: Adapt) -> None:
    """Until close() the loop belongs to the exchange, although its thread serves another."""
    recorder = Recorder()
    server = Server(adapt(recorder, loop="request", lifespan="off"))

    first = server.start()
    server.serve()
    first.read().close()

    assert recorder.loops[0] is not recorder.loops[1]


def test_shared_loop_serves_all(adapt: Adapt) -> None:
    """Issue 3: one background loop per process."""
    recorder = Recorder(together=4)
    server = Server(adapt(recorder, loop="shared", lifespan="off"))

    in_threads(4, server.serve)
    in_threads(4, server.serve)

    assert len(set(recorder.loops)) == 1
    assert set(recorder.threads) == set(bridge_threads())
    assert len(bridge_threads()) == 1


@pytest.mark.parametrize(
    ("options", "shared"),
    [
        pytest.param({"loop": "auto"}, True, id="auto"),
        pytest.param({"loop": "auto", "lifespan": "on"}, True, id="auto, on"),
        pytest.param({"loop": "auto", "lifespan": "off"}, False, id="auto, off"),
        pytest.param({"loop": "shared"}, True, id="shared"),
        pytest.param({"loop": "request"}, False, id="request"),
    ],
)
def test_loop_of_an_application_with_lifespan(adapt: Adapt, options: dict[str, Any], shared: bool) -> None:
    """Issue 3: "auto" is the loop on which the application's lifespan startup ran if it has one."""
    recorder = Recorder()
    started: list[asyncio.AbstractEventLoop] = []
    answering = with_lifespan(recorder)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            started.append(asyncio.get_running_loop())
        await answering(scope, receive, send)

    server = Server(adapt(application, **options))
    server.serve()
    server.serve()

    assert len(started) == (options.get("lifespan") != "off")
    assert [loop in started for loop in recorder.loops] == [shared, shared]
    assert [thread is threading.current_thread() for thread in recorder.threads] == [not shared, not shared]


@pytest.mark.parametrize(("mode", "shared"), [("auto", False), ("request", False), ("shared", True)])
def test_loop_of_an_application_without_lifespan(adapt: Adapt, mode: str, shared: bool) -> None:
    """DESIGN: any other gets a loop per request, and the loop that asked about the lifespan is gone."""
    recorder = Recorder()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await recorder(scope, receive, send)

    Server(adapt(application, loop=mode)).serve()

    assert [thread is threading.current_thread() for thread in recorder.threads] == [not shared]
    assert len(bridge_threads()) == shared


# -- context ----------------------------------------------------------------------------------------------------

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def test_context_of_the_servers_thread_is_the_applications(kind: Kind, serve: Serve) -> None:
    """A WSGI middleware that sets a request's id, or a trace, is seen by the application."""
    seen: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(variable.get())
        variable.set("of the application")
        await respond(send)

    server = serve(application)
    for name in ("first", "second"):
        token = variable.set(name)
        server.serve()
        assert variable.get() == name  # the application has a copy
        variable.reset(token)
    server.serve()

    assert seen == ["first", "second", "unset"]


@kinds(lambda kind: not kind.in_loop)
def test_contexts_of_simultaneous_requests_are_apart(kind: Kind, serve: Serve) -> None:
    """Each exchange has the context of its own thread, on one loop as well."""
    barrier = threading.Barrier(4)
    server = serve(lambda scope, receive, send: respond(send, variable.get().encode()))

    def ask() -> tuple[bytes, bytes]:
        name = threading.current_thread().name
        variable.set(name)
        barrier.wait(TIMEOUT)
        return server.serve().body, name.encode()

    answers = in_threads(4, ask)

    assert len({name for _, name in answers}) == 4
    assert [body for body, _ in answers] == [name for _, name in answers]


# -- threads ----------------------------------------------------------------------------------------------------


def test_any_number_of_threads(kind: Kind, serve: Serve) -> None:
    """Issue 3: more threads than loops are kept, each with several requests."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await anyio.lowlevel.checkpoint()
        await respond(send, scope["path"].encode())

    server = serve(application)

    def ask() -> list[bytes]:
        name = f"/{threading.get_ident()}"
        return [server.serve(request(path=name)).body for _ in range(3)] + [name.encode()]

    answers = in_threads(80, ask)

    assert len(answers) == 80
    assert all(set(answer) == {answer[-1]} for answer in answers)


# -- close ------------------------------------------------------------------------------------------------------


def test_adapter_can_be_used_after_close(kind: Kind, serve: Serve) -> None:
    """The next request starts the application again."""
    server = serve(with_lifespan(ok), lifespan="on")
    adapter: Any = server.application

    for _ in range(3):
        assert server.serve().body == b"ok"
        adapter.close()
        assert bridge_threads() == []

    assert server.serve().body == b"ok"


def test_close_may_come_first_and_twice(kind: Kind, serve: Serve) -> None:
    """A server's hooks call it whether or not a request came."""
    server = serve(ok)
    adapter: Any = server.application

    adapter.close()
    adapter.close()

    assert server.serve().body == b"ok"


def test_close_ends_loops_that_are_idle(adapt: Adapt) -> None:
    """Issue 3: close() leaves no loop and no thread."""
    recorder = Recorder(together=3)
    adapter = adapt(recorder, loop="request", lifespan="off")
    in_threads(3, Server(adapter).serve)

    adapter.close()

    assert [loop.is_closed() for loop in recorder.loops] == [True] * 3


@kinds(lambda kind: not kind.shared and not kind.is_trio)
def test_loop_that_is_in_use_when_the_adapter_closes_ends_with_its_request(kind: Kind, serve: Serve) -> None:
    """What comes back after close() finds no pool any more."""
    recorder = Recorder()
    server = serve(recorder)
    adapter: Any = server.application

    response = server.start()
    adapter.close(timeout=0)
    response.read().close()

    assert response.body == b"ok"
    assert [loop.is_closed() for loop in recorder.loops] == [True]
    assert bridge_threads() == []


@kinds(lambda kind: kind.shared)
def test_close_waits_for_requests(kind: Kind, serve: Serve) -> None:
    """A deployment cuts nobody who is served in time."""
    called, go = threading.Event(), threading.Event()
    order: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        called.set()
        await anyio.to_thread.run_sync(wait, go)
        await respond(send)

    server = serve(application)
    adapter: Any = server.application

    def ask() -> None:
        assert server.serve().body == b"ok"
        order.append("response")

    def close() -> None:
        adapter.close()
        order.append("closed")

    asking = ServerThread(ask)
    wait(called)
    closing = ServerThread(close)
    go.set()
    asking.end()
    closing.end()

    assert sorted(order) == ["closed", "response"]
    assert bridge_threads() == []


@kinds(lambda kind: kind.shared)
def test_close_cuts_requests_that_take_too_long(kind: Kind, serve: Serve) -> None:
    """After the timeout they are cancelled, and the server is told; the application's finally runs."""
    called, put_away = threading.Event(), threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        called.set()
        try:
            await anyio.sleep_forever()
        finally:
            put_away.set()

    server = serve(application)
    adapter: Any = server.application
    asking = ServerThread(server.serve)
    wait(called)
    adapter.close(timeout=0)
    wait(put_away)

    with pytest.raises((ApplicationError, ServerError)):
        asking.end()
    assert bridge_threads() == []


def test_context_manager_closes(adapt: Adapt) -> None:
    """``with AsgiToWsgi(app) as adapter``: started inside, gone after it."""
    adapter = adapt(with_lifespan(ok))

    with adapter as entered:
        assert entered is adapter
        assert len(bridge_threads()) == 1
        assert Server(adapter).serve().body == b"ok"

    assert bridge_threads() == []

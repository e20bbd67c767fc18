"""Startup before the first request, shutdown at the end, and applications that want neither."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import anyio
import pytest

from bridge import ApplicationError, AsgiToWsgi, ServerError
from bridge.errors import LifespanFailed
from tests.asgi import TIMEOUT, Message, Receive, Scope, Send, bridge_threads, wait
from tests.asgi_to_wsgi.helpers import (
    Adapt,
    ServerThread,
    adapting,
    in_threads,
    ok,
    respond,
    run_script,
)
from tests.asgi_to_wsgi.kinds import KINDS, last, start
from tests.asgi_to_wsgi.server import Server

STARTED: Message = {"type": "lifespan.startup.complete"}
STOPPED: Message = {"type": "lifespan.shutdown.complete"}

# Where the application runs, which is where its lifespan does, or beside it.
OPTIONS = [pytest.param(kind.options, id=kind.name) for kind in KINDS if not kind.in_loop]
BACKENDS = ["asyncio", "trio"]


@pytest.fixture
def adapt() -> Iterator[Adapt]:
    """Make adapters that are closed after the test."""
    with adapting() as make:
        yield make


class Application:
    """An application that says what its lifespan came to, and does in it what the test wants."""

    def __init__(
        self,
        startup: Callable[[Scope, Send], Awaitable[object]] | None = None,
        shutdown: Callable[[Scope, Send], Awaitable[object]] | None = None,
    ) -> None:
        self.said: list[str] = []
        self.scopes: list[Scope] = []
        self.asked_shutdown = threading.Event()
        self.ended = threading.Event()  # the lifespan's coroutine
        self._startup = startup
        self._shutdown = shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)
        if scope["type"] != "lifespan":
            self.said.append("request")
            await respond(send)
            return
        try:
            message = await receive()
            assert message == {"type": "lifespan.startup"}
            self.said.append("startup")
            await (self._startup(scope, send) if self._startup is not None else send(STARTED))
            message = await receive()
            assert message == {"type": "lifespan.shutdown"}
            self.said.append("shutdown")
            self.asked_shutdown.set()
            await (self._shutdown(scope, send) if self._shutdown is not None else send(STOPPED))
        finally:
            self.ended.set()


async def fail_to_start(scope: Scope, send: Send) -> None:
    """Say so, and then raise why, as Starlette."""
    await send({"type": "lifespan.startup.failed", "message": "no database at 10.0.0.1"})
    in_threads(10, int)  # the server's thread gets time to look before the reason is there
    raise ConnectionError("refused")


# -- startup ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", OPTIONS)
def test_startup_comes_before_the_first_request(adapt: Adapt, options: dict[str, Any]) -> None:
    """Issue 3; and shutdown after the last, in close()."""
    application = Application()
    adapter = adapt(application, **options)
    server = Server(adapter)

    assert application.said == []
    server.serve()
    server.serve()
    assert application.said == ["startup", "request", "request"]
    adapter.close()

    assert application.said == ["startup", "request", "request", "shutdown"]
    assert application.ended.is_set()
    assert bridge_threads() == []


def test_lifespan_scope(adapt: Adapt) -> None:
    """ASGI specification, "Lifespan Protocol", "Scope"."""
    application = Application()

    adapt(application).startup()

    (scope,) = application.scopes
    assert scope["type"] == "lifespan"
    assert scope["asgi"]["version"] == "3.0"
    assert scope["asgi"]["spec_version"] in ("1.0", "2.0")
    assert scope["state"] == {}


def test_startup_by_hand(adapt: Adapt) -> None:
    """For those who want it at boot: once, and not again with the first request."""
    application = Application()
    adapter = adapt(application)

    adapter.startup()
    assert application.said == ["startup"]
    adapter.startup()
    Server(adapter).serve()

    assert application.said == ["startup", "request"]


@pytest.mark.parametrize("options", OPTIONS)
def test_many_first_requests_start_the_application_once(adapt: Adapt, options: dict[str, Any]) -> None:
    """They wait until it has started: none of them runs before."""
    barrier = threading.Barrier(20)
    application = Application()
    server = Server(adapt(application, **options))

    def ask() -> bytes:
        barrier.wait(TIMEOUT)
        return server.serve().body

    assert in_threads(20, ask) == [b"ok"] * 20
    assert application.said == ["startup", *["request"] * 20]


@pytest.mark.parametrize("options", OPTIONS)
def test_state_is_copied_shallowly_into_each_scope(adapt: Adapt, options: dict[str, Any]) -> None:
    """ASGI specification, "Lifespan State": keys of one request are not seen by another, the objects are the same."""
    pool: list[str] = []

    async def startup(scope: Scope, send: Send) -> None:
        scope["state"]["pool"] = pool
        await send(STARTED)

    application = Application(startup)
    server = Server(adapt(application, **options))
    server.serve()
    application.scopes[1]["state"]["user"] = "alice"
    server.serve()

    lifespan, first, second = (scope["state"] for scope in application.scopes)
    assert first["pool"] is second["pool"] is pool
    assert (set(lifespan), set(second)) == ({"pool"}, {"pool"})
    assert len({id(lifespan), id(first), id(second)}) == 3


def test_state_is_there_without_lifespan(adapt: Adapt) -> None:
    """DESIGN: every optional key is present; a new dictionary each."""
    scopes: list[Scope] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        scopes.append(scope)
        await respond(send)

    server = Server(adapt(application, lifespan="off"))
    server.serve()
    server.serve()

    assert [scope["state"] for scope in scopes] == [{}, {}]
    assert scopes[0]["state"] is not scopes[1]["state"]


def test_state_begins_afresh_after_close(adapt: Adapt) -> None:
    """What a shut down application left behind is closed."""

    async def startup(scope: Scope, send: Send) -> None:
        scope["state"][f"run {len(application.said)}"] = True
        await send(STARTED)

    application = Application(startup)
    adapter = adapt(application)
    adapter.startup()
    adapter.close()
    adapter.startup()

    assert [list(scope["state"]) for scope in application.scopes] == [["run 1"], ["run 3"]]


# -- startup that fails -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "on"])
@pytest.mark.parametrize("options", OPTIONS)
def test_failed_startup_is_raised_on_every_request(adapt: Adapt, options: dict[str, Any], mode: str) -> None:
    """With the application's message, a new exception each time; and it is tried once: it never half-starts."""
    application = Application(fail_to_start)
    adapter = adapt(application, **{**options, "lifespan": mode})
    server = Server(adapter)

    errors: list[LifespanFailed] = []
    for attempt in (server.serve, server.serve, adapter.startup):
        with pytest.raises(LifespanFailed, match=r"no database at 10\.0\.0\.1") as caught:
            attempt()
        errors.append(caught.value)

    assert application.said == ["startup"]
    assert len(set(map(id, errors))) == 3
    assert [type(error.__cause__) for error in errors] == [ConnectionError] * 3
    assert bridge_threads() == []


def test_failed_startup_is_raised_to_all_who_wait_for_it(adapt: Adapt) -> None:
    """Requests that came while the application failed to start."""
    barrier = threading.Barrier(10)
    application = Application(fail_to_start)
    server = Server(adapt(application))

    def ask() -> LifespanFailed:
        barrier.wait(TIMEOUT)
        with pytest.raises(LifespanFailed, match="no database") as caught:
            server.serve()
        return caught.value

    errors = in_threads(10, ask)

    assert application.said == ["startup"]
    assert len(set(map(id, errors))) == 10


def test_failed_startup_without_a_message(adapt: Adapt) -> None:
    """ASGI: message is optional and "" by default."""

    async def startup(scope: Scope, send: Send) -> None:
        await send({"type": "lifespan.startup.failed"})

    with pytest.raises(LifespanFailed, match="failed to start"):
        adapt(Application(startup)).startup()


def test_failed_startup_is_tried_again_after_close(adapt: Adapt) -> None:
    """The next request starts the application again, as DESIGN says of close()."""
    attempts: list[int] = []

    async def startup(scope: Scope, send: Send) -> None:
        attempts.append(1)
        await (fail_to_start(scope, send) if len(attempts) == 1 else send(STARTED))

    adapter = adapt(Application(startup))
    with pytest.raises(LifespanFailed):
        adapter.startup()
    adapter.close()

    assert Server(adapter).serve().body == b"ok"


def test_context_manager_raises_what_the_startup_does(adapt: Adapt) -> None:
    """And leaves nothing behind."""
    with pytest.raises(LifespanFailed), adapt(Application(fail_to_start)):
        pytest.fail("the block is not entered")

    assert bridge_threads() == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_startup_timeout(adapt: Adapt, backend: str) -> None:
    """The message names the option; the application is cancelled, and its finally blocks run."""

    async def startup(scope: Scope, send: Send) -> None:
        await anyio.sleep_forever()

    application = Application(startup)
    # A busy machine, too, has begun the application by then.
    adapter = adapt(application, startup_timeout=0.05, backend=backend)

    for attempt in (adapter.startup, Server(adapter).serve):
        with pytest.raises(LifespanFailed, match=r"startup_timeout.*0\.05 s"):
            attempt()

    assert application.said == ["startup"]
    assert application.ended.is_set()
    assert bridge_threads() == []


# -- lifespan: on, off, auto ------------------------------------------------------------------------------------


async def returns(scope: Scope, receive: Receive, send: Send) -> None:
    """Return on any scope that is not known."""
    if scope["type"] == "http":
        await respond(send)


async def returns_later(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive the startup and return without an answer."""
    if scope["type"] == "http":
        await respond(send)
    else:
        await receive()


async def raises_later(scope: Scope, receive: Receive, send: Send) -> None:
    """Receive the startup and raise."""
    if scope["type"] != "http":
        raise RuntimeError((await receive())["type"])
    await respond(send)


async def takes_every_scope_for_a_request(scope: Scope, receive: Receive, send: Send) -> None:
    """Know HTTP only, and look at no type; wait for the client to leave, as an application that streams."""
    await receive()
    await send(start())
    await send(last(b"ok"))
    await receive()


NO_LIFESPAN = [
    pytest.param(ok, id="Django"),
    pytest.param(returns, id="returns"),
    pytest.param(returns_later, id="returns later"),
    pytest.param(raises_later, id="raises later"),
    pytest.param(takes_every_scope_for_a_request, id="HTTP only"),
]


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("application", NO_LIFESPAN)
def test_application_without_lifespan_is_served(adapt: Adapt, application: Any, options: dict[str, Any]) -> None:
    """ASGI, "Lifespan Protocol": if an exception is raised, the server must continue; auto, without a word."""
    adapter = adapt(application, **options)

    assert Server(adapter).serve().body == b"ok"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("application", NO_LIFESPAN)
def test_application_without_lifespan_that_has_to_have_one(adapt: Adapt, application: Any, backend: str) -> None:
    """lifespan="on": it is a failure, which names the option."""
    adapter = adapt(application, lifespan="on", backend=backend)

    for _ in range(2):
        with pytest.raises(LifespanFailed, match="lifespan='on'"):
            Server(adapter).serve()
    assert bridge_threads() == []


@pytest.mark.parametrize("options", OPTIONS)
def test_lifespan_off_does_not_ask(adapt: Adapt, options: dict[str, Any]) -> None:
    """The application is not called with a scope that it may fail on."""
    application = Application()
    adapter = adapt(application, **{**options, "lifespan": "off"})

    adapter.startup()
    Server(adapter).serve()
    adapter.close()

    assert application.said == ["request"]


@pytest.mark.parametrize("lifespan", ["auto", "on"])
def test_lifespan_auto_and_on_ask(adapt: Adapt, lifespan: str) -> None:
    """Of an application that takes part they do the same."""
    application = Application()
    adapter = adapt(application, lifespan=lifespan)

    Server(adapter).serve()
    adapter.close()

    assert application.said == ["startup", "request", "shutdown"]


# -- shutdown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_context_manager_starts_and_shuts_down(adapt: Adapt, backend: str) -> None:
    """Startup when it is entered, shutdown when it is left, with an error too."""
    application = Application()

    def use() -> None:
        with adapt(application, backend=backend):
            assert application.said == ["startup"]
            raise KeyError("of the block")

    with pytest.raises(KeyError, match="of the block"):
        use()

    assert application.said == ["startup", "shutdown"]


def test_shutdown_comes_once(adapt: Adapt) -> None:
    """close() twice is one shutdown; each new start has its own."""
    application = Application()
    adapter = adapt(application)

    adapter.startup()
    adapter.close()
    adapter.close()
    Server(adapter).serve()
    adapter.close()

    assert application.said == ["startup", "shutdown", "startup", "request", "shutdown"]


def test_shutdown_comes_after_the_requests(adapt: Adapt) -> None:
    """What is under way may still use what the startup made."""
    called, go = threading.Event(), threading.Event()
    application = Application()

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            called.set()
            await anyio.to_thread.run_sync(wait, go)
        await application(scope, receive, send)

    adapter = adapt(slow)
    asking = ServerThread(Server(adapter).serve)
    wait(called)
    closing = ServerThread(adapter.close)
    assert not application.asked_shutdown.is_set()
    go.set()
    asking.end()
    closing.end()

    assert application.said == ["startup", "request", "shutdown"]


def test_shutdown_has_its_time_when_requests_took_theirs(adapt: Adapt) -> None:
    """A request that hangs takes no time from the application's shutdown, in which it puts things away."""
    called, go = threading.Event(), threading.Event()

    async def shutdown(scope: Scope, send: Send) -> None:
        await anyio.to_thread.run_sync(go.wait, 0)  # needs a moment, and more than one turn of the loop
        await send(STOPPED)

    application = Application(shutdown=shutdown)

    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            called.set()
            await anyio.sleep_forever()
        await application(scope, receive, send)

    adapter = adapt(hangs, shutdown_timeout=0.5)
    asking = ServerThread(Server(adapter).serve)
    wait(called)
    adapter.close()  # logs nothing: the shutdown was in time
    with pytest.raises((ApplicationError, ServerError)):
        asking.end()

    assert application.said == ["startup", "shutdown"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_shutdown_that_fails_is_logged(adapt: Adapt, backend: str, bridge_log: list[logging.LogRecord]) -> None:
    """lifespan.shutdown.failed, with the application's message."""

    async def shutdown(scope: Scope, send: Send) -> None:
        await send({"type": "lifespan.shutdown.failed", "message": "the queue is not empty"})
        raise ConnectionError("lost")

    adapter = adapt(Application(shutdown=shutdown), backend=backend)
    adapter.startup()
    adapter.close()

    assert [record.levelname for record in bridge_log] == ["ERROR"]
    assert "the queue is not empty" in bridge_log[0].getMessage()
    assert bridge_threads() == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_shutdown_that_raises_is_logged(adapt: Adapt, backend: str, bridge_log: list[logging.LogRecord]) -> None:
    """With what it raised."""

    async def shutdown(scope: Scope, send: Send) -> None:
        raise ConnectionError("lost")

    adapter = adapt(Application(shutdown=shutdown), backend=backend)
    adapter.startup()
    adapter.close()

    assert [record.levelname for record in bridge_log] == ["ERROR"]
    assert bridge_log[0].exc_info is not None
    assert isinstance(bridge_log[0].exc_info[1], ConnectionError)
    assert bridge_threads() == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_shutdown_that_hangs_is_cancelled_and_logged(
    adapt: Adapt, backend: str, bridge_log: list[logging.LogRecord]
) -> None:
    """The message names the option; close() returns."""

    async def shutdown(scope: Scope, send: Send) -> None:
        await anyio.sleep_forever()

    application = Application(shutdown=shutdown)
    adapter = adapt(application, backend=backend, shutdown_timeout=0.01)
    adapter.startup()
    adapter.close()

    assert application.ended.is_set()
    assert [record.levelname for record in bridge_log] == ["ERROR"]
    assert "shutdown_timeout" in bridge_log[0].getMessage()
    assert bridge_threads() == []


@pytest.mark.parametrize("backend", BACKENDS)
def test_lifespan_that_fails_while_requests_are_served_is_logged(
    adapt: Adapt, backend: str, bridge_log: list[logging.LogRecord]
) -> None:
    """A background task of the lifespan's task group that crashes ends the lifespan too: somebody has to say so."""
    crash = threading.Event()

    async def startup(scope: Scope, send: Send) -> None:
        await send(STARTED)
        await anyio.to_thread.run_sync(wait, crash)
        raise ConnectionError("lost")

    application = Application(startup)
    adapter = adapt(application, backend=backend)
    server = Server(adapter)
    server.serve()
    crash.set()
    wait(application.ended)
    server.serve()
    adapter.close()

    assert application.said == ["startup", "request", "request"]
    assert [record.levelname for record in bridge_log] == ["ERROR"]
    assert bridge_log[0].exc_info is not None
    assert isinstance(bridge_log[0].exc_info[1], ConnectionError)


def test_application_that_returns_at_shutdown_without_an_answer_has_shut_down(adapt: Adapt) -> None:
    """Not by the book, and harmless: it has ended, so nobody waits."""

    async def shutdown(scope: Scope, send: Send) -> None:
        return

    application = Application(shutdown=shutdown)
    adapter = adapt(application)
    adapter.startup()
    adapter.close()

    assert application.said == ["startup", "shutdown"]


@pytest.mark.parametrize("options", OPTIONS)
def test_shutdown_when_the_adapter_is_collected(options: dict[str, Any]) -> None:
    """Issue 3 has no leak of loops and threads, of adapters that are made and forgotten either."""
    application = Application()
    adapter = AsgiToWsgi(application, **options)
    Server(adapter).serve()
    threads = bridge_threads()

    del adapter
    gc.collect()

    wait(application.ended)
    for thread in [*threads, *bridge_threads()]:
        thread.join(TIMEOUT)
    assert application.said == ["startup", "request", "shutdown"]
    assert bridge_threads() == []


def test_response_outlives_its_adapter() -> None:
    """A view that answers with ``AsgiToWsgi(app)(environ, start_response)`` keeps the iterable and not the adapter."""
    application = Application()
    go = threading.Event()

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await application(scope, receive, send)
            return
        await send(start())
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await anyio.to_thread.run_sync(wait, go)
        await send(last(b", done"))

    server = Server(AsgiToWsgi(streams))
    response = server.start()
    assert response.next() == b"begun"
    del server
    gc.collect()
    go.set()
    response.read().close()
    for thread in bridge_threads():
        thread.join(TIMEOUT)

    assert response.body == b"begun, done"
    assert application.said == ["startup", "shutdown"]


# -- shutdown at exit -------------------------------------------------------------------------------------------

TALKATIVE = """
async def talkative(scope, receive, send):
    if scope["type"] != "lifespan":
        return await respond(send)
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    print("shut down in", os.getpid(), flush=True)
    await send({"type": "lifespan.shutdown.complete"})
"""


@pytest.mark.parametrize("options", OPTIONS)
def test_shutdown_at_exit(options: dict[str, Any]) -> None:
    """Issue 3: of an application that nobody closed, once."""
    options = {name: value for name, value in options.items() if name != "loop_factory"}
    out = run_script(
        TALKATIVE
        + f"""
adapter = AsgiToWsgi(talkative, **{options!r})
Server(adapter).serve()
print("served by", os.getpid())
"""
    )

    served, shut_down = out.splitlines()
    assert shut_down.removeprefix("shut down in") == served.removeprefix("served by")


def test_shutdown_at_exit_comes_once() -> None:
    """Not again after close(), nor for an adapter that is collected before; that one is waited for."""
    out = run_script(
        TALKATIVE
        + """
closed = AsgiToWsgi(talkative)
closed.startup()
closed.close()
collected = AsgiToWsgi(talkative)
collected.startup()
del collected
never_started = AsgiToWsgi(talkative)
"""
    )

    assert out.count("shut down") == 2


def test_shutdown_that_hangs_at_exit_is_given_up() -> None:
    """shutdown_timeout holds there too."""
    run_script(
        """
async def hangs(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await asyncio.Event().wait()

AsgiToWsgi(hangs, shutdown_timeout=0.1).startup()
adapter = AsgiToWsgi(hangs, shutdown_timeout=0.1)
adapter.startup()
""",
        says="shutdown_timeout",
    )


def test_interpreter_ends_during_a_startup() -> None:
    """A daemon thread of the server waits for a startup that takes long; the exit does not."""
    run_script("""
called = threading.Event()

async def slow(scope, receive, send):
    await receive()
    called.set()
    await asyncio.Event().wait()

adapter = AsgiToWsgi(slow, startup_timeout=1000)
threading.Thread(target=adapter.startup, daemon=True).start()
assert called.wait(20)
""")


@pytest.mark.parametrize(
    "call", ["asyncio.to_thread(len, [])", "asyncio.get_running_loop().getaddrinfo('localhost', 1)"]
)
def test_interpreter_ends_after_an_application_that_used_threads(call: str) -> None:
    """The loop's executor cannot be joined by a thread that cannot be started any more: not a word about it."""
    run_script(f"""
async def application(scope, receive, send):
    assert scope["type"] == "http"
    await {call}
    await respond(send)

for loop in ("shared", "request"):
    adapter = AsgiToWsgi(application, loop=loop)
    Server(adapter).serve()
    globals()[loop] = adapter
""")


def test_application_with_lifespan_is_not_asked_twice_in_one_process_after_a_fork() -> None:
    """DESIGN: loops and threads are made again after a fork, and each process shuts down what it started."""
    out = run_script(
        TALKATIVE
        + """
adapter = AsgiToWsgi(talkative)
adapter.startup()

def child():
    Server(adapter).serve()
    print("child", os.getpid(), flush=True)

def idle_child():
    pass

in_child(child)
in_child(idle_child)
print("parent", os.getpid(), flush=True)
"""
    )

    child, child_down, parent, parent_down = out.splitlines()
    assert child_down == child.replace("child", "shut down in")
    assert parent_down == parent.replace("parent", "shut down in")

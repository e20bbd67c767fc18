"""What an exchange leaves on its loop, and the loops themselves: clean, bounded, of any kind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import anyio.lowlevel
import pytest
import sniffio
import uvloop

from bridge import AsgiToWsgi, ClientDisconnected, ConfigurationError
from tests.asgi import TIMEOUT, Receive, Scope, Send, bridge_threads
from tests.asgi_to_wsgi.helpers import Adapt, adapting, in_threads, ok, respond
from tests.asgi_to_wsgi.kinds import Kind, Serve, kinds
from tests.asgi_to_wsgi.server import Server, request


@pytest.fixture
def adapt() -> Iterator[Adapt]:
    """Make adapters that are closed after the test."""
    with adapting() as make:
        yield make


# A loop of asyncio, or uvloop, that an exchange has for itself; and what it leaves there ends with it.
on_request_loops = kinds(lambda kind: not kind.shared and not kind.is_trio)


class Nursery:
    """An application that leaves tasks behind, and keeps no reference to them."""

    def __init__(self, *functions: Callable[[], Any], after: bool = False) -> None:
        self.functions = functions
        self.after = after  # after the last message
        self.loops: list[Any] = []  # the loop of each request; weak references
        self.left: list[int] = []  # tasks that each request found

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loops.append(weakref.ref(asyncio.get_running_loop()))
        names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
        self.left.append(sum(name in LEFT_BEHIND for name in names))
        functions = self.functions if scope["path"] == "/leave" else ()
        if not self.after:
            await self.begin(functions)
        await respond(send)
        if self.after:
            await self.begin(functions)

    async def begin(self, functions: tuple[Callable[[], Any], ...]) -> None:
        for function in functions:
            asyncio.ensure_future(function())  # noqa: RUF006
        if not self.after:
            await asyncio.sleep(0)  # they run up to their first wait


def leave(server: Server) -> None:
    """Serve the request that leaves something behind."""
    assert server.serve(request(path="/leave")).body == b"ok"


LEFT_BEHIND = {"waits_for_ever", "puts_away_slowly", "begins_another_when_cancelled", "Stubborn.goes_on"}

ended: list[str] = []


async def waits_for_ever() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("waits_for_ever")


async def puts_away_slowly() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        ended.append("puts_away_slowly")


async def fails_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise ConnectionError("lost") from None


async def begins_another_when_cancelled() -> None:
    try:
        await asyncio.Event().wait()
    finally:
        asyncio.ensure_future(waits_for_ever())  # noqa: RUF006


class Stubborn:
    """A task that ignores its cancellation until the test lets it end."""

    def __init__(self) -> None:
        self.cancelled = 0
        self.enough = False

    async def goes_on(self) -> None:
        while not self.enough:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled += 1
            except GeneratorExit:
                return  # its loop is gone


@pytest.fixture(autouse=True)
def _nothing_ended() -> None:
    ended.clear()


# -- tasks ------------------------------------------------------------------------------------------------------


@on_request_loops
@pytest.mark.parametrize("after", [False, True], ids=["before the end", "after the end"])
def test_left_over_task_is_cancelled_and_awaited(
    kind: Kind, serve: Serve, after: bool, bridge_log: list[logging.LogRecord]
) -> None:
    """Issue 3: with one warning that names the coroutine, and no "Task was destroyed"."""
    nursery = Nursery(puts_away_slowly, after=after)
    server = serve(nursery)

    leave(server)
    gc.collect()

    assert ended == ["puts_away_slowly"]
    assert [record.levelname for record in bridge_log] == ["WARNING"]
    assert "puts_away_slowly" in bridge_log[0].getMessage()
    assert "shared" in bridge_log[0].getMessage()  # what to do


@on_request_loops
def test_left_over_tasks_are_one_warning(kind: Kind, serve: Serve, bridge_log: list[logging.LogRecord]) -> None:
    """A line a request, however many there are."""
    server = serve(Nursery(*[waits_for_ever] * 10, *[puts_away_slowly] * 10))

    leave(server)

    assert len(bridge_log) == 1
    assert "20" in bridge_log[0].getMessage()
    assert bridge_log[0].getMessage().count("puts_away_slowly") == 1
    assert sorted(ended) == ["puts_away_slowly"] * 10 + ["waits_for_ever"] * 10


@on_request_loops
def test_next_request_gets_the_loop_clean(kind: Kind, serve: Serve, bridge_log: list[logging.LogRecord]) -> None:
    """DESIGN: and gets it clean. The loop is kept."""
    nursery = Nursery(waits_for_ever, puts_away_slowly)
    server = serve(nursery)

    leave(server)
    server.serve()

    assert nursery.left == [0, 0]
    assert nursery.loops[0]() is nursery.loops[1]()
    assert len(bridge_log) == 1


@on_request_loops
def test_task_that_a_left_over_task_begins_is_left_over(
    kind: Kind, serve: Serve, bridge_log: list[logging.LogRecord]
) -> None:
    """What a finally block starts must not wake up in another request."""
    nursery = Nursery(begins_another_when_cancelled)
    server = serve(nursery)

    leave(server)
    server.serve()
    gc.collect()

    assert nursery.left == [0, 0]
    assert ended == ["waits_for_ever"]
    assert [record.levelname for record in bridge_log] == ["WARNING"]


@on_request_loops
def test_left_over_task_that_fails_is_logged(kind: Kind, serve: Serve, bridge_log: list[logging.LogRecord]) -> None:
    """Its error belongs to nobody, and asyncio's "never retrieved" would come some time later."""
    server = serve(Nursery(fails_when_cancelled))

    leave(server)
    gc.collect()

    assert [record.levelname for record in bridge_log] == ["WARNING", "ERROR"]
    assert bridge_log[1].exc_info is not None
    assert isinstance(bridge_log[1].exc_info[1], ConnectionError)


@on_request_loops
def test_task_that_ends_by_itself_is_not_left_over(kind: Kind, serve: Serve) -> None:
    """Not a word about a task that the application awaits, or one that has ended."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        done = asyncio.ensure_future(asyncio.sleep(0))
        await asyncio.gather(asyncio.sleep(0), asyncio.ensure_future(asyncio.sleep(0)))
        await done
        task = asyncio.ensure_future(asyncio.Event().wait())
        await respond(send)
        task.cancel()  # ends with the loop's next turn

    server = serve(application)
    for _ in range(3):
        server.serve()


@on_request_loops
def test_task_that_ignores_its_cancellation_does_not_poison_the_pool(
    kind: Kind, serve: Serve, bridge_log: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said, and its loop serves no other request."""
    monkeypatch.setattr("bridge.asgi_to_wsgi.left_overs.LEFT_OVER_GRACE", 0.0)
    monkeypatch.setattr("bridge.asgi_to_wsgi.loop_threads.LEFT_OVER_GRACE", TIMEOUT)
    stubborn = Stubborn()
    nursery = Nursery(stubborn.goes_on)
    server = serve(nursery)

    leave(server)
    first = nursery.loops[0]()
    server.serve()

    assert stubborn.cancelled >= 1
    assert nursery.left == [0, 0]
    assert nursery.loops[1]() is not first
    assert [record.levelname for record in bridge_log[:2]] == ["WARNING", "ERROR"]
    assert "goes_on" in bridge_log[0].getMessage()
    stubborn.enough = True
    del first
    gc.collect()


@kinds(lambda kind: kind.takes_turns)
def test_exchange_that_ignores_its_cancellation_does_not_poison_the_pool(
    kind: Kind, serve: Serve, bridge_log: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The application itself, and a task of its: both are left alone with one error and no "Task was destroyed"."""
    monkeypatch.setattr("bridge.asgi_to_wsgi.exchange.DISCONNECT_GRACE", 0.01)
    monkeypatch.setattr("bridge.asgi_to_wsgi.left_overs.LEFT_OVER_GRACE", 0.0)
    stubborn, child = Stubborn(), Stubborn()
    loops: list[asyncio.AbstractEventLoop] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        loops.append(asyncio.get_running_loop())
        if len(loops) == 1:
            asyncio.ensure_future(child.goes_on())  # noqa: RUF006
            await asyncio.sleep(0)  # it runs up to its first wait
        try:
            await respond(send)
        except ClientDisconnected:
            await stubborn.goes_on()

    server = serve(application, shutdown_timeout=0.01)
    server.start().close()  # without having taken the body: its client is gone
    server.serve()

    assert loops[0] is not loops[1]
    assert bridge_log[0].levelname == "ERROR"
    stubborn.enough = child.enough = True
    del loops[:]
    gc.collect()


# -- asynchronous generators ------------------------------------------------------------------------------------


class Generators:
    """An application that begins an asynchronous generator and keeps it, or drops it, unfinished."""

    def __init__(self, *, keep: bool, error: Exception | None = None, hangs: bool = False) -> None:
        self.keep = keep
        self.error = error
        self.hangs = hangs
        self.kept: list[AsyncIterator[int]] = []
        self.closed: list[bool] = []  # on the loop of its request
        self.loops: list[asyncio.AbstractEventLoop] = []

    async def numbers(self) -> AsyncIterator[int]:
        loop = asyncio.get_running_loop()
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            self.closed.append(asyncio.get_running_loop() is loop)
            if self.hangs:
                await asyncio.Event().wait()
            if self.error is not None:
                raise self.error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.loops.append(asyncio.get_running_loop())
        generator = self.numbers()
        if self.keep:
            self.kept.append(generator)
        async for _ in generator:
            break
        del generator
        await respond(send)


@on_request_loops
def test_dropped_generator_is_closed_on_its_loop(kind: Kind, serve: Serve) -> None:
    """Its finally block runs before the loop serves another request."""
    application = Generators(keep=False)
    server = serve(application)

    for number in range(1, 4):
        server.serve()
        assert application.closed == [True] * number


# uvloop does not show which generators it has.
on_request_loops_of_asyncio = kinds(lambda kind: not kind.shared and not kind.is_trio and "uvloop" not in kind.name)


@on_request_loops_of_asyncio
def test_kept_generator_is_closed(kind: Kind, serve: Serve) -> None:
    """DESIGN: async generators closed, those as well that something still refers to."""
    application = Generators(keep=True)
    server = serve(application)

    for number in range(1, 4):
        server.serve()
        assert application.closed == [True] * number
    assert len(set(application.loops)) == 1


@on_request_loops_of_asyncio
def test_generator_that_fails_when_closed_is_logged(
    kind: Kind, serve: Serve, bridge_log: list[logging.LogRecord]
) -> None:
    """The response is complete, so its server is told nothing; the loop is clean and stays."""
    application = Generators(keep=True, error=ConnectionError("lost"))
    server = serve(application)

    server.serve()
    server.serve()

    assert [record.levelname for record in bridge_log] == ["ERROR", "ERROR"]
    assert len(set(application.loops)) == 1


@on_request_loops_of_asyncio
def test_generator_that_hangs_when_closed_does_not_hang_the_server(
    kind: Kind, serve: Serve, bridge_log: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is cancelled after a while, and that is said."""
    monkeypatch.setattr("bridge.asgi_to_wsgi.left_overs.LEFT_OVER_GRACE", 0.2)
    application = Generators(keep=True, hangs=True)
    server = serve(application)

    server.serve()

    assert [record.levelname for record in bridge_log] == ["ERROR"]


# -- the pool ---------------------------------------------------------------------------------------------------


def descriptors() -> int:
    """Count the open descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


class Together:
    """An application in which *count* requests are at once."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count)
        self.loops: set[asyncio.AbstractEventLoop] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        self.loops.add(loop)
        self.barrier.wait(TIMEOUT)
        await respond(send)


def quiet_loop() -> asyncio.AbstractEventLoop:
    """Make a loop that may be blocked: the applications here do it to be at once, and the threads are many."""
    loop = asyncio.new_event_loop()
    loop.slow_callback_duration = TIMEOUT
    return loop


def test_pool_of_loops_is_bounded(adapt: Adapt) -> None:
    """DESIGN: nothing unbounded. What is more than the pool keeps is closed; close() closes the rest."""
    application = Together(100)
    adapter = adapt(application, loop="request", lifespan="off", loop_factory=quiet_loop)
    before = descriptors()

    in_threads(100, Server(adapter).serve)

    idle = [loop for loop in application.loops if not loop.is_closed()]
    assert len(application.loops) == 100
    assert 0 < len(idle) <= 64
    adapter.close()
    assert [loop.is_closed() for loop in application.loops] == [True] * 100
    application.loops.clear()
    gc.collect()
    assert descriptors() <= before


def test_pool_of_threads_is_bounded(adapt: Adapt) -> None:
    """The same for loops in threads of their own, which a server in a loop gets."""
    application = Together(50)
    adapter = adapt(application, loop="request", lifespan="off", loop_factory=quiet_loop)

    in_threads(50, Server(adapter, in_loop=True).serve)

    assert len(application.loops) == 50
    assert 0 < len(bridge_threads()) <= 32
    adapter.close()
    assert bridge_threads() == []
    assert [loop.is_closed() for loop in application.loops] == [True] * 50


# -- kinds of loop ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["request", "shared"])
def test_uvloop(adapt: Adapt, mode: str) -> None:
    """Issue 3: ``loop_factory=uvloop.new_event_loop`` works."""
    loops: list[Any] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        loops.append(asyncio.get_running_loop())
        assert await asyncio.get_running_loop().run_in_executor(None, str, 1) == "1"
        await asyncio.wait_for(asyncio.sleep(0), TIMEOUT)
        await respond(send)

    server = Server(adapt(application, loop=mode, lifespan="off", loop_factory=uvloop.new_event_loop))
    for _ in range(3):
        assert server.serve().body == b"ok"

    assert [type(loop) for loop in loops] == [uvloop.Loop] * 3
    assert len(set(loops)) == 1


def test_loop_factory_makes_every_loop(adapt: Adapt) -> None:
    """That of the lifespan, those of requests, and those for a server in a loop."""
    made: list[asyncio.AbstractEventLoop] = []
    used: list[asyncio.AbstractEventLoop] = []

    def loop_factory() -> asyncio.AbstractEventLoop:
        made.append(asyncio.new_event_loop())
        return made[-1]

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        used.append(asyncio.get_running_loop())
        await ok(scope, receive, send)

    adapter = adapt(application, loop_factory=loop_factory)
    Server(adapter).serve()
    Server(adapter, in_loop=True).serve()

    assert used == made
    assert len(set(used)) == 3


@pytest.mark.parametrize("mode", ["request", "shared"])
def test_loop_factory_that_fails_is_the_servers_to_see(adapt: Adapt, mode: str) -> None:
    """And nothing hangs or stays; it is tried again with the next request."""
    fails = [True]

    def loop_factory() -> asyncio.AbstractEventLoop:
        if fails:
            raise OSError("too many open files")
        return asyncio.new_event_loop()

    server = Server(adapt(ok, loop=mode, lifespan="off", loop_factory=loop_factory))
    with pytest.raises(OSError, match="too many open files"):
        server.serve()
    assert bridge_threads() == []
    fails.clear()

    assert server.serve().body == b"ok"


@pytest.mark.parametrize("mode", ["request", "shared"])
def test_trio(adapt: Adapt, mode: str) -> None:
    """Issue 3: backend="trio" runs the application on trio."""
    libraries: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        import trio

        libraries.append(sniffio.current_async_library())
        await trio.lowlevel.checkpoint()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.lowlevel.checkpoint)
        assert await anyio.to_thread.run_sync(str, 1) == "1"
        await respond(send)

    server = Server(adapt(application, loop=mode, lifespan="off", backend="trio"))
    for _ in range(3):
        assert server.serve().body == b"ok"

    assert libraries == ["trio"] * 3


def test_loop_factory_with_trio_is_refused() -> None:
    """A loop of asyncio's cannot run trio; the message says what the option is for."""
    with pytest.raises(ConfigurationError, match=r"loop_factory.*asyncio"):
        AsgiToWsgi(ok, backend="trio", loop_factory=asyncio.new_event_loop)


@kinds(lambda kind: kind.shared)
def test_tasks_on_the_shared_loop_outlive_their_request(kind: Kind, serve: Serve) -> None:
    """What loop="shared" is for: nothing is cancelled between requests, and all of it at the end."""
    begun: list[str] = []
    put_away = threading.Event()
    groups: list[Any] = []

    async def background() -> None:
        begun.append("background")
        try:
            await anyio.sleep_forever()
        finally:
            put_away.set()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if not groups:
            if kind.is_trio:
                import trio

                groups.append(trio.lowlevel.spawn_system_task(background))
            else:
                groups.append(asyncio.ensure_future(background()))
        await respond(send)

    server = serve(application)
    server.serve()
    server.serve()

    assert not put_away.is_set()
    adapter: Any = server.application
    adapter.close()
    assert begun == ["background"]
    assert put_away.is_set()

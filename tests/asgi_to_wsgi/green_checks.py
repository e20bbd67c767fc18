"""What test_green.py runs in an interpreter of its own, since a patch cannot be taken back.

``python green_checks.py LIBRARY early|late CHECK``: patch before or after bridge is imported, then call CHECK.
"""

from __future__ import annotations

import asyncio
import contextvars
import faulthandler
import gc
import importlib
import itertools
import logging
import os
import signal as unix_signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

TIMEOUT = 10.0  # seconds; what takes longer hangs
library, order, check = sys.argv[1:]


def patch() -> None:
    if library == "gevent":
        importlib.import_module("gevent.monkey").patch_all()
    elif library == "eventlet":
        importlib.import_module("eventlet").monkey_patch()


if order == "early":
    patch()

from bridge.asgi_to_wsgi import green  # noqa: E402


def original(name: str) -> Any:
    """Return what _thread has below the patch."""
    if library == "gevent":
        return importlib.import_module("gevent.monkey").get_original("_thread", name)
    if library == "eventlet":
        return getattr(importlib.import_module("eventlet.patcher").original("_thread"), name)
    return getattr(importlib.import_module("_thread"), name)


def start(function: Callable[..., object], *args: Any) -> threading.Thread:
    """Start a greenlet, or a thread where nothing is patched."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread


def wait_for(signal: green.Wakeable, condition: Callable[[], object]) -> None:
    began = time.monotonic()
    while not condition():
        signal.wait(TIMEOUT)
        # Not only the condition: a wait that its own timeout ended was not woken.
        assert time.monotonic() - began < TIMEOUT / 2, "waited in vain"


def waking(signals: list[green.Wakeable]) -> Callable[[], None]:
    """Return what wakes *signals*, one after the other."""

    def wake() -> None:
        for signal in signals:
            signal.wake()

    return wake


def in_native_thread(function: Callable[[], object]) -> None:
    """Run *function* in another thread of the system, and raise here what it raised."""
    signal = green.make_signal()
    errors: list[BaseException | None] = []

    def run() -> None:
        error: BaseException | None = None
        try:
            function()
        except BaseException as raised:
            error = raised
        errors.append(error)
        signal.wake()

    original("start_new_thread")(run, ())
    wait_for(signal, lambda: errors)
    if errors[0] is not None:
        raise errors[0]


class Loop:
    """An event loop in a thread, or in a greenlet."""

    def __init__(self) -> None:
        loops: list[asyncio.AbstractEventLoop] = []
        signal = green.make_signal()

        def run() -> None:
            loop = green.new_event_loop()
            loop.call_soon(loops.append, loop)
            loop.call_soon(signal.wake)
            try:
                loop.run_forever()
            except BaseException:  # a greenlet may be killed, and says nothing then
                traceback.print_exc()
                raise
            loop.close()

        self.thread = green.start_thread(run, "loop")
        wait_for(signal, lambda: loops)
        self.loop = loops[0]

    def begin(self, coroutine: Coroutine[Any, Any, Any]) -> Callable[[], Any]:
        """Start *coroutine*; what is returned waits for its result."""
        signal = green.make_signal()
        results: list[Any] = []
        errors: list[BaseException] = []

        async def run() -> None:
            try:
                results.append(await asyncio.wait_for(coroutine, TIMEOUT))
            except BaseException as error:
                errors.append(error)
            signal.wake()

        task: list[asyncio.Task[None]] = []
        self.loop.call_soon_threadsafe(lambda: task.append(self.loop.create_task(run())))

        def result() -> Any:
            wait_for(signal, lambda: results or errors)
            if errors:
                raise errors[0]
            return results[0]

        return result

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.begin(coroutine)()

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(TIMEOUT)
        assert not self.thread.is_alive()
        assert self.loop.is_closed()


# -- signals ----------------------------------------------------------------------------------------------------------


def waiting_lets_other_greenlets_run() -> None:
    first, second = green.make_signal(), green.make_signal()
    told: list[str] = []

    def answer() -> None:
        wait_for(second, lambda: told == ["asked"])
        told.append("answered")
        first.wake()

    start(answer)
    told.append("asked")
    second.wake()
    wait_for(first, lambda: told == ["asked", "answered"])


def joining_lets_other_greenlets_run() -> None:
    signal = green.make_signal()
    joined: list[bool] = []

    def run() -> None:
        assert threading.current_thread().name == "named"
        assert threading.current_thread().daemon
        signal.wait(TIMEOUT)

    thread = green.start_thread(run, "named")
    assert not green.join(thread, 0.0)

    def join() -> None:
        joined.append(green.join(thread, TIMEOUT))

    began = time.monotonic()
    others = [start(join) for _ in range(3)]
    start(signal.wake)
    join()
    for other in others:
        other.join(TIMEOUT)
    assert joined == [True] * 4
    assert time.monotonic() - began < TIMEOUT / 2, "the end of the thread was not told"


def native_thread_alone_wakes() -> None:
    # Nothing else is there that could: gevent takes that for a deadlock.
    signal = green.make_signal()
    go_on: Any = original("allocate_lock")()
    go_on.acquire()

    def wake() -> None:
        go_on.acquire(timeout=TIMEOUT)
        signal.wake()

    original("start_new_thread")(wake, ())
    start(go_on.release)
    signal.wait()


def wake_before_wait_is_not_lost() -> None:
    signal = green.make_signal()
    for wake in (signal.wake, lambda: in_native_thread(signal.wake), lambda: start(signal.wake).join(TIMEOUT)):
        wake()
        began = time.monotonic()
        signal.wait(TIMEOUT)
        assert time.monotonic() - began < TIMEOUT / 2


def wakes_coalesce() -> None:
    signal = green.make_signal()
    done: list[None] = []
    for _ in range(1000):
        signal.wake()
    in_native_thread(waking([signal] * 1000))

    def finish() -> None:
        done.append(None)
        signal.wake()

    start(finish)
    wait_for(signal, lambda: done)


def wait_ends_with_its_timeout() -> None:
    for timeout in (0.0, 0.01):
        green.make_signal().wait(timeout)


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def signals_hold_no_descriptor() -> None:
    def use() -> green.Wakeable:
        signal = green.make_signal()
        signal.wake()
        signal.wait(TIMEOUT)
        return signal

    use()  # what the first signal sets up serves all others
    before = descriptors()
    kept = [use() for _ in range(1000)]
    assert descriptors() == before
    assert len(kept) == 1000


def loops_leave_no_descriptor() -> None:
    def use() -> None:
        loop = Loop()
        loop.run(use_workers())
        loop.stop()

    use()
    before = descriptors()
    for _ in range(20):
        use()
    assert descriptors() == before


def each_wake_releases_its_own_waiter() -> None:
    changed = green.make_signal()
    signals: dict[int, green.Wakeable] = {}
    woken: list[int] = []

    def waiter(number: int) -> None:
        signals[number] = green.make_signal()
        changed.wake()
        signals[number].wait(TIMEOUT)
        woken.append(number)
        changed.wake()

    for number in range(100):
        start(waiter, number)
    wait_for(changed, lambda: len(signals) == 100)
    for first in (0, 1):
        woken.clear()
        in_native_thread(waking([signals[number] for number in range(first, 100, 2)]))
        wait_for(changed, lambda: len(woken) >= 50)
        assert sorted(woken) == list(range(first, 100, 2))


def in_fork(parent: Callable[[], object], child: Callable[[], object]) -> None:
    """Fork, and call one in each process; both have to return."""
    # A pipe and not os.waitpid(): gevent's never returns if the child is quick, in a process of gevent's alone.
    read, write = os.pipe()
    if os.fork() == 0:
        try:
            unix_signal.alarm(int(TIMEOUT))  # not inherited, and the parent waits
            child()
            os.write(write, b"x")
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write)
    parent()
    assert os.read(read, 1) == b"x"


def begin_child() -> None:
    if library == "eventlet":
        importlib.import_module("eventlet.hubs").use_hub()  # eventlet asks that of who forks


def signals_work_in_a_forked_child() -> None:
    def use() -> None:
        for _ in range(10):
            waiting_lets_other_greenlets_run()

    def use_in_child() -> None:
        begin_child()
        use()

    use()
    in_fork(use, use_in_child)  # both at once, so that neither may take what is meant for the other


def loops_stay_with_the_parent_of_a_fork() -> None:
    loop = Loop()
    number = os.getpid()

    async def here() -> None:
        await after(0.0001)
        assert os.getpid() == number

    def use() -> None:
        for _ in range(100):
            loop.run(here())

    def use_in_child() -> None:
        begin_child()
        gc.collect()
        for _ in range(20):
            green.make_signal().wait(0.005)  # the parent's loop may take here what is meant for it there
        another = Loop()
        another.run(use_workers())
        another.stop()

    use()
    in_fork(use, use_in_child)
    use()
    loop.stop()


# -- event loops ------------------------------------------------------------------------------------------------------


async def after(delay: float) -> None:
    """Wait for *delay* seconds."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()
    loop.call_later(delay, ended.set_result, None)
    await ended


async def use_workers() -> None:
    from anyio.to_thread import run_sync
    from asgiref.sync import sync_to_async

    await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    await run_sync(lambda: None)
    await sync_to_async(lambda: None, thread_sensitive=False)()


async def spin() -> None:
    """Keep a loop busy."""
    for _ in itertools.count():
        await asyncio.sleep(0)


variable = contextvars.ContextVar("variable", default="unset")


def loop_serves_what_asyncio_offers() -> None:
    import anyio.lowlevel
    from anyio.from_thread import run
    from anyio.to_thread import run_sync

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        writer.close()

    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"hello\n")
        answer = await reader.readline()
        writer.close()
        return answer

    async def main() -> None:
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(after(0.001) for _ in range(100)))
        assert await loop.run_in_executor(None, lambda: "executed") == "executed"
        assert (await loop.getaddrinfo("localhost", 80))[0][4][1] == 80
        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        assert set(await asyncio.gather(*(ask(port) for _ in range(20)))) == {b"hello\n"}
        server.close()

        variable.set("set")
        both = threading.Barrier(2)

        async def back(value: str) -> str:
            await anyio.lowlevel.checkpoint()
            return value

        def worker() -> str:
            both.wait(TIMEOUT)  # two at a time, or none
            return run(back, variable.get())

        assert list(await asyncio.gather(run_sync(worker), run_sync(worker))) == ["set", "set"]

    first, second = Loop(), Loop()
    ended = [first.begin(main()), second.begin(main())]
    for end in ended:
        end()
    first.stop()
    second.stop()


def worker_of_a_loop_finds_no_running_loop() -> None:
    from asgiref.sync import async_to_sync, sync_to_async

    async def numbers() -> AsyncGenerator[int, None]:
        yield 1
        yield 2

    async def nested() -> int:
        total = 0
        async for number in numbers():
            await asyncio.sleep(0)
            total += number
        return total

    def worker() -> int:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run(nested())
        raise AssertionError("the loop of the thread seems to run in its worker")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        generators: list[AsyncGenerator[int, None]] = []
        tasks = [loop.run_in_executor(None, worker) for _ in range(4)]
        for _ in range(20):
            generator = numbers()
            await generator.__anext__()
            generators.append(generator)
            await asyncio.sleep(0)
        assert await asyncio.gather(*tasks) == [3] * 4
        assert asyncio.get_running_loop() is loop
        # None was taken for a generator of a loop that has ended meanwhile, which closes its own.
        assert [await generator.__anext__() for generator in generators] == [2] * 20
        for generator in generators:
            await generator.aclose()

        async def inner() -> bool:
            return asyncio.get_running_loop() is loop

        for sensitive in (True, False):
            assert await sync_to_async(async_to_sync(inner), thread_sensitive=sensitive)()

    loop = Loop()
    loop.run(main())
    loop.stop()


def loops_run_at_the_same_time() -> None:
    # Each turn ends only with one of the other loop, or of the greenlet beside them, though none awaits.
    turns = [threading.Event() for _ in range(10)]

    def take_turns(numbers: range) -> bool:
        for number in numbers:
            if not turns[number].wait(TIMEOUT):
                return False
            if number + 1 < len(turns):
                turns[number + 1].set()
        return True

    async def main(number: int) -> bool:
        loop = asyncio.get_running_loop()
        passed = take_turns(range(number, 10, 3))
        await asyncio.sleep(0)
        assert asyncio.get_running_loop() is loop
        return passed

    loops = Loop(), Loop()
    ended = [loop.begin(main(number)) for number, loop in enumerate(loops)]
    served: list[bool] = []
    greenlet = start(lambda: served.append(take_turns(range(2, 10, 3))))
    turns[0].set()
    assert [end() for end in ended] == [True, True]
    greenlet.join(TIMEOUT)
    assert served == [True]
    for loop in loops:
        loop.stop()


def busy_hub_lets_its_loops_run() -> None:
    done: list[None] = []
    pause = importlib.import_module("time").sleep

    def busy() -> None:
        while not done:
            pause(0)

    others = [start(busy) for _ in range(3)]
    loop = Loop()
    for _ in range(3):
        loop.run(use_workers())
        loop.run(after(0.001))
    loop.stop()
    done.append(None)
    for other in others:
        other.join(TIMEOUT)
        assert not other.is_alive()


def both_sides_may_log() -> None:
    handler = logging.StreamHandler(open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    logger = logging.getLogger("both")
    logger.propagate = False
    logger.addHandler(handler)
    loop = Loop()
    served: list[None] = []

    async def application(number: int) -> None:
        logger.warning("before %d", number)
        await asyncio.sleep(0)
        logger.warning("after %d", number)

    def serve() -> None:
        for number in range(20):
            result = loop.begin(application(number))
            logger.warning("access %d", number)
            result()
        served.append(None)

    greenlets = [start(serve) for _ in range(20)]
    for greenlet in greenlets:
        greenlet.join(TIMEOUT)
    assert len(served) == 20
    loop.stop()
    handler.stream.close()


def only_what_runs_a_loop_sees_it() -> None:
    def running() -> asyncio.AbstractEventLoop | None:
        return asyncio._get_running_loop()

    greenlet: Any = importlib.import_module("greenlet") if library != "none" else None
    switches: list[str] = []
    if greenlet is not None:
        greenlet.settrace(lambda event, _: switches.append(event))  # as who was there before
    loops = [Loop() for _ in range(3)]
    tracer = greenlet and greenlet.gettrace()

    async def block() -> bool:
        before = running(), *sys.get_asyncgen_hooks()
        threading.Event().wait(0.001)  # others run meanwhile, and await nothing
        return (running(), *sys.get_asyncgen_hooks()) == before and running() is not None

    for _ in range(10):
        results = [loop.begin(block()) for loop in loops]
        seen: list[Any] = []
        start(lambda seen=seen: seen.append((running(), *sys.get_asyncgen_hooks()))).join(TIMEOUT)
        assert seen == [(None, None, None)]
        assert running() is None
        assert [result() for result in results] == [True] * 3
    for loop in loops:
        loop.stop()
    if greenlet is not None:
        assert greenlet.gettrace() is tracer, "traced more than once"
        assert "switch" in switches, "the tracer that was there before is called no more"


def other_threads_of_the_system_have_loops() -> None:
    Loop().run(use_workers())
    done: Any = original("allocate_lock")()
    done.acquire()
    errors: list[BaseException] = []

    def run() -> None:
        try:
            only_what_runs_a_loop_sees_it()
        except BaseException as error:
            errors.append(error)
        finally:
            done.release()

    original("start_new_thread")(run, ())
    # Stops all greenlets here: locks of threading are for one thread of the system at a time.
    assert done.acquire(timeout=TIMEOUT)
    assert errors == []


def unfit_loops_are_refused() -> None:
    import pytest

    from bridge.errors import ConfigurationError

    green.check_backend("asyncio", None)
    for backend, factory, why in (("trio", None, "select.epoll"), ("asyncio", asyncio.new_event_loop, "loop_factory")):
        if library == "none":
            green.check_backend(backend, factory)
        else:
            with pytest.raises(ConfigurationError, match=f"(?s){why}.*{library}|{library}.*{why}"):
                green.check_backend(backend, factory)


def idle_loop_rests() -> None:
    loop = Loop()
    selector: Any = vars(loop.loop)["_selector"]
    select = selector.select
    turns: list[None] = []

    def counting(timeout: float | None = None) -> Any:
        turns.append(None)
        return select(timeout)

    selector.select = counting
    for _ in range(20):
        loop.run(asyncio.sleep(0))
        green.make_signal().wait(0.005)
    assert 20 <= len(turns) < 200
    loop.stop()


def busy_loop_lets_its_workers_run() -> None:
    async def main() -> str:
        busy = [asyncio.ensure_future(spin()) for _ in range(3)]
        here, there = socket.socketpair()
        here.setblocking(False)
        there.sendall(b"x")
        loop = asyncio.get_running_loop()
        assert await loop.sock_recv(here, 1) == b"x"
        result = await loop.run_in_executor(None, lambda: "executed")
        for task in busy:
            task.cancel()
        here.close()
        there.close()
        return result

    loop = Loop()
    assert loop.run(main()) == "executed"
    loop.stop()


# -- exits: each ends with the script ---------------------------------------------------------------------------------


def exit_with_idle_loops() -> None:
    for _ in range(3):
        Loop().run(use_workers())


def exit_with_busy_loops() -> None:
    for _ in range(3):
        loop = Loop()
        loop.run(use_workers())
        loop.begin(spin())


def exit_after_the_loops() -> None:
    for _ in range(3):
        loop = Loop()
        loop.run(use_workers())
        loop.stop()


# -- the patch --------------------------------------------------------------------------------------------------------


def patch_is_recognised() -> None:
    assert green.patched_by() == (None if library == "none" else library)


def nothing_is_imported() -> None:
    assert "gevent" not in sys.modules
    assert "eventlet" not in sys.modules
    loop = Loop()
    loop.stop()
    assert "gevent" not in sys.modules
    assert "eventlet" not in sys.modules


# A busy machine makes callbacks slow, which asyncio reports in its debug mode.
logging.getLogger("asyncio").addFilter(lambda record: not record.getMessage().startswith("Executing "))
faulthandler.dump_traceback_later(2 * TIMEOUT, exit=True)
if order == "late":
    assert green.patched_by() is None
    if library != "none":
        importlib.import_module(library)
        assert green.patched_by() is None
    patch()
globals()[check]()
sys.stdout.write("passed\n")

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


class Gate:
    """What one thread of the system waits for, and with it all its greenlets, until another opens it."""

    def __init__(self) -> None:
        self._lock = original("allocate_lock")()
        self._lock.acquire()

    def open(self) -> None:
        self._lock.release()

    def passed(self) -> bool:
        """Wait; False: nobody opened it."""
        return bool(self._lock.acquire(timeout=TIMEOUT))


def native_id() -> int:
    return int(original("get_native_id")())


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


def real_thread(function: Callable[[], object], name: str = "real") -> None:
    """Run *function* in a real thread and raise here what it raised."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            function()
        except BaseException as error:
            errors.append(error)

    thread = green.start_real_thread(run, name)
    thread.join(TIMEOUT)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


class Loop:
    """An event loop in a real thread."""

    def __init__(self) -> None:
        loops: list[asyncio.AbstractEventLoop] = []
        signal = green.make_signal()

        def run() -> None:
            loop = green.new_event_loop()
            loop.call_soon(loops.append, loop)
            loop.call_soon(signal.wake)
            loop.run_forever()
            loop.close()

        self.thread = green.start_real_thread(run, "loop")
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


def greenlet_that_opens(gate: Gate) -> Callable[[], None]:
    """Start a greenlet that waits; what is returned, called in a real thread, has it open *gate* as soon as it can run.

    Since it waits already it can do so only while whoever started the real thread gives way.
    """
    signals: list[green.Wakeable] = []
    ready = green.make_signal()
    called: list[None] = []

    def run() -> None:
        signals.append(green.make_signal())
        ready.wake()
        wait_for(signals[0], lambda: called)
        gate.open()

    def call() -> None:
        called.append(None)
        signals[0].wake()

    start(run)
    wait_for(ready, lambda: signals)
    return call


def waiting_lets_other_greenlets_run() -> None:
    signal, gate = green.make_signal(), Gate()
    passed: list[bool] = []
    call = greenlet_that_opens(gate)

    def run() -> None:
        call()
        passed.append(gate.passed())
        signal.wake()

    green.start_real_thread(run, "caller")
    wait_for(signal, lambda: passed)
    assert passed == [True], "no other greenlet ran while one waited"


def wake_before_wait_is_not_lost() -> None:
    signal = green.make_signal()
    for wake in (signal.wake, lambda: real_thread(signal.wake), lambda: start(signal.wake).join(TIMEOUT)):
        wake()
        began = time.monotonic()
        signal.wait(TIMEOUT)
        assert time.monotonic() - began < TIMEOUT / 2


def wakes_coalesce() -> None:
    signal = green.make_signal()
    done: list[None] = []
    for _ in range(1000):
        signal.wake()
    real_thread(waking([signal] * 1000))

    def finish() -> None:
        done.append(None)
        signal.wake()

    green.start_real_thread(finish, "waker")
    wait_for(signal, lambda: done)


def wait_ends_with_its_timeout() -> None:
    for timeout in (0.0, 0.01):
        green.make_signal().wait(timeout)


def signals_hold_no_descriptor() -> None:
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    def use() -> green.Wakeable:
        signal = green.make_signal()
        signal.wake()
        signal.wait(TIMEOUT)
        return signal

    real_thread(lambda: None)
    use()  # what the first signal of a thread sets up serves all others
    before = descriptors()
    kept = [use() for _ in range(1000)]
    assert descriptors() == before
    del kept
    for _ in range(50):
        real_thread(use)
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
        real_thread(waking([signals[number] for number in range(first, 100, 2)]))
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


def signals_work_in_a_forked_child() -> None:
    def use() -> None:
        for _ in range(10):
            waiting_lets_other_greenlets_run()

    def use_in_child() -> None:
        if library == "eventlet":
            importlib.import_module("eventlet.hubs").use_hub()  # eventlet asks that of who forks
        use()

    use()
    in_fork(use, use_in_child)  # both at once, so that neither may take what is meant for the other


# -- threads ----------------------------------------------------------------------------------------------------------


def thread_is_real() -> None:
    seen: list[int] = []
    gate = Gate()

    def see() -> None:
        seen.append(native_id())
        assert threading.current_thread().name == "seer"
        assert threading.current_thread().daemon

    def see_and_block() -> None:
        see()
        assert gate.passed()

    blocked = green.start_real_thread(see_and_block, "seer")
    real_thread(see, "seer")
    gate.open()
    blocked.join(TIMEOUT)
    assert len({native_id(), *seen}) == 3
    greenlets: list[int] = []
    start(lambda: greenlets.append(native_id())).join(TIMEOUT)
    assert (greenlets == [native_id()]) is (library != "none")  # or else this test shows nothing


def joining_lets_other_greenlets_run() -> None:
    gate = Gate()
    passed: list[bool] = []
    call = greenlet_that_opens(gate)

    def run() -> None:
        call()
        passed.append(gate.passed())

    began = time.monotonic()
    green.start_real_thread(run, "caller").join(TIMEOUT)
    assert passed == [True], "no other greenlet ran while one joined"
    assert time.monotonic() - began < TIMEOUT / 2, "the end of the thread was not told"


def several_may_join() -> None:
    gate = Gate()
    joined: list[bool] = []

    def run() -> None:
        gate.passed()

    thread = green.start_real_thread(run, "real")
    thread.join(0)
    assert thread.is_alive()

    def join() -> None:
        thread.join(TIMEOUT)
        joined.append(thread.is_alive())

    began = time.monotonic()
    others = [start(join) for _ in range(3)]
    gate.open()
    for other in others:
        other.join(TIMEOUT)
    assert joined == [False] * 3
    assert time.monotonic() - began < TIMEOUT / 2, "the end of the thread was not told"


def error_ends_a_thread_and_is_reported() -> None:
    reported: list[str] = []

    def fail() -> None:
        raise LookupError("on purpose")

    threading.excepthook = lambda args: reported.append(f"{args.exc_value} in {getattr(args.thread, 'name', None)}")
    thread = green.start_real_thread(fail, "failing")
    thread.join(TIMEOUT)
    assert (reported, thread.is_alive()) == (["on purpose in failing"], False)


def threads_leave_nothing_behind() -> None:
    real_thread(lambda: None)
    gc.collect()
    known = threading.active_count()
    for _ in range(50):
        real_thread(lambda: None)
    gc.collect()
    assert threading.active_count() <= known + 1


def threads_do_not_outlive_a_fork() -> None:
    gate = Gate()

    def run() -> None:
        gate.passed()

    thread = green.start_real_thread(run, "real")

    def join_in_child() -> None:
        thread.join(TIMEOUT)
        assert not thread.is_alive()

    in_fork(lambda: None, join_in_child)
    assert thread.is_alive()
    gate.open()


async def spin() -> None:
    """Keep a loop busy."""
    for _ in itertools.count():
        await asyncio.sleep(0)


# -- event loops ------------------------------------------------------------------------------------------------------

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
        assert await asyncio.gather(*(asyncio.sleep(0.001, number) for number in range(100))) == list(range(100))
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
    # Each passes a gate that the next opens, and each wait stops a whole thread of the system: with one thread
    # too few, nobody gets on.
    first, second, third = Gate(), Gate(), Gate()

    async def one() -> bool:
        first.open()
        return third.passed()

    async def two() -> bool:
        passed = first.passed()
        second.open()
        return passed

    def served() -> None:
        assert second.passed()
        third.open()

    loops = Loop(), Loop()
    ended = [loops[0].begin(one()), loops[1].begin(two())]
    greenlet = start(served)
    assert [end() for end in ended] == [True, True]
    greenlet.join(TIMEOUT)
    for loop in loops:
        loop.stop()


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


async def use_workers() -> None:
    from anyio.to_thread import run_sync
    from asgiref.sync import sync_to_async

    await asyncio.get_running_loop().run_in_executor(None, lambda: None)
    await run_sync(lambda: None)
    await sync_to_async(lambda: None, thread_sensitive=False)()


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


faulthandler.dump_traceback_later(2 * TIMEOUT, exit=True)
if order == "late":
    assert green.patched_by() is None
    if library != "none":
        importlib.import_module(library)
        assert green.patched_by() is None
    patch()
globals()[check]()
sys.stdout.write("passed\n")

"""One adapter over many event loops, forks and interpreters that end."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import trio
import uvloop

import bridge
from bridge import WsgiToAsgi
from tests.asgi import TIMEOUT, Environ, StartResponse, request_messages, serve, upload_scope


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer with the body."""
    body: bytes = environ["wsgi.input"].read()
    start_response("200 OK", [])
    return [body]


async def ask(adapter: WsgiToAsgi) -> bytes:
    """Serve an upload, collected or streamed."""
    return (await serve(adapter, upload_scope(100), *request_messages(b"x" * 50, b"y" * 50))).body


BODY = b"x" * 50 + b"y" * 50


def run_asyncio(function: Callable[..., Any], *args: Any) -> Any:
    """Run on a new asyncio loop in debug mode."""
    return anyio.run(function, *args, backend_options={"debug": True})


def run_uvloop(function: Callable[..., Any], *args: Any) -> Any:
    """Run on a new uvloop loop in debug mode."""
    return anyio.run(function, *args, backend_options={"debug": True, "loop_factory": uvloop.new_event_loop})


def run_trio(function: Callable[..., Any], *args: Any) -> Any:
    """Run on a new trio loop."""
    return anyio.run(function, *args, backend="trio")


RUNS = [run_asyncio, run_uvloop, run_trio]


@pytest.mark.parametrize("request_buffer", [65536, 10], ids=["collected", "streamed"])
def test_several_event_loops_in_turn(request_buffer: int) -> None:
    """Test clients run one application on a loop per test, and close each."""
    adapter = WsgiToAsgi(echo, request_buffer=request_buffer)

    bodies = [asyncio.run(ask(adapter)) for _ in range(5)]
    bodies += [run(ask, adapter) for run in (*RUNS, *RUNS)]

    assert bodies == [BODY] * 11
    assert adapter.stats().threads == 1  # the thread is the adapter's, not the loop's


@pytest.mark.parametrize("first", RUNS)
@pytest.mark.parametrize("second", RUNS)
def test_two_event_loops_at_once(first: Callable[..., Any], second: Callable[..., Any]) -> None:
    """Two loops in two threads: their exchanges wait for each other inside the application."""
    barrier = threading.Barrier(2)

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        barrier.wait(TIMEOUT)
        return echo(environ, start_response)

    adapter = WsgiToAsgi(application, request_buffer=10)
    bodies: list[bytes] = []

    async def ask_often() -> None:
        bodies.extend([await ask(adapter) for _ in range(10)])

    threads = [threading.Thread(target=run, args=(ask_often,)) for run in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT)

    assert bodies == [BODY] * 20
    assert adapter.stats().served == 20


# -- processes --------------------------------------------------------------------------------------------------

PREAMBLE = """
import asyncio, logging, os, sys, threading
# "Executing ... took 0.1 seconds", which is the import of what a new process uses for the first time.
logging.getLogger("asyncio").setLevel(logging.ERROR)
from bridge import WsgiToAsgi, run_async
from tests.asgi import FakeServer, bridge_threads, serve

def application(environ, start_response):
    start_response("200 OK", [])
    yield b"served by "
    yield str(os.getpid()).encode()

def ask(adapter):
    body = asyncio.run(serve(adapter)).body
    assert body == b"served by %d" % os.getpid(), body

def in_child(function, *args):
    pid = os.fork()
    if not pid:
        try:
            function(*args)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
        sys.exit(0)  # with everything that an exit does
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"
"""


def run_script(script: str) -> str:
    """Run *script* in a new interpreter; it has to end by itself, with status 0 and without a word."""
    paths = [str(Path(path).parent.parent) for path in (bridge.__file__, str(Path(__file__).parent))]
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning", "-c", PREAMBLE + script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def test_fork_before_the_first_use() -> None:
    """A pre-forking server imports the application and forks."""
    run_script("""
adapter = WsgiToAsgi(application)
for _ in range(2):
    in_child(ask, adapter)
ask(adapter)
""")


def test_fork_after_the_first_use() -> None:
    """No thread comes along, so the child starts its own; the parent's go on."""
    run_script("""
adapter = WsgiToAsgi(application)
ask(adapter)
assert len(bridge_threads()) == 1

def check():
    assert adapter.stats().threads == 0, adapter.stats()
    ask(adapter)
    ask(adapter)

for _ in range(2):
    in_child(check)
ask(adapter)
assert adapter.stats().threads == 1
""")


def test_fork_while_exchanges_run() -> None:
    """The child inherits neither the exchanges of the parent nor its locks."""
    run_script("""
go, called = threading.Event(), threading.Event()

def busy(environ, start_response):
    if environ["PATH_INFO"] == "/busy":
        called.set()
        assert go.wait(20)
    return application(environ, start_response)

adapter = WsgiToAsgi(busy, threads=1, max_pending=0)

def hold():
    asyncio.run(serve(adapter, {"type": "http", "method": "GET", "path": "/busy", "headers": []}))

thread = threading.Thread(target=hold)
thread.start()
assert called.wait(20)

def check():
    assert (adapter.stats().busy, adapter.stats().pending) == (0, 0), adapter.stats()
    ask(adapter)

in_child(check)
go.set()
thread.join(20)
ask(adapter)
""")


def test_fork_in_the_middle_of_a_loop() -> None:
    """multiprocessing forks wherever it is called, a running loop included: the child makes its own."""
    run_script("""
adapter = WsgiToAsgi(application)

async def main():
    await serve(adapter)
    pid = os.fork()
    if not pid:
        status = 1
        try:
            thread = threading.Thread(target=ask, args=(adapter,))  # this thread has the parent's loop
            thread.start()
            thread.join(20)
            status = 0 if adapter.stats().served == 2 else 1
        finally:
            os._exit(status)
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"
    await serve(adapter)

asyncio.run(main())
""")


def test_interpreter_ends_with_idle_threads() -> None:
    """Issue 2: threads end at exit, without lifespan and without collection."""
    run_script("""
adapter = WsgiToAsgi(application)
ask(adapter)
assert len(bridge_threads()) == 1
""")


def test_interpreter_that_ends_waits_for_a_view() -> None:
    """A view in the middle of its work is finished, not torn down with the interpreter."""
    out = run_script("""
called, go = threading.Event(), threading.Event()

def view(environ, start_response):
    called.set()
    assert go.wait(20)
    print("finished", flush=True)
    start_response("200 OK", [])
    return []

adapter = WsgiToAsgi(view)

async def main():
    task = asyncio.ensure_future(serve(adapter))
    while not called.is_set():
        await asyncio.sleep(0)
    task.cancel()

asyncio.run(main())
import atexit
atexit.register(go.set)  # called first, since it is registered last
""")

    assert out == "finished\n"


@pytest.mark.parametrize("waits", ["write(b'x' * 100)", "environ['wsgi.input'].read(1)"], ids=["room", "body"])
def test_interpreter_ends_with_a_view_that_waits_for_a_closed_loop(waits: str) -> None:
    """A loop may be closed without a word to its tasks: at exit nobody can release such a view but the bridge."""
    out = run_script(f"""
logging.disable()  # asyncio: "Task was destroyed", which is what this is about
waiting = threading.Event()

def view(environ, start_response):
    write = start_response("200 OK", [])
    write(b"begun")
    waiting.set()
    try:
        while True:
            {waits}
    except OSError:
        print("told", flush=True)
        raise

adapter = WsgiToAsgi(view, request_buffer=1, response_buffer=1000)
scope = {{"type": "http", "method": "POST", "path": "/", "headers": [(b"content-length", b"100")]}}

async def main():
    server = FakeServer({{"type": "http.request", "body": b"12", "more_body": True}})
    server.hold()
    task = asyncio.ensure_future(adapter(scope, server.receive, server.send))
    while not waiting.is_set():
        await asyncio.sleep(0)
    return task

loop = asyncio.new_event_loop()
task = loop.run_until_complete(main())
loop.close()
""")

    assert out == "told\n"


def test_import_starts_nothing() -> None:
    """DESIGN, "Dependencies": no thread, no server, no framework and no optional package."""
    script = """
import sys, threading, bridge
unwanted = {"uvicorn", "flask", "click", "trio", "anyio"}
print(threading.active_count(), sorted(unwanted & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=TIMEOUT, check=True)

    assert result.stdout == "1 []\n"


def test_trio_and_asyncio_share_an_adapter_in_one_process() -> None:
    """Hypercorn's workers differ by option only: nothing is kept that belongs to one of them."""
    adapter = WsgiToAsgi(echo, request_buffer=10)

    assert trio.run(ask, adapter) == BODY
    assert asyncio.run(ask(adapter)) == BODY
    assert trio.run(ask, adapter) == BODY

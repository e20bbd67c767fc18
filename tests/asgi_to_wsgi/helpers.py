"""Small applications, server's threads and interpreters that the tests of AsgiToWsgi share."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import bridge
from bridge import AsgiToWsgi
from tests.asgi import TIMEOUT, AsgiApplication, Receive, Scope, Send
from tests.asgi_to_wsgi.kinds import last, start

T = TypeVar("T")

Adapt = Callable[..., AsgiToWsgi]  # the fixture ``adapt``


async def respond(send: Send, body: bytes = b"ok") -> None:
    """Send a whole response."""
    await send(start())
    await send(last(body))


async def ok(scope: Scope, receive: Receive, send: Send) -> None:
    """Take no part in the lifespan, as Django; answer."""
    if scope["type"] != "http":
        raise ValueError(f"Django can only handle ASGI/HTTP connections, not {scope['type']}.")
    await respond(send)


def with_lifespan(application: AsgiApplication) -> AsgiApplication:
    """Answer the lifespan in the application's place."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            await application(scope, receive, send)
            return
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    return answering


@contextmanager
def adapting() -> Iterator[Adapt]:
    """Make adapters that are closed at the end."""
    made: list[AsgiToWsgi] = []

    def make(application: AsgiApplication, **options: Any) -> AsgiToWsgi:
        made.append(AsgiToWsgi(application, **options))
        return made[-1]

    yield make
    for adapter in made:
        adapter.close()


class ServerThread:
    """A thread of the server, beside the test's."""

    def __init__(self, function: Callable[[], object]) -> None:
        self._function = function
        self._results: list[Any] = []
        self._errors: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._results.append(self._function())
        except BaseException as error:
            self._errors.append(error)

    def end(self) -> Any:
        """Wait for its end; return or raise what the function does."""
        self._thread.join(TIMEOUT)
        assert not self._thread.is_alive(), "a thread of the server did not end"
        if self._errors:
            raise self._errors[0]
        return self._results[0]


def in_threads(count: int, function: Callable[[], T]) -> list[T]:
    """Call *function* in *count* threads at once, which are the server's; return or raise what they do."""
    threads = [ServerThread(function) for _ in range(count)]
    return [thread.end() for thread in threads]


PREAMBLE = """
import asyncio, atexit, logging, os, sys, threading, time
# "Executing ... took 0.1 seconds", which is the import of what a new process uses for the first time.
logging.getLogger("asyncio").setLevel(logging.ERROR)
from bridge import AsgiToWsgi
from tests.asgi import bridge_threads
from tests.asgi_to_wsgi.helpers import ServerThread, ok, respond, with_lifespan
from tests.asgi_to_wsgi.server import Server, request
from tests.asgi_to_wsgi.kinds import chunk, last, start

def in_child(function, *args):
    pid = os.fork()
    if not pid:
        try:
            function(*args)
        except Exception:
            import traceback
            traceback.print_exc()
            os._exit(1)
        sys.exit(0)  # with everything that an exit does
    assert os.waitpid(pid, 0)[1] == 0, "the child failed"
"""


def run_script(script: str, *, says: str = "") -> str:
    """Run *script* in a new interpreter, which has to end by itself with status 0; return what it printed.

    Args:
        script: what the interpreter runs, after PREAMBLE.
        says: what its standard error holds; empty: nothing, not a word.
    """
    paths = [str(Path(path).parent.parent) for path in (bridge.__file__, str(Path(__file__).parent))]
    result = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-W", "ignore::DeprecationWarning", "-c", PREAMBLE + script],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert says in result.stderr if says else not result.stderr, result.stderr
    return result.stdout

"""A process that serves the examples of docs/frameworks.md, each on a port of its own, until its input ends.

``python -m tests.docs.served HEADING...`` writes ``{name: URL of the mount}`` when all of them can be called, and
at the end how many worker threads the shutdown of each has ended: two lines of JSON.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import uvicorn
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from waitress.server import create_server
from werkzeug.serving import make_server

from bridge import WsgiToAsgi
from bridge.protocols import AsgiApplication, Receive, Scope, Send
from compat_matrix.wire import TIMEOUT
from tests.docs import probes
from tests.docs.pages import blocks

DJANGO = "a project of Django"  # no heading: an application for the mounts of others


def main(headings: list[str]) -> None:
    """Serve the examples until the input ends."""
    with ExitStack() as stack:
        urls: dict[str, str] = {}
        stops: dict[str, ExitStack] = {}
        for example in (found for heading in headings for found in examples(heading)):
            stops[example.name] = stack.enter_context(ExitStack())
            port = stops[example.name].enter_context(example.serve(example.application))
            urls[example.name] = f"http://127.0.0.1:{port}{example.mount}"
        print(json.dumps(urls), flush=True)  # noqa: T201
        sys.stdin.read()
        print(json.dumps({name: _ended(stops[name], url) for name, url in urls.items()}))  # noqa: T201


def _ended(stop: ExitStack, url: str) -> int:
    with urlopen(f"{url}/", timeout=TIMEOUT):  # the first thread is made for a request
        pass
    before = _workers()
    stop.close()
    return len(before - _workers())


def _workers() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name.startswith("bridge-worker-")}


@dataclass(frozen=True)
class Example:
    """An application of the page, or one shaped of it, and how it is served."""

    name: str
    application: Any
    serve: Callable[[Any], AbstractContextManager[int]]  # gives the port
    mount: str = "/legacy"


def examples(heading: str) -> Iterator[Example]:
    """Make the applications below *heading*."""
    if heading == DJANGO:
        yield Example("Django in Starlette", _django_in_starlette(), in_uvicorn)
        yield Example("Django in Starlette, mount not in path", with_older_mounts(_django_in_starlette()), in_uvicorn)
        return
    names = run(heading)
    if "api" in names:
        yield Example(heading, names["app"], in_waitress if heading == "Flask" else in_werkzeug, "/api")
        return
    yield Example(heading, names["app"], in_uvicorn)
    if "by_hand" in names:
        yield Example(f"{heading}, by hand", names["by_hand"], in_uvicorn)
    if heading in ("Starlette", "FastAPI"):
        yield Example(f"{heading}, mount not in path", with_older_mounts(run(heading)["app"]), in_uvicorn)


def run(heading: str) -> dict[str, Any]:
    """Run the block below *heading* as a module, and let the application that is mounted answer the tests."""
    (code,) = blocks("frameworks.md")[heading]
    module = ModuleType(f"example_{len(sys.modules)}")
    sys.modules[module.__name__] = module  # Django looks there for its urlpatterns
    names = module.__dict__
    exec(compile(code, f"docs/frameworks.md, {heading}", "exec"), names)
    if "api" in names:
        from tests.docs import probes_fastapi  # not for every process: importing FastAPI takes half of its start

        probes_fastapi.add_to(names["api"])
    else:
        probes.add_to_flask(names["legacy"])
    return names


def _django_in_starlette() -> Starlette:
    if not settings.configured:
        settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF=tuple(probes.of_django()), SECRET_KEY="of the tests")
    home = Route("/", lambda request: PlainTextResponse("new"))
    return Starlette(routes=[home, Mount("/legacy", WsgiToAsgi(get_wsgi_application()))])


def with_older_mounts(application: Any) -> Any:
    """Let the mounts of today's Starlette call what is mounted as those of Starlette before 0.33 did.

    Source: encode/starlette at 0.32.0, starlette/routing.py, Mount.matches(): the child scope has
    ``"path": remaining_path`` beside ``"root_path": root_path + matched_path``, and no ``raw_path`` of its own.
    """

    def called_as_then(mounted: AsgiApplication) -> AsgiApplication:
        async def called(scope: Scope, receive: Receive, send: Send) -> None:
            await mounted({**scope, "path": scope["path"].removeprefix(scope["root_path"])}, receive, send)

        return called

    for route in application.routes:
        if isinstance(route, Mount):
            route.app = called_as_then(route.app)
    return application


@contextmanager
def in_uvicorn(application: Any) -> Iterator[int]:
    """Serve an ASGI application; its lifespan is over when the block ends."""
    # Connections wait in it until the startup is over. asyncio sets TCP_NODELAY only where it finds the protocol.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", http="h11", loop="asyncio"))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(TIMEOUT)


@contextmanager
def in_werkzeug(application: Any) -> Iterator[int]:
    """Serve a WSGI application on Werkzeug's development server."""
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join(TIMEOUT)
        server.server_close()


@contextmanager
def in_waitress(application: Any) -> Iterator[int]:
    """Serve a WSGI application on Waitress."""
    server = create_server(application, host="127.0.0.1", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield int(server.effective_port)
    finally:
        server.close()
        thread.join(TIMEOUT)


if __name__ == "__main__":
    main(sys.argv[1:])

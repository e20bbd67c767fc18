"""``bridge serve`` on each of its servers: applications of both interfaces, and what is the server's own."""

from __future__ import annotations

import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from typing import TYPE_CHECKING

import httpx
import pytest

from bridge.cli.servers import SERVERS
from tests.cli.serving import PATIENCE, free_address, serving
from tests.cli.sources import ASGI, ASGI_2, WSGI

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import WriteModule

OF_ITS_OWN = {
    "uvicorn": ("--header", "x-own:yes"),
    "hypercorn": ("--workers", "2"),
    "daphne": ("--server-name", "own"),
    "granian": ("--backlog", "128"),
    "gunicorn": ("--workers", "2"),
    "waitress": ("--ident=own",),
}


@pytest.fixture
def upstream() -> Iterator[str]:
    """The address of an HTTP server of its own, which answers with what it is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = f"{self.path} below {self.headers['X-Forwarded-Prefix']}".encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join(PATIENCE)


@pytest.mark.parametrize("server", SERVERS)
def test_everything_is_served_on_each_server(write_module: WriteModule, upstream: str, server: str) -> None:
    """What needs an adapter on this server has one; the server takes options of its own after ``--``."""
    if find_spec(server) is None:
        pytest.skip(f"{server} is not installed")
    write_module("web.py", WSGI)
    write_module("pages/api.py", f"{ASGI}\ndef create(): return app")
    write_module("legacy.py", ASGI_2)
    bind = "127.0.0.1:0" if SERVERS[server].says_its_port else free_address()
    mounts = ("--mount", "/api=pages/api.py:create()", "--mount", "/legacy=legacy:app", "--mount", f"/old={upstream}")
    with serving("web:app", *mounts, "--server", server, "--", *OF_ITS_OWN[server], bind=bind) as running:
        answers = [httpx.get(running.url + path) for path in ("/", "/api", "/legacy/", "/old/x?y")]
    expected = ["from WSGI", "from ASGI", "from ASGI 2", "/x?y below /old"]
    assert [answer.text for answer in answers] == expected
    if server in ("daphne", "waitress"):
        assert answers[0].headers["server"] == "own"
    if server == "uvicorn":
        assert answers[0].headers["x-own"] == "yes"


@pytest.mark.parametrize(
    ("source", "server", "answer"), [(ASGI, "gunicorn", "from ASGI"), (WSGI, "uvicorn", "from WSGI")]
)
def test_the_process_becomes_the_server(write_module: WriteModule, source: str, server: str, answer: str) -> None:
    """Whoever has started it, systemd or a container, signals the server itself, which ends in its own way."""
    write_module("web.py", source)
    with serving("web:app", "--server", server) as running:
        assert httpx.get(running.url).text == answer
        running.process.send_signal(signal.SIGTERM)
        # Uvicorn ends itself by the signal when it is done, Gunicorn with 0.
        assert running.process.wait(PATIENCE) in (0, -signal.SIGTERM)
        assert running.wait_until_said("Finished server process" if server == "uvicorn" else "Shutting down: Master")


def test_an_edit_is_served_after_a_reload(write_module: WriteModule, tmp_path: Path) -> None:
    """``--reload`` watches the user's module, though the server has imported another."""
    write_module("web.py", WSGI)
    with serving("web.py", "--server", "gunicorn", "--reload") as running:
        assert httpx.get(running.url).text == "from WSGI"
        write_module("web.py", WSGI.replace("from WSGI", "edited"))
        # Gunicorn compares times, once a second, with those that it saw first, which may have been after the edit; it
        # does not say when it has looked. So the file is edited again until it says that it has seen that.
        end = time.monotonic() + PATIENCE
        later = (tmp_path / "web.py").stat().st_mtime
        while not any("Worker reloading" in line for line in running.said):
            assert time.monotonic() < end
            later += 1
            os.utime(tmp_path / "web.py", (later, later))
            with running.changed:
                running.changed.wait(1.0)
        assert running.wait_until_said("Worker exiting")  # until then it answers
        assert httpx.get(running.url, timeout=PATIENCE).text == "edited"

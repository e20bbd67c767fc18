"""``bridge serve`` as a user runs it: what it answers, what it says, and its exit status."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import uvicorn
from click.testing import CliRunner

from bridge import WsgiToAsgi
from bridge.cli.commands import bridge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import WriteModule

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}
PATIENCE = 30.0  # seconds until a command that neither answers nor ends is killed

WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"from WSGI"]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"from ASGI"})
"""
ASGI_2 = """
def app(scope):
    async def instance(receive, send):
        if scope["type"] == "http":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"from ASGI 2"})
    return instance
"""


@contextmanager
def serving(target: str) -> Iterator[str]:
    """Run ``python -m bridge serve`` on a free port; gives the address that it says it listens on."""
    with subprocess.Popen(
        [sys.executable, "-m", "bridge", "serve", target, "--port", "0"],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        # Its end is the end of stderr, so a silent server fails the test instead of blocking it.
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            yield address(process)
        finally:
            watchdog.cancel()
            watchdog.join()
            process.kill()


def address(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    said = []
    for line in process.stderr:
        said.append(line)
        if "running on" in line:
            return next(word for word in line.split() if word.startswith("http://"))
    pytest.fail(f"bridge serve ended before it listened:\n{''.join(said)}")


def run(*command: str) -> tuple[int, str, str]:
    """Run Python to its end; gives its exit status, stdout and stderr."""
    ended = subprocess.run(
        [sys.executable, *command],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """What reaches Uvicorn, in place of serving it: the application, then the options."""
    calls: list[Any] = []

    def uvicorn_run(app: Any, **options: Any) -> None:
        calls.extend([app, options])

    monkeypatch.setattr(uvicorn, "run", uvicorn_run)
    yield calls
    calls.clear()  # pytest keeps the list longer than an adapter's threads may live


@pytest.mark.parametrize(
    ("path", "answer"),
    [("/", "Hello from Flask\n"), ("/async", "async")],
)
def test_a_flask_application_answers_over_http(monkeypatch: pytest.MonkeyPatch, path: str, answer: str) -> None:
    """The README's command serves a WSGI application on an ASGI server."""
    monkeypatch.chdir(REPOSITORY)
    with serving("compat_matrix.apps.flask_app:app") as url:
        assert httpx.get(url + path).text == answer


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        pytest.param(WSGI, "from WSGI", id="WSGI"),
        pytest.param(ASGI, "from ASGI", id="ASGI 3"),
        pytest.param(ASGI_2, "from ASGI 2", id="ASGI 2"),
    ],
)
def test_each_interface_is_served_without_being_named(write_module: WriteModule, source: str, answer: str) -> None:
    """The command finds out by itself what it has to call."""
    write_module("web.py", source)
    with serving("web:app") as url:
        assert httpx.get(url).text == answer


@pytest.mark.parametrize(
    ("target", "said"),
    [
        pytest.param("wbe:app", "no module 'wbe'", id="module"),
        pytest.param("web:ap", "did you mean 'app'?", id="attribute"),
        pytest.param("web", "not of the form MODULE:APP", id="form"),
        pytest.param("web:__name__", "cannot be called", id="not callable"),
        pytest.param("web:create", "like an application factory", id="neither"),
    ],
)
def test_a_wrong_target_gets_one_line_and_status_2(write_module: WriteModule, target: str, said: str) -> None:
    """A slip of the command line needs a sentence, not a traceback."""
    write_module("web.py", "def create(): ...\napp = create")
    result = CliRunner().invoke(bridge, ["serve", target])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert f"Error: cannot serve {target}: " in result.stderr
    assert said in result.stderr


def test_a_wrong_target_ends_the_process_with_one_line(write_module: WriteModule) -> None:
    """What the process itself says and returns is what the command decided."""
    write_module("web.py")
    status, out, error = run("-m", "bridge", "serve", "web:app")
    assert (status, out, error.splitlines()) == (
        2,
        "",
        ["Error: cannot serve web:app: module 'web' has no attribute 'app'; check the name"],
    )


def test_an_error_of_the_module_shows_its_traceback(write_module: WriteModule, tmp_path: Path) -> None:
    """The user's own code failed: its lines are shown, none of bridge's, then one line and status 1."""
    write_module("web.py", "import not_installed\n")
    status, out, error = run("-m", "bridge", "serve", "web:app")
    assert (status, out, error.splitlines()) == (
        1,
        "",
        [
            "Traceback (most recent call last):",
            f'  File "{tmp_path}/web.py", line 1, in <module>',
            "    import not_installed",
            "ModuleNotFoundError: No module named 'not_installed'",
            "Error: cannot serve web:app: importing 'web' raised ModuleNotFoundError, shown above; correct it there",
        ],
    )


@pytest.mark.parametrize("missing", ["click", "uvicorn"])
def test_a_missing_extra_is_named(missing: str) -> None:
    """Without the extra, the installed script says what to install, with status 2."""
    # None in sys.modules makes the import fail as that of a missing package does.
    status, out, error = run("-c", f"import sys; sys.modules[{missing!r}] = None; from bridge.cli import main; main()")
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"Error: the command line needs {missing}, which is not installed; ")
    assert error.endswith("pip install 'wsgi-asgi-bridge[serve]'\n")


def test_importing_bridge_imports_nothing_optional() -> None:
    """Only the command line needs the extra: a library user pays for no server."""
    code = "import sys, bridge, bridge.cli; print(sorted({'click', 'uvicorn', 'flask', 'wsproto'} & set(sys.modules)))"
    assert run("-c", code) == (0, "[]\n", "")


def test_options_reach_uvicorn(write_module: WriteModule, served: list[Any]) -> None:
    """Address, port and log level are Uvicorn's; the interface is bridge's own finding."""
    write_module("web.py", ASGI)
    CliRunner().invoke(bridge, ["serve", "web:app", "--host", "::1", "--port", "81", "--log-level", "error"])
    assert served[1] == {"host": "::1", "port": 81, "log_level": "error", "interface": "asgi3"}


def test_threads_are_the_worker_threads_of_a_wsgi_application(write_module: WriteModule, served: list[Any]) -> None:
    """``--threads 2`` runs two requests at once, and never more."""
    write_module(
        "web.py",
        f"""
import threading
pair = threading.Barrier(2)
def app(environ, start_response):
    pair.wait({PATIENCE})
    start_response("200 OK", [])
    return [b"passed"]
""",
    )
    CliRunner().invoke(bridge, ["serve", "web:app", "--threads", "2"])
    adapter = served[0]
    assert isinstance(adapter, WsgiToAsgi)
    assert asyncio.run(bodies(adapter, requests=4)) == [b"passed"] * 4
    assert adapter.stats().threads == 2


async def bodies(app: WsgiToAsgi, requests: int) -> list[bytes]:
    async def body() -> bytes:
        chunks: list[bytes] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            chunks.append(message.get("body", b""))

        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET"}
        await app(scope | {"path": "/", "query_string": b"", "headers": []}, receive, send)
        return b"".join(chunks)

    return await asyncio.gather(*(body() for _ in range(requests)))


@pytest.mark.parametrize(
    ("source", "options", "said"),
    [
        pytest.param(ASGI, ["--threads", "2"], ["--threads has no effect"], id="ASGI with threads"),
        pytest.param(ASGI, [], [], id="ASGI"),
        pytest.param(WSGI, ["--threads", "2"], [], id="WSGI with threads"),
    ],
)
def test_threads_without_effect_are_told(
    write_module: WriteModule, served: list[Any], source: str, options: list[str], said: list[str]
) -> None:
    """An ASGI application has no worker threads: one line says so, and it is served all the same."""
    write_module("web.py", source)
    result = CliRunner().invoke(bridge, ["serve", "web:app", *options])
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == said
    assert (result.exit_code, len(served)) == (0, 2)


@pytest.mark.parametrize(
    "options",
    [["--threads", "0"], ["--port", "65536"], ["--port", "http"], ["--log-level", "loud"]],
    ids=" ".join,
)
def test_a_wrong_option_is_a_usage_error(write_module: WriteModule, served: list[Any], options: list[str]) -> None:
    """Status 2, the same as for a wrong target, and nothing is served."""
    write_module("web.py", WSGI)
    assert (CliRunner().invoke(bridge, ["serve", "web:app", *options]).exit_code, served) == (2, [])


def test_version_is_the_package_version() -> None:
    """``bridge --version`` prints what ``bridge.__version__`` holds."""
    status, out, _ = run("-c", "import bridge; print(bridge.__version__)")
    assert (status, CliRunner().invoke(bridge, ["--version"]).output.split()[-1]) == (0, out.strip())

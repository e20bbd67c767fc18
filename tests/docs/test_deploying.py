"""docs/deploying.md: the unit, the image, the manifest, and processes that end without losing a request."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from configparser import RawConfigParser
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from compat_matrix.client import RawClient
from compat_matrix.servers.recipe import Recipe
from compat_matrix.servers.running import RunningServer, start
from compat_matrix.wire import Wire
from tests.asgi import TIMEOUT
from tests.docs.commands import commands, fenced
from tests.docs.pages import DOCS, blocks
from tests.docs.programs import run

PAGE = "deploying.md"

# Both applications of the quick start, as those who wait for the test, and say when they start and shut down.
SHOP = """
import socket

from bridge import WsgiToAsgi


def application(environ, start_response):
    with socket.create_connection(("127.0.0.1", int(environ["QUERY_STRING"])), timeout=10) as wire:
        wire.sendall(b"called\\n")
        wire.recv(1)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]


app = WsgiToAsgi(application)
"""
API = """
import socket
from contextlib import asynccontextmanager

from anyio import to_thread
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bridge import AsgiToWsgi


@asynccontextmanager
async def lifespan(app):
    print("api: started", flush=True)
    yield
    await to_thread.run_sync(lambda: print("api: shut down", flush=True))


def wait(request):
    with socket.create_connection(("127.0.0.1", int(request.url.query)), timeout=10) as wire:
        wire.sendall(b"called\\n")
        wire.recv(1)
    return PlainTextResponse("done")


wsgi_app = AsgiToWsgi(Starlette(lifespan=lifespan, routes=[Route("/", wait)]))
"""


def documented(program: str, ready: str) -> Recipe:
    """Return the first command of the page that begins with *program*, as something that can be started.

    Args:
        program: and its first arguments.
        ready: matches the log when every worker listens.
    """
    (line, *_) = [line for line in commands(PAGE) if line.startswith(program)]
    words = shlex.split(line)

    def command(target: str, port: int) -> list[str]:
        options = [word for word in words[1:] if word != target]
        bound = [word.replace("0.0.0.0", "127.0.0.1").replace("8000", str(port)) for word in options]
        quiet = ["--no-control-socket"] if words[0] == "gunicorn" else []
        return [sys.executable, "-m", words[0], *bound, *quiet, target]

    return Recipe(
        name=program,
        interface="asgi" if "shop:app" in words else "wsgi",
        package=words[0],
        command=command,
        ready=re.compile(ready, re.DOTALL),
        http2=False,
        lifespan=True,
        event_loop="asyncio",
        # A worker of Uvicorn's says that its startup is complete before it listens, and nothing after.
        listens_late=words[0] == "uvicorn",
    )


UVICORN = documented("uvicorn shop:app", r"(Application startup complete.*){2}")
GUNICORN_ASGI = documented("gunicorn shop:app --worker-class asgi", r"(ASGI server listening.*){2}")
GUNICORN_GTHREAD = documented("gunicorn api:wsgi_app", r"(api: started.*){2}")


@pytest.mark.parametrize(
    ("recipe", "target"),
    [
        pytest.param(UVICORN, "shop:app", id="uvicorn"),
        pytest.param(GUNICORN_ASGI, "shop:app", id="gunicorn asgi"),
        pytest.param(GUNICORN_GTHREAD, "api:wsgi_app", id="gunicorn gthread"),
    ],
)
def test_request_that_runs_is_answered_after_sigterm(recipe: Recipe, target: str, tmp_path: Path) -> None:
    """The documented command with its two workers: the process is told to end, answers, shuts down, and is gone."""
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "api.py").write_text(API)
    (tmp_path / "gunicorn_api.py").write_text(blocks(PAGE)["Gunicorn for ASGI applications"][0])
    root = str(DOCS.parent)
    with (
        start(recipe, target, directory=tmp_path, env={"PYTHONPATH": root}) as server,
        Wire() as wire,
        RawClient(server.host, server.port) as client,
    ):
        before = len(server.log())
        client.get(f"/?{wire.port}", "Connection: close")
        assert wire.hear() == "called"
        server.terminate()
        server.wait_for_log(re.compile("(?i)shutting down|handling signal: term"), after=before, timeout=TIMEOUT)
        wire.tell("go on")
        response = client.read_response()
        _ended(server)

    assert (response.body, response.complete) == (b"done", True)
    assert "Traceback" not in server.log()
    if target == "api:wsgi_app":
        assert server.log().count("api: shut down") == 2


def _ended(server: RunningServer) -> None:
    server.stop()
    assert not server.killed


def test_unit_is_one() -> None:
    """systemd has nothing to say about it but that the program is not there."""
    unit = _unit()
    words = shlex.split(unit["Service"]["ExecStart"])

    assert Path(words[0]).name in ("uvicorn", "gunicorn")
    assert words[1:2] == ["shop:app"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_unit_is_understood_by_systemd(tmp_path: Path) -> None:
    """No unknown section, key or value."""
    unit = tmp_path / "shop.service"
    unit.write_text(fenced(PAGE, "ini")[0].replace("/srv/shop/.venv/bin/uvicorn", sys.executable))
    result = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, timeout=TIMEOUT, check=False
    )

    assert (result.stdout, result.stderr) == ("", "")


def test_whoever_kills_waits_longer_than_the_process_takes() -> None:
    """The sums of the page, with the numbers of its own examples."""
    drain = run(PAGE)["shop"]._drain_timeout
    service = _unit()["Service"]
    of_the_unit = _option(shlex.split(service["ExecStart"]), "--timeout-graceful-shutdown")
    of_the_image = _option(_image_command(), "--timeout-graceful-shutdown")
    pod = yaml.safe_load(fenced(PAGE, "yaml")[0])["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    _, pre_stop = container["lifecycle"]["preStop"]["exec"]["command"]

    assert int(service["TimeoutStopSec"]) > of_the_unit + drain + 5
    assert pod["terminationGracePeriodSeconds"] > int(pre_stop) + of_the_image + drain + 5


def test_manifest_fits_the_image_and_the_probes() -> None:
    """Labels select the pods, and the probes ask for what the example serves, where the image listens."""
    spec = yaml.safe_load(fenced(PAGE, "yaml")[0])["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    probes = [container[probe]["httpGet"] for probe in ("readinessProbe", "livenessProbe")]
    code = "".join(blocks(PAGE)["Probes"])

    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert {probe["port"] for probe in probes} == {_option(_image_command(), "--port")} == {8000}
    for probe in probes:
        assert f'"{probe["path"]}": ' in code


def test_proxy_closes_what_it_opens() -> None:
    """nginx need not be there: blocks are balanced, and every directive ends."""
    (text,) = fenced(PAGE, "nginx")
    lines = [line.strip() for line in text.splitlines() if line.strip()]

    assert text.count("{") == text.count("}")
    assert [line for line in lines if line[-1] not in "{};"] == []


def _unit() -> RawConfigParser:
    unit = RawConfigParser()
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(fenced(PAGE, "ini")[0])
    return unit


def _image_command() -> list[str]:
    (line,) = re.findall(r"^CMD (\[.*\])$", fenced(PAGE, "dockerfile")[0], re.MULTILINE)
    words: list[str] = yaml.safe_load(line)
    return words


def _option(words: list[str], name: str) -> int:
    return int(words[words.index(name) + 1])

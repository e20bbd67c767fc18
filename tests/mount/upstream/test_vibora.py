"""A Vibora application beside Flask, FastAPI and aiohttp: the bridge runs on no Python that Vibora runs on."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from compat_matrix.client import RawClient
from compat_matrix.servers import RECIPES, Recipe, RunningServer, start
from tests.mount.upstream import aiohttp_application
from tests.mount.upstream.vibora_venv import INSTALL_TIMEOUT, CannotInstallError, find_python36, make_venv

pytestmark = pytest.mark.timeout(INSTALL_TIMEOUT + 60)  # the first one installs Vibora, once for a checkout

TIMEOUT = 10.0  # seconds
HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def vibora(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    python36 = find_python36()
    if python36 is None:
        pytest.skip("Vibora 0.0.6 runs on Python 3.6 only, and there is none on PATH or among pyenv's versions")
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)  # there is none with -p no:cacheprovider
    folder = tmp_path_factory.mktemp("vibora") if cache is None else cache.mkdir("vibora")
    try:
        python = str(make_venv(python36, folder))
    except CannotInstallError as error:
        pytest.skip(f"{python36} is there, but Vibora 0.0.6 cannot be installed for it: {error}")
    recipe = Recipe(
        name="vibora",
        interface="asgi",  # it has none; nothing here asks
        package="os",
        command=lambda target, port: [python, target, str(port)],
        ready=re.compile("# Vibora"),
        http2=False,
        lifespan=False,
        event_loop="none",
        listens_late=True,
    )
    with start(recipe, str(HERE / "vibora_application.py"), directory=folder) as running:
        yield running
        # Its workers survive their parent's SIGTERM, so they get one of their own.
        os.killpg(running.process.pid, signal.SIGTERM)
    assert not running.killed


@pytest.fixture(scope="module")
def running_server(vibora: RunningServer) -> Iterator[RunningServer]:
    with (
        aiohttp_application.running() as upstream,
        start(
            RECIPES["uvicorn-h11"],
            "tests.mount.upstream.mounted_application:app",
            directory=HERE.parents[2],
            env={"AIOHTTP_URL": upstream.url, "VIBORA_URL": vibora.url},
        ) as running,
    ):
        yield running
    assert not running.killed


def test_all_four_answer_below_their_prefixes(client: httpx.Client) -> None:
    """One server, one port, four frameworks, two Pythons."""
    assert client.get("/").json() == {"from": "FastAPI"}
    assert client.get("/flask/").text == "Flask below /flask"
    assert client.get("/aiohttp/tell").json()["target"] == "/tell"
    assert client.get("/vibora/").json()["url"] == "/"


def test_headers_arrive(client: httpx.Client, server: RunningServer) -> None:
    """Those of the client, and where the request came from."""
    headers = client.get("/vibora/", headers={"X-A": "1"}).json()["headers"]

    assert headers["x-a"] == "1"
    assert headers["host"] == f"127.0.0.1:{server.port}"
    assert (headers["x-forwarded-for"], headers["x-forwarded-prefix"]) == ("127.0.0.1", "/vibora")


def test_upload_with_a_length_arrives(client: httpx.Client) -> None:
    """RFC 9112, 6.2."""
    body = bytes(range(256)) * 1000

    assert client.post("/vibora/upload", content=body).content == body


def test_upload_in_chunks_arrives(client: httpx.Client) -> None:
    """RFC 9112, 7.1."""
    assert client.post("/vibora/upload", content=iter([b"abc", b"def"])).content == b"abcdef"


def test_response_is_streamed(client: httpx.Client) -> None:
    """The first piece is here before the second one is made."""
    with client.stream("GET", "/vibora/stream") as response:
        pieces = response.iter_raw()
        first = next(pieces)
        assert client.get("/vibora/open").text == "opened"
        rest = b"".join(pieces)

    assert (first, rest) == (b"first ", b"second")


def test_path_that_it_does_not_know_is_404(client: httpx.Client) -> None:
    """Vibora's own answer."""
    response = client.get("/vibora/nowhere")

    assert (response.status_code, response.text) == (404, "404 Not Found")


def test_one_connection_serves_many_requests(server: RunningServer) -> None:
    """That of the client stays open, whatever Vibora answers."""
    with RawClient(server.host, server.port, TIMEOUT) as raw:
        statuses = []
        for target in ["/vibora/", "/vibora/nowhere"] * 5:
            raw.get(target)
            statuses.append(raw.read_response().status)

    assert statuses == [200, 404] * 5


def test_client_that_expects_continue_is_not_left_waiting(server: RunningServer) -> None:
    """Vibora never says 100 Continue: after a second the bridge goes on without it."""
    with RawClient(server.host, server.port, TIMEOUT) as raw:
        raw.send(b"POST /vibora/upload HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        interim = raw.read_response()
        raw.send(b"abc")
        answer = raw.read_response()

    assert (interim.status, answer.status, answer.body) == (100, 200, b"abc")

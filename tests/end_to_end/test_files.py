"""Files that the server sends itself, and early hints: real servers, frameworks and clients."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import h2.events
import httpx
import pytest

from compat_matrix.client import RawClient
from compat_matrix.h2_client import H2Client
from compat_matrix.servers import RECIPES, RunningServer, start
from tests.server_logs import SERVER

from .conftest import make_client

TIMEOUT = 20.0  # seconds
CONTENT = os.urandom(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RunningServer]]:
    """Start each server once."""
    path = tmp_path_factory.mktemp("files") / "file.bin"
    path.write_bytes(CONTENT)
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("FILE_TO_SEND", str(path))
        started: dict[str, RunningServer] = {}

        def get(name: str) -> RunningServer:
            if missing := RECIPES[name].missing():
                pytest.skip(missing)
            if name not in started:
                target = "tests.end_to_end.files_application:served"
                started[name] = stack.enter_context(start(RECIPES[name], target, directory=Path(__file__).parents[2]))
            return started[name]

        yield get
        for one in started.values():
            one.terminate()


@pytest.fixture
def granian(request: pytest.FixtureRequest, running: Callable[[str], RunningServer]) -> RunningServer:
    server = running("granian")
    request.node.stash[SERVER] = server
    return server


@pytest.mark.parametrize("target", ["flask", "django", "django-file", "bottle", "falcon/file.bin", "pyramid"])
@pytest.mark.parametrize("version", ["1.1", "2"])
def test_file_of_a_framework_leaves_through_the_server(granian: RunningServer, target: str, version: str) -> None:
    """Granian offers pathsend. Byte for byte, with the length, and the connection goes on."""
    before = len(granian.log())
    with make_client(granian, version, TIMEOUT) as client:
        answers = [client.get(f"/{target}") for _ in range(2)]

    assert [hashlib.sha256(answer.content).hexdigest() for answer in answers] == [DIGEST] * 2
    assert [answer.headers.get_list("content-length") for answer in answers] == [[str(len(CONTENT))]] * 2
    granian.wait_for_log(re.compile(f"/{target} left by start pathsend\n"), after=before, timeout=TIMEOUT)


def test_range_leaves_in_chunks(granian: RunningServer) -> None:
    """RFC 9110, 14.2: a part of the file is not the file."""
    with make_client(granian, "1.1", TIMEOUT) as client:
        answer = client.get("/flask", headers={"Range": "bytes=1000-200999"})

    assert (answer.status_code, answer.content == CONTENT[1000:201_000]) == (206, True)


@pytest.mark.parametrize("target", ["flask", "django"])
def test_head_sends_no_file(granian: RunningServer, target: str) -> None:
    """RFC 9110, 9.3.2. The second response shows that not a byte of a body was sent."""
    with RawClient(granian.host, granian.port, TIMEOUT) as raw:
        raw.send(f"HEAD /{target} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        head = raw.read_response("HEAD")
        raw.get(f"/{target}")

        assert head.all("content-length") == [str(len(CONTENT))]
        assert hashlib.sha256(raw.read_response().body).hexdigest() == DIGEST


def test_file_that_is_removed_with_the_response_arrives(granian: RunningServer) -> None:
    """Granian opens a path after send() has returned, so by then it would be gone."""
    with make_client(granian, "1.1", TIMEOUT) as client:
        answers = [client.get("/removed") for _ in range(5)]

    assert [(answer.status_code, answer.content == CONTENT) for answer in answers] == [(200, True)] * 5


def test_file_that_shrinks_is_cut(granian: RunningServer) -> None:
    """A response never looks complete that is not; RFC 9112, 8."""
    with make_client(granian, "1.1", TIMEOUT) as client, pytest.raises(httpx.RemoteProtocolError):
        client.get("/shrunk")


class HintedClient(H2Client):
    """Notes what comes before the response."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(host, port)
        self.before: list[tuple[str, str]] = []

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.InformationalResponseReceived):
            self.before += [(name.decode(), value.decode()) for name, value in event.headers]
        super()._take(event)


@pytest.mark.parametrize("name", ["hypercorn-asyncio", "hypercorn-trio"])
def test_hints_come_before_the_response(
    request: pytest.FixtureRequest, running: Callable[[str], RunningServer], name: str
) -> None:
    """RFC 8297, over HTTP/2; and none after it."""
    server = running(name)
    request.node.stash[SERVER] = server
    client = HintedClient(server.host, server.port)
    with client:
        answer = client.read_response(client.request("GET", "/hints"))

    assert [value for key, value in client.before if key == "link"] == [
        "</a.css>; rel=preload",
        "</b.css>; rel=preload",
    ]
    assert {value for key, value in client.before if key == ":status"} == {"103"}
    assert "x-other" not in dict(client.before)
    assert (answer.status, answer.body, dict(answer.headers).get("link")) == (200, b"page", None)

"""Streams and long polling on real servers: without a thread behind the bridge, and in the server's own thread."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import pytest

from compat_matrix.client import RawClient
from compat_matrix.servers import RECIPES, RunningServer, start
from compat_matrix.wire import Wire
from tests.server_logs import LEFT_BEHIND, SERVER

from .conftest import make_client
from .streams_application import THREADS

TIMEOUT = 20.0  # seconds

ASGI = ["uvicorn-h11", "hypercorn-asyncio", "hypercorn-trio", "granian"]
WSGI = ["gunicorn-sync", "gunicorn-gthread", "waitress"]
VERSIONS = [(name, version) for name in ASGI for version in ("1.1", "2") if version == "1.1" or RECIPES[name].http2]

# Options with which the server cancels what still runs a second after SIGTERM. Granian has none, and Hypercorn on
# asyncio comes to it only when all clients have left: Server.wait_closed() waits for that since Python 3.12.
GRACE = {
    "uvicorn-h11": ("--timeout-graceful-shutdown", "1"),
    "hypercorn-trio": ("--graceful-timeout", "1"),
}

KINDS = b"\xff\x00" + "éevent: é\nid: \nretry: 5\ndata: one\ndata: two\n\n".encode() + b"x" * 100_000

on_asgi_servers = pytest.mark.parametrize("server", ASGI, indirect=True)
on_wsgi_servers = pytest.mark.parametrize("server", WSGI, indirect=True)
on_all_servers = pytest.mark.parametrize("server", [*ASGI, *WSGI], indirect=True)


@pytest.fixture(scope="module")
def running() -> Iterator[Callable[[str], RunningServer]]:
    """Start each server once, and end all of them together."""
    with ExitStack() as stack:
        started: dict[str, RunningServer] = {}

        def get(name: str) -> RunningServer:
            if missing := RECIPES[name].missing():
                pytest.skip(missing)
            if name not in started:
                started[name] = stack.enter_context(serving(name))
            return started[name]

        yield get
        for one in started.values():
            one.terminate()
    assert [name for name, one in started.items() if one.killed] == []


def serving(name: str, *extra: str) -> AbstractContextManager[RunningServer]:
    """Run the application: on an ASGI server in the bridge, on a WSGI server as it is."""
    attribute = "served" if RECIPES[name].interface == "asgi" else "application"
    target = f"tests.end_to_end.streams_application:{attribute}"
    return start(RECIPES[name], target, directory=Path(__file__).parents[2], extra=extra)


@pytest.fixture
def server(request: pytest.FixtureRequest, running: Callable[[str], RunningServer]) -> Iterator[RunningServer]:
    """The running server that the tests share."""
    yield from watched(request, running(request.param))


def watched(request: pytest.FixtureRequest, running: RunningServer) -> Iterator[RunningServer]:
    request.node.stash[SERVER] = running
    before = len(running.log())
    yield running
    assert not LEFT_BEHIND.findall(running.log()[before:])


@pytest.fixture
def wire() -> Iterator[Wire]:
    """The line to the stream of this test."""
    with Wire(TIMEOUT) as made:
        yield made


def connected(server: RunningServer) -> RawClient:
    return RawClient(server.host, server.port, TIMEOUT)


# -- behind the bridge ------------------------------------------------------------------------------------------


@on_asgi_servers
def test_more_streams_than_threads_leave_the_threads_to_others(server: RunningServer) -> None:
    """Each event arrives when it is made, before the next is, while plain views are answered."""
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(TIMEOUT)) for _ in range(2 * THREADS + 1)]
        clients = [stack.enter_context(connected(server)) for _ in wires]
        other = stack.enter_context(connected(server))
        for wire, client in zip(wires, clients, strict=True):
            client.get(f"/events?wire={wire.port}")
        for wire in wires:
            assert wire.hear() == "begun"
        other.get("/plain")
        assert other.read_response().body == b"plain"

        for wire in wires:
            wire.tell("next")
        bodies = [client.begin_response() for client in clients]
        for number in range(3):
            assert {body.read_until(b"\n\n") for body in bodies} == {b"id: %d\ndata: %d\n\n" % (number, number)}
            other.get("/plain")
            assert other.read_response().body == b"plain"
            if number < 2:
                for wire in wires:
                    wire.tell("next")

        assert [wire.hear() for wire in wires] == ["ended"] * len(wires)
        assert [body.rest() for body in bodies] == [b""] * len(wires)
        assert {body.response.complete for body in bodies} == {True}


@pytest.mark.parametrize(("server", "version"), VERSIONS, indirect=["server"])
def test_client_that_leaves_cancels_the_stream(server: RunningServer, version: str, wire: Wire) -> None:
    """At once, though there is nothing to send; then the iterable is closed, and nothing is left of the exchange."""
    with (
        Wire(TIMEOUT) as closing,
        make_client(server, version, TIMEOUT) as client,
        client.stream("GET", f"/held?wire={wire.port}&closing={closing.port}") as response,
    ):
        assert next(response.iter_raw()) == b"first"
        assert wire.hear() == "waits"
        client.close()

        assert (wire.hear(), closing.hear()) == ("cancelled", "close")
    assert streams(server) == 0


@on_asgi_servers
def test_long_polling_is_answered_with_the_result(server: RunningServer) -> None:
    """More of them than threads; a plain view is answered meanwhile."""
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire(TIMEOUT)) for _ in range(THREADS + 1)]
        clients = [stack.enter_context(connected(server)) for _ in wires]
        for wire, client in zip(wires, clients, strict=True):
            client.get(f"/wait?wire={wire.port}")
        for wire in wires:
            assert wire.hear() == "waits"
        other = stack.enter_context(connected(server))
        other.get("/plain")
        assert other.read_response().body == b"plain"

        for wire in wires:
            wire.tell("go on")
        answers = [client.read_response() for client in clients]
        assert [(answer.status, answer.body) for answer in answers] == [(200, "é".encode())] * len(wires)


@on_asgi_servers
def test_long_polling_without_a_result_is_204(server: RunningServer) -> None:
    """RFC 9110, 15.3.5: without content. The connection goes on."""
    with connected(server) as client:
        client.get("/timeout")
        answer = client.read_response()
        client.get("/plain")

        assert (answer.status, answer.body, answer.all("content-type")) == (204, b"", [])
        assert client.read_response().body == b"plain"


@on_asgi_servers
def test_client_that_leaves_cancels_long_polling(server: RunningServer, wire: Wire) -> None:
    """Before anything of the response was sent."""
    with connected(server) as client:
        client.get(f"/wait?wire={wire.port}")
        assert wire.hear() == "waits"

    assert wire.hear() == "cancelled"
    assert streams(server) == 0


@pytest.mark.parametrize("name", ASGI)
def test_shutdown_ends_open_streams(request: pytest.FixtureRequest, name: str) -> None:
    """When the server cancels them, or when their clients leave; then the server ends, and nothing is left behind."""
    if missing := RECIPES[name].missing():
        pytest.skip(missing)
    with ExitStack() as stack:
        running = stack.enter_context(serving(name, *GRACE.get(name, ())))
        stack.enter_context(contextmanager(watched)(request, running))
        wires = [stack.enter_context(Wire(TIMEOUT)) for _ in range(THREADS + 1)]
        closing = [stack.enter_context(Wire(TIMEOUT)) for _ in wires]
        clients = [stack.enter_context(connected(running)) for _ in wires]
        for client, wire, closed in zip(clients, wires, closing, strict=True):
            client.get(f"/held?wire={wire.port}&closing={closed.port}")
            client.read_until(b"first")
            assert wire.hear() == "waits"
        running.terminate()
        if name not in GRACE:
            for client in clients:
                client.socket.close()

        assert [wire.hear() for wire in wires] == ["cancelled"] * len(wires)
        assert [wire.hear() for wire in closing] == ["close"] * len(wires)
        running.stop()
        assert not running.killed


# -- in the server's own thread ---------------------------------------------------------------------------------


@on_all_servers
def test_bytes_are_the_same_everywhere(server: RunningServer) -> None:
    """Bytes, text, an event, and a chunk that is larger than any buffer."""
    with connected(server) as client:
        client.get("/kinds")
        answer = client.read_response()

    assert (answer.status, answer.body, answer.complete) == (200, KINDS, True)
    assert answer.all("content-type") == ["text/event-stream"]


@on_wsgi_servers
def test_first_event_arrives_before_the_second_is_made(server: RunningServer, wire: Wire) -> None:
    """PEP 3333, "Buffering and Streaming". The iterable is closed at the end."""
    with connected(server) as client, Wire(TIMEOUT) as closing:
        client.get(f"/events?wire={wire.port}&closing={closing.port}")
        assert wire.hear() == "begun"
        wire.tell("next")
        body = client.begin_response()
        for number in range(3):
            assert body.read_until(b"\n\n") == b"id: %d\ndata: %d\n\n" % (number, number)
            if number < 2:
                wire.tell("next")

        assert (wire.hear(), closing.hear()) == ("ended", "close")
        assert (body.rest(), body.response.complete) == (b"", True)


@on_wsgi_servers
def test_client_that_leaves_closes_the_stream(server: RunningServer, wire: Wire) -> None:
    """When the server notices, which it does when it writes: the asynchronous iterable ends with the response."""
    with Wire(TIMEOUT) as closing:
        with connected(server) as client:
            client.get(f"/endless?wire={wire.port}&closing={closing.port}")
            client.read_until(b"first")
            client.reset()
        wire.tell("client left")

        assert (wire.hear(), closing.hear()) == ("closed", "close")


@on_wsgi_servers
def test_long_polling_waits_in_the_servers_thread(server: RunningServer, wire: Wire) -> None:
    """The result is the body; without one it is empty, and the status is the view's."""
    with connected(server) as client:
        client.get(f"/wait?wire={wire.port}")
        assert wire.hear() == "waits"
        wire.tell("go on")
        answer = client.read_response()
    with connected(server) as client:
        client.get("/timeout")
        late = client.read_response()

    assert (answer.status, answer.body) == (200, "é".encode())
    assert (late.status, late.body) == (200, b"")


def streams(server: RunningServer) -> int:
    """Return how many exchanges hold no thread, once nobody but who asks has one."""
    deadline = time.monotonic() + TIMEOUT
    with connected(server) as client:
        while True:
            client.get("/stats")
            stats = json.loads(client.read_response().body)
            # The exchange that has just said "close" leaves its thread a moment later.
            if stats["busy"] == 1 or time.monotonic() > deadline:
                count: int = stats["streams"]
                return count

"""Thousands of streams of an application with four threads, under Uvicorn: held, fed, ended, nothing left."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from compat_matrix.client import RawClient
from compat_matrix.servers import RECIPES, RunningServer, start
from tests.server_logs import LEFT_BEHIND, SERVER

from .streams_crowd import Crowd

STREAMS = 5_000
EVENTS = 5
TIMEOUT = 20.0  # seconds
REQUESTS = 300  # of which the median is taken

# Each stream takes one descriptor of the server and one of the tests.
DESCRIPTORS = STREAMS + 500

PAGE = resource.getpagesize()


@pytest.fixture
def descriptors() -> Iterator[None]:
    """Allow as many as are needed, to this process and to the server that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS:
        pytest.skip(f"{STREAMS} streams need {DESCRIPTORS} descriptors, and the hard limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, DESCRIPTORS), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture(params=["flask", "django"])
def server(request: pytest.FixtureRequest, descriptors: None) -> Iterator[RunningServer]:
    recipe = RECIPES["uvicorn-httptools"]
    if missing := recipe.missing():
        pytest.skip(missing)
    target = f"tests.end_to_end.streams_{request.param}:served"
    # The connection of the plain view has nothing to do while the streams are opened.
    extra = (*recipe.quiet, "--timeout-keep-alive", "60")
    with start(recipe, target, directory=Path(__file__).parents[2], extra=extra) as running:
        request.node.stash[SERVER] = running
        yield running
        assert not LEFT_BEHIND.findall(running.log())


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads memory and descriptors from Linux's /proc")
def test_thousands_of_streams(server: RunningServer) -> None:
    """Each gets every event, a plain view hardly waits for them, and all of them end at once.

    One test, since opening them takes longest. Bounds leave room for a busy machine; -rP shows the figures.
    """
    with RawClient(server.host, server.port, TIMEOUT) as client:
        idle = latency(client)
        before, memory = ask(client, "/holdings"), resident(server)
        with closing(Crowd(server.port, "/events", STREAMS, TIMEOUT)) as crowd:
            held = ask_until(client, "/stats", busy=1)
            size = (resident(server) - memory) / STREAMS / 1024
            loaded = latency(client)
            arrived = []
            for number in range(1, EVENTS + 1):
                began = time.monotonic()
                ask(client, "/tell")
                crowd.await_event(number)
                arrived.append(time.monotonic() - began)
            events = crowd.events()
            began = time.monotonic()
        ended = ask_until(client, "/stats", streams=0, busy=1, disconnected=STREAMS)
        took = time.monotonic() - began
        print(  # noqa: T201 (pytest shows it with -rP)
            f"{size:.1f} KiB a stream; an event at all of them after {', '.join(f'{each:.2f}' for each in arrived)} s; "
            f"all ended after {took:.2f} s; median of a plain view {idle:.2f} ms, with streams {loaded:.2f} ms"
        )

        assert (held["streams"], held["threads"]) == (STREAMS, 4)
        assert events == {tuple(range(EVENTS + 1))}
        assert size < 64
        assert loaded < 3 * max(idle, latency(client))
        assert took < 10
        assert (ended["disconnected"], ended["failed"], ended["threads"]) == (STREAMS, 0, 4)
        after = ask(client, "/holdings")
        assert after == {**before, "threads": after["threads"]}
        assert after["threads"] <= before["threads"] + 3


def latency(client: RawClient) -> float:
    """Return the median of a plain view, in milliseconds."""
    taken = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        client.get("/plain")
        assert client.read_response().body == b"plain"
        taken.append(time.perf_counter() - began)
    return 1000 * statistics.median(taken)


def ask(client: RawClient, target: str) -> Any:
    client.get(target)
    answer = client.read_response()
    assert answer.status == 200
    return answer.body if target == "/tell" else answer.json()


def ask_until(client: RawClient, target: str, **expected: int) -> Any:
    """Ask until the answer has what is *expected*, or the time is over; each question waits for a thread."""
    deadline = time.monotonic() + TIMEOUT
    while True:
        answer = ask(client, target)
        if expected.items() <= answer.items() or time.monotonic() > deadline:
            return answer


def resident(server: RunningServer) -> int:
    """Return the bytes that the server has resident."""
    return int(Path(f"/proc/{server.process.pid}/statm").read_text().split()[1]) * PAGE

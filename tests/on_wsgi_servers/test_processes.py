"""Startup and shutdown, exchanges that run at the same time, and servers that fork."""

import re
import signal
from contextlib import ExitStack

import pytest

from compat_matrix.servers import Recipe, RunningServer
from compat_matrix.wire import TIMEOUT, Wire

from .applications import PIECE
from .client import Client

AT_ONCE = 5  # exchanges


def pids(verb: str, log: str) -> list[int]:
    """Return the processes that have ``started`` or ``shut down`` an application, once for each time."""
    return sorted(int(pid) for pid in re.findall(rf"^{verb} in (\d+)$", log, re.MULTILINE))


@pytest.mark.parametrize("mount", ["/living", "/living-request"])
def test_startup_is_done_before_the_first_request(shared_server: RunningServer, mount: str) -> None:
    """ASGI lifespan specification: each request gets what startup has put into the state."""
    scope = Client(shared_server, mount).get("/report").json()

    assert scope["state"] == {"started in": scope["pid"], "requests": []}


def test_startup_on_trio(shared_server: RunningServer, timeout: float) -> None:
    """The same on trio's event loop."""
    response = Client(shared_server, "/living-trio", timeout).get("/report")

    assert response.status == 200
    assert response.json()["state"] == {"started in": response.json()["pid"], "requests": []}


def test_application_that_cannot_start_serves_nothing(shared_server: RunningServer) -> None:
    """Each request fails, and the log says why each time."""
    before = len(shared_server.log())
    client = Client(shared_server, "/refusing")
    for _ in range(2):
        try:
            assert client.get("/hello").status == 500
        except EOFError:
            assert not shared_server.recipe.answers_failure

    shared_server.wait_for_log(
        re.compile(r"LifespanFailed.*no database.*LifespanFailed.*no database", re.DOTALL),
        after=before,
        timeout=TIMEOUT,
    )


@pytest.mark.where(concurrent=True)
def test_exchanges_run_at_the_same_time(client: Client) -> None:
    """Each is called before any of them may answer."""
    with ExitStack() as stack:
        wires = [stack.enter_context(Wire()) for _ in range(AT_ONCE)]
        connections = [stack.enter_context(client.connect()) for _ in wires]
        for connection, wire in zip(connections, wires, strict=True):
            connection.get(f"{client.mount}/streams?wire={wire.port}")
        assert [wire.hear() for wire in wires] == ["called"] * AT_ONCE
        for wire in wires:
            wire.tell("start\ngo on\ngo on")
        bodies = [connection.read_response().body for connection in connections]

    assert bodies == [b"first second third"] * AT_ONCE


@pytest.mark.where(concurrent=True)
@pytest.mark.parametrize("mount", ["/shared", "/living"])
def test_exchanges_on_the_shared_loop_can_wait_for_each_other(
    shared_server: RunningServer, mount: str, wire: Wire
) -> None:
    """An event of the loop's own, set by one exchange and awaited by another."""
    one_wakes_the_other(Client(shared_server, mount), wire)


@pytest.mark.where(concurrent=True, monkey_patched=None)
def test_exchanges_on_the_shared_loop_of_trio_can_wait_for_each_other(shared_server: RunningServer, wire: Wire) -> None:
    """The same on trio's event loop."""
    one_wakes_the_other(Client(shared_server, "/trio-shared"), wire)


def one_wakes_the_other(client: Client, wire: Wire) -> None:
    """Let one exchange wait until another wakes it."""
    with client.connect() as connection:
        connection.get(f"{client.mount}/waits?key={wire.port}&wire={wire.port}")
        assert wire.hear() == "waiting"
        assert client.get(f"/wakes?key={wire.port}").body == b"woke"
        assert connection.read_response().body == b"woken"


@pytest.mark.where(concurrent=True)
@pytest.mark.parametrize("mount", ["/shared", "/living", "/nested-shared"])
def test_stream_of_events_is_fed_by_other_requests(shared_server: RunningServer, mount: str, wire: Wire) -> None:
    """Issue 3: as MCP does it. Each event leaves on the stream before the next is posted."""
    client = Client(shared_server, mount)
    with client.connect() as connection:
        connection.get(f"{mount}/events?key={wire.port}")
        connection.read_until(b"open ")
        for event in (b"first ", b"second "):
            assert client.post(f"/event?key={wire.port}", event).body == b"posted"
            connection.read_until(event)
        client.post(f"/event?key={wire.port}", b"")
        response = connection.read_response()

    assert (response.body, response.complete) == (b"open first second ", True)


def test_task_that_a_request_leaves_behind_is_named_once(shared_server: RunningServer) -> None:
    """Issue 3: cancelled and awaited, with one warning that names the coroutine; in every server's own log."""
    before = len(shared_server.log())

    assert Client(shared_server, "/request").get("/leaves-a-task").body == b"hello"

    shared_server.wait_for_log(re.compile("the forgotten task was awaited"), after=before, timeout=TIMEOUT)
    assert len(re.findall(r"left 1 task.*\(forgotten\)", shared_server.log()[before:])) == 1


@pytest.mark.where(monkey_patched=None)
@pytest.mark.parametrize("mount", ["/uvloop-request", "/uvloop-shared"])
def test_loop_factory_of_uvloop(shared_server: RunningServer, mount: str) -> None:
    """Issue 3: ``loop_factory=uvloop.new_event_loop`` works; with a body that a thread reads."""
    client = Client(shared_server, mount)

    assert client.get("/loop").body == b"uvloop"
    assert client.post("/digest", b"x" * 200_000).json()["length"] == 200_000


@pytest.mark.parametrize("mount", ["/nested-request", "/nested-shared"])
def test_nested_adapters(shared_server: RunningServer, mount: str) -> None:
    """Issue 3: AsgiToWsgi(WsgiToAsgi(AsgiToWsgi(app))), with bodies both ways."""
    client = Client(shared_server, mount)

    assert client.post("/digest", b"x" * 200_000).json()["length"] == 200_000
    response = client.get("/in-pieces?pieces=20")
    assert (len(response.body), response.complete) == (20 * PIECE, True)


@pytest.mark.where(graceful_stop=True)
def test_shutdown_comes_after_the_last_exchange(taken_server: RunningServer, recipe: Recipe, wire: Wire) -> None:
    """An exchange that runs when the server is told to end may finish; then the application is shut down."""
    client = Client(taken_server, "/living")
    with client.connect() as connection:
        connection.get(f"/living/streams?wire={wire.port}")
        assert wire.hear() == "called"
        wire.tell("start")
        connection.read_until(b"first ")
        taken_server.terminate(recipe.exits_on or signal.SIGTERM)
        wire.tell("go on\ngo on")
        response = connection.read_response()

    assert (response.body, response.complete) == (b"first second third", True)
    ends_in_order(taken_server)


@pytest.mark.where(graceful_stop=False)
def test_shutdown_comes_when_the_server_ends(taken_server: RunningServer) -> None:
    """The signal that ends the server ends the application too, in each process that has started it."""
    Client(taken_server, "/living").get("/report")

    ends_in_order(taken_server)


def ends_in_order(server: RunningServer) -> None:
    """End the server; each application that was started is shut down where it was started."""
    server.stop(server.recipe.exits_on or signal.SIGTERM)

    assert not server.killed
    assert pids("shut down", server.log()) == pids("started", server.log()) != []


# One connection for each process: while it is held, the other process has to answer.
PRELOAD = ("--preload", "--workers", "2", "--threads", "1", "--worker-connections", "1")


@pytest.mark.parametrize(
    ("forking_server", "before_the_fork"),
    [
        pytest.param(("gunicorn-sync", "applications", *PRELOAD), 0, id="gunicorn-sync-preload"),
        pytest.param(("gunicorn-gthread", "applications", *PRELOAD), 0, id="gunicorn-gthread-preload"),
        pytest.param(("gunicorn-gevent", "applications", *PRELOAD), 0, id="gunicorn-gevent-preload"),
        pytest.param(("gunicorn-gthread", "started_early", *PRELOAD), 1, id="gunicorn-gthread-preload-early"),
        pytest.param(("uwsgi-processes", "applications"), 0, id="uwsgi-processes"),
        pytest.param(("uwsgi-processes", "started_early"), 1, id="uwsgi-processes-early"),
        pytest.param(("uwsgi-lazy", "applications"), 0, id="uwsgi-lazy"),
    ],
    indirect=["forking_server"],
)
def test_each_process_starts_the_application_for_itself(
    forking_server: RunningServer, before_the_fork: int, wire: Wire
) -> None:
    """Threads and loops do not come along into a forked process, whatever there was before the fork."""
    client = Client(forking_server, "/living")
    with client.connect() as connection:
        connection.get(f"/living/held?wire={wire.port}")
        assert wire.hear() == "called"
        other = client.get("/report").json()
        wire.tell("go on")
        held = connection.read_response().json()

    assert held["pid"] != other["pid"]
    assert (held["state"]["started in"], other["state"]["started in"]) == (held["pid"], other["pid"])
    forking_server.stop()
    started, shut_down = (pids(verb, forking_server.log()) for verb in ("started", "shut down"))
    assert not forking_server.killed
    assert len(started) == before_the_fork + 2
    # uWSGI's parent process runs no atexit handlers, so what was started there before the fork may not be in it.
    assert {held["pid"], other["pid"]} <= set(shut_down) <= set(started)

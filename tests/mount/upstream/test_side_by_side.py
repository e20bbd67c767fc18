"""FastAPI, Flask and an aiohttp application on its own server, behind one real server and asked by real clients."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from compat_matrix.client import RawClient
from compat_matrix.servers import RECIPES, RunningServer, start
from tests.mount.upstream import aiohttp_application

TIMEOUT = 10.0  # seconds
BROKE_OFF = re.compile(r"ApplicationError: the response of the upstream http://127\S* broke off")

Upstream = aiohttp_application.Upstream


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    with aiohttp_application.running() as running:
        yield running


@pytest.fixture(scope="module", params=["uvicorn-h11", "hypercorn-trio"])
def running_server(request: pytest.FixtureRequest, upstream: Upstream) -> Iterator[RunningServer]:
    with start(
        RECIPES[request.param],
        "tests.mount.upstream.mounted_application:app",
        directory=Path(__file__).parents[3],
        env={"AIOHTTP_URL": upstream.url},
    ) as running:
        yield running
    assert not running.killed


def header(told: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in told["headers"] if key == name]


def web_socket(server: RunningServer, **options: Any) -> ClientConnection:
    url = f"ws://{server.host}:{server.port}/aiohttp/ws"
    connection: ClientConnection = connect(url, proxy=None, open_timeout=TIMEOUT, max_size=None, **options)
    return connection


# -- HTTP ---------------------------------------------------------------------------------------------------------


def test_all_three_answer_below_their_prefixes(client: httpx.Client) -> None:
    """One server, one port, three frameworks."""
    assert client.get("/").json() == {"from": "FastAPI"}
    assert client.get("/flask/").text == "Flask below /flask"
    assert client.get("/flask/moved").headers["location"] == "/flask/"
    assert client.get("/aiohttp/tell").json()["method"] == "GET"


def test_upstream_gets_what_the_client_has_sent(client: httpx.Client, server: RunningServer) -> None:
    """Below the mount, byte by byte, and with where it came from."""
    told = client.get("/aiohttp/tell/a%2Fb;c?x=%20&y").json()

    assert told["target"] == "/tell/a%2Fb;c?x=%20&y"
    assert header(told, "host") == [f"127.0.0.1:{server.port}"]
    assert header(told, "x-forwarded-for") == ["127.0.0.1"]
    assert header(told, "x-forwarded-prefix") == ["/aiohttp"]
    assert header(told, "user-agent") == [client.headers["user-agent"]]
    assert header(told, "connection") == []


def test_raw_request_gets_no_header_but_the_forwarded_ones(server: RunningServer) -> None:
    """No User-Agent, Accept or Accept-Encoding that a client library would add."""
    with RawClient(server.host, server.port, TIMEOUT) as raw:
        raw.get("/aiohttp/tell")
        told = json.loads(raw.read_response().body)

    names = ["host", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix"]
    assert [name for name, _ in told["headers"]] == names


def test_upload_arrives_whole(client: httpx.Client) -> None:
    """With a length, and without one."""
    body = b"x" * 3_000_000

    declared = client.post("/aiohttp/tell", content=body).json()
    chunked = client.post("/aiohttp/tell", content=iter([body, b"y"])).json()

    assert (declared["size"], header(declared, "content-length")) == (3_000_000, ["3000000"])
    assert (chunked["size"], header(chunked, "transfer-encoding")) == (3_000_001, ["chunked"])


def test_head_and_other_methods_arrive(client: httpx.Client) -> None:
    """Whatever they are called."""
    assert client.head("/aiohttp/tell").headers["content-length"] != "0"
    assert client.request("PROPFIND", "/aiohttp/tell").json()["method"] == "PROPFIND"
    assert header(client.post("/aiohttp/tell").json(), "content-length") == ["0"]


def test_redirect_and_cookies_are_the_clients_business(client: httpx.Client) -> None:
    """An upstream that heeds X-Forwarded-Prefix builds its URLs below the mount."""
    response = client.get("/aiohttp/login")

    assert (response.status_code, response.headers["location"]) == (302, "/aiohttp/tell")
    assert response.headers.get_list("set-cookie") == ["a=1; Path=/", "b=2; Path=/aiohttp"]
    assert header(client.get("/aiohttp/tell").json(), "cookie") == ["b=2; a=1"]  # RFC 6265, 5.4: the longer path first
    client.cookies.clear()
    assert header(client.get("/aiohttp/tell").json(), "cookie") == []


def test_response_is_streamed(client: httpx.Client, upstream: Upstream) -> None:
    """The first piece is here before the second one is made."""
    upstream.go_on.clear()
    with client.stream("GET", "/aiohttp/stream") as response:
        pieces = response.iter_raw()
        first = next(pieces)
        upstream.let_go_on()
        rest = b"".join(pieces)

    assert (first, rest) == (b"first ", b"second")


def test_client_that_leaves_ends_the_upstreams_work(client: httpx.Client, upstream: Upstream) -> None:
    """At once, not when it next writes."""
    upstream.cancelled.clear()
    with client.stream("GET", "/aiohttp/endless") as response:
        assert next(response.iter_raw()) == b"here"

    assert upstream.cancelled.wait(TIMEOUT)


def test_response_that_breaks_off_is_cut(client: httpx.Client, server: RunningServer) -> None:
    """The client can tell it from a whole one, and the server's log says why."""
    before = len(server.log())

    with pytest.raises(httpx.RemoteProtocolError):
        client.get("/aiohttp/cut")

    server.wait_for_log(BROKE_OFF, after=before, timeout=TIMEOUT)


def test_upload_that_is_refused_is_answered(server: RunningServer) -> None:
    """While most of it has not been sent."""
    with RawClient(server.host, server.port, TIMEOUT) as raw:
        raw.send(b"POST /aiohttp/refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 100000000\r\n\r\nabc")
        response = raw.read_response()

    assert (response.status, response.body) == (413, b"too long")


def test_client_that_expects_continue_is_told_to(server: RunningServer) -> None:
    """RFC 9110, 10.1.1: aiohttp says it, and then the server does."""
    with RawClient(server.host, server.port, TIMEOUT) as raw:
        raw.send(b"POST /aiohttp/tell HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        interim = raw.read_response()
        raw.send(b"abc")
        told = json.loads(raw.read_response().body)

    assert (interim.status, told["size"]) == (100, 3)


def test_connections_serve_many_requests(client: httpx.Client) -> None:
    """That of the client, and that of the upstream."""
    told = [client.get("/aiohttp/tell").status_code for _ in range(20)]

    assert told == [200] * 20


# -- WebSocket ----------------------------------------------------------------------------------------------------


def test_websocket_is_passed_through(server: RunningServer) -> None:
    """Its subprotocol, its messages of any size, and a ping of the client's own."""
    with web_socket(server, subprotocols=["superchat", "chat"]) as socket:
        socket.send("hello")
        said = socket.recv(TIMEOUT)
        socket.send(b"x" * 2_000_000)
        large = socket.recv(TIMEOUT)
        answered = socket.ping().wait(TIMEOUT)
        subprotocol = socket.subprotocol

    assert (said, subprotocol, answered) == ("/aiohttp: hello", "chat", True)
    assert large == b"x" * 2_000_000


def test_close_of_the_upstream_reaches_the_client(server: RunningServer) -> None:
    """With its code and its reason."""
    with web_socket(server) as socket:
        socket.send("leave")
        with pytest.raises(ConnectionClosed) as closed:
            socket.recv(TIMEOUT)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4002, "as you wish")


def test_close_of_the_client_reaches_the_upstream(server: RunningServer, upstream: Upstream) -> None:
    """Hypercorn tells its application 1006 of every close, so that there the upstream sees a loss."""
    upstream.cancelled.clear()
    with web_socket(server) as socket:
        socket.close(4001, "enough")

    assert upstream.cancelled.wait(TIMEOUT)
    assert (upstream.close_code == 4001) is server.recipe.name.startswith("uvicorn")


def test_denied_handshake_has_the_upstreams_answer(server: RunningServer) -> None:
    """A status and a text, where the server can say them."""
    with pytest.raises(InvalidStatus) as denied, web_socket(server, additional_headers={"X-Stranger": "1"}):
        pass

    assert (denied.value.response.status_code, denied.value.response.body) == (401, b"who are you?")

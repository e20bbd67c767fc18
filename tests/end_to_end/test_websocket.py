"""WebSockets of WSGI applications, on real servers and with real clients: messages, handshakes, closes."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from compat_matrix.servers import RunningServer
from compat_matrix.wire import TIMEOUT

from .websocket_servers import (
    by_hand,
    ended,
    expect_log,
    frame,
    opened,
    receive,
    server,
    start_server,
    websocket_servers,
)

# Fixtures of this module.
__all__ = ["server", "websocket_servers"]

# What Daphne takes by default; and it sends no message that is empty.
_LARGEST = {"daphne": 1_000_000}
# The others have no extension.
_COMPRESSING = ("uvicorn-h11", "hypercorn-asyncio", "hypercorn-trio")


def read_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Return first byte and payload of each frame of a server; short ones only."""
    frames = []
    while data:
        size = data[1]
        frames.append((data[0], data[2 : 2 + size]))
        data = data[2 + size :]
    return frames


@pytest.mark.parametrize("path", ["/echo", "/flask/echo", "/gevent/echo"])
def test_messages_go_both_ways(server: RunningServer, path: str) -> None:
    """Text, binary, none, and 16 MiB, as far as the server takes them; fragments come as one message."""
    name = server.recipe.name
    large = _LARGEST.get(name, 1 << 24)

    with opened(server, path, compression=None) as client:
        for message in ("é", b"\xff\x00", "", b"", "é" * 100_000, b"\xff" * large):
            if message or name != "daphne":
                client.send(message)
                assert receive(client) == message
        client.send(["a", "b", "é"])
        assert receive(client) == "abé"


@pytest.mark.parametrize("path", ["/echo", "/flask/echo"])
@pytest.mark.parametrize("server", ["uvicorn-h11"], indirect=True)
def test_sixteen_mebibytes_of_text(server: RunningServer, path: str) -> None:
    """Two bytes a character, so that frames and pieces of the way end in the middle of one."""
    message = "x" + "é" * ((1 << 23) - 1)

    with opened(server, path, compression=None) as client:
        client.send(message)
        assert receive(client) == message


@pytest.mark.parametrize("path", ["/echo", "/flask/echo"])
@pytest.mark.parametrize("server", ["uvicorn-h11", "hypercorn-trio"], indirect=True)
def test_messages_keep_their_order(server: RunningServer, path: str) -> None:
    """Ten thousand of them; both sides speak at once, neither waits for the other's answer."""
    slow = (server.recipe.name, path) == ("hypercorn-trio", "/flask/echo")
    said = [str(number) for number in range(1_000 if slow else 10_000)]

    with opened(server, path) as client:

        def speak() -> None:
            for one in said:
                client.send(one)

        writer = threading.Thread(target=speak)
        writer.start()
        heard = [receive(client) for _ in said]
        writer.join(TIMEOUT)

    assert heard == said


@pytest.mark.parametrize("path", ["/echo", "/flask/echo"])
def test_fragments_end_anywhere(server: RunningServer, path: str) -> None:
    """In the middle of a character too, and a ping between two of them is answered. RFC 6455, 5.4."""
    with by_hand(server, path) as client:
        client.sendall(frame(0x01, b"caf\xc3") + frame(0x89, b"ping") + frame(0x00, b"") + frame(0x80, b"\xa9"))
        heard = b""
        while len(heard) < 13:
            heard += client.recv(4096)

    assert sorted(read_frames(heard)) == [(0x81, "café".encode()), (0x8A, b"ping")]


@pytest.mark.parametrize("path", ["/echo", "/flask/echo"])
@pytest.mark.parametrize("offered", [True, False], ids=["offered", "not offered"])
def test_compression_is_between_client_and_server(server: RunningServer, path: str, offered: bool) -> None:
    """It is negotiated where both can; the application sees none of it, whole or in fragments."""
    expected = ["permessage-deflate"] if offered and server.recipe.name in _COMPRESSING else []

    with opened(server, path, compression="deflate" if offered else None) as client:
        assert [extension.name for extension in client.protocol.extensions] == expected
        for message in ("compressible " * 10_000, bytes(100_000)):
            client.send(message)
            assert receive(client) == message
        client.send(["one ", "two ", "two " * 1_000])
        assert receive(client) == "one two " + "two " * 1_000


def shown(client: Any) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(receive(client))
    return facts


def test_handshake_is_in_environ(server: RunningServer) -> None:
    """PEP 3333 and RFC 6455, 4.1: a GET request with path, query, cookies and headers; extensions are the server's."""
    headers = {"Cookie": "k=v; l=w", "X-Test": "first, second"}

    with opened(server, "/shown?x=%C3%A9", additional_headers=headers, origin="http://there") as client:
        environ = shown(client)["environ"]
        key = client.request.headers["Sec-WebSocket-Key"]

    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "",
        "PATH_INFO": "/shown",
        "QUERY_STRING": "x=%C3%A9",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_PORT": str(server.port),
        "HTTP_HOST": f"{server.host}:{server.port}",
        "HTTP_COOKIE": "k=v; l=w",
        "HTTP_X_TEST": "first, second",
        "HTTP_ORIGIN": "http://there",
        "HTTP_CONNECTION": "Upgrade",
        "HTTP_UPGRADE": "websocket",
        "HTTP_SEC_WEBSOCKET_VERSION": "13",
        "HTTP_SEC_WEBSOCKET_KEY": key,
        "HTTP_SEC_WEBSOCKET_EXTENSIONS": None,
    }
    assert {name: environ.get(name) for name in expected} == expected


def test_mount_is_in_environ(server: RunningServer) -> None:
    """ASGI specification, root_path: SCRIPT_NAME has it, PATH_INFO what follows."""
    before = len(server.log())
    with opened(server, "/one/shown") as client:
        environ = shown(client)["environ"]

    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/one", "/shown")
    expect_log(server, "over: /one/shown, 0 left", before)


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        pytest.param(["a", "b", "c"], "b", id="one of several"),
        pytest.param(["a", "b"], None, id="none of several"),
        pytest.param(None, None, id="none offered"),
    ],
)
def test_application_chooses_the_subprotocol(server: RunningServer, offered: Any, chosen: str | None) -> None:
    """Of what the client offers, in its order, or none. RFC 6455, 4.2.2."""
    with opened(server, f"/shown?choose={chosen}" if chosen else "/shown", subprotocols=offered) as client:
        assert (shown(client)["subprotocols"], client.subprotocol) == (offered or [], chosen)


@pytest.mark.parametrize(("offered", "chosen"), [(["other", "chat"], "chat"), (["other"], None)])
def test_library_chooses_the_subprotocol(server: RunningServer, offered: Any, chosen: str | None) -> None:
    """The one that flask-sock was told of, if the client offers it."""
    with opened(server, "/flask/echo", subprotocols=offered) as client:
        assert client.subprotocol == chosen


def test_headers_of_the_accept_reach_the_client(server: RunningServer) -> None:
    """Each value of them. Granian and Daphne drop them."""
    with opened(server, "/shown") as client:
        headers = client.response.headers

    dropped = server.recipe.name in ("granian", "daphne")
    assert (headers.get_all("X-Served"), headers.get_all("Set-Cookie")) == (
        ([], []) if dropped else (["yes"], ["a=1", "b=2"])
    )


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999])
def test_applications_close_has_its_code(server: RunningServer, code: int) -> None:
    """What it has sent before arrives before it. Daphne sends no reason, and can send 1000 and 3000 to 4999 only."""
    expected = (code, "why")
    if server.recipe.name == "daphne":
        expected = (1011 if code == 1001 else code, "")

    with opened(server, f"/close?code={code}") as client:
        assert (receive(client), ended(client)) == ("last", expected)


def test_close_of_a_library_has_its_code(server: RunningServer) -> None:
    """flask-sock writes it as a frame."""
    with opened(server, "/flask/close") as client:
        assert (receive(client), ended(client)) == ("last", (4002, "" if server.recipe.name == "daphne" else "why"))


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999, None])
def test_clients_close_is_told(server: RunningServer, code: int | None) -> None:
    """1005 for one without a code, RFC 6455, 7.1.5. Hypercorn tells 1006 for all, Granian and Daphne no reason."""
    name = server.recipe.name
    reason = "bye" if code is not None and name not in ("granian", "daphne") else ""
    expected = "1006 ''" if name.startswith("hypercorn") else f"{code or 1005} '{reason}'"
    before = len(server.log())

    with opened(server, "/echo") as client:
        if code is None:
            client.socket.sendall(frame(0x88, b""))
            # Daphne answers with a code although none was said.
            assert ended(client) == (1000 if name == "daphne" else 1005, "")
        else:
            client.close(code, "bye")

    assert expect_log(server, r"ended with \d+ .*", before) == f"ended with {expected}"


@pytest.mark.parametrize(("path", "code"), [("/returns", 1000), ("/fail", 1011)])
def test_end_without_a_close_has_a_code(server: RunningServer, path: str, code: int) -> None:
    """RFC 6455, 7.4.1."""
    with opened(server, path) as client:
        assert ended(client)[0] == code


def refusal(server: RunningServer, path: str) -> tuple[int, bytes]:
    """Return status and body with which a handshake is answered."""
    with pytest.raises(InvalidStatus) as raised, opened(server, path):
        pass
    return raised.value.response.status_code, bytes(raised.value.response.body)


@pytest.mark.parametrize(
    ("path", "status"), [("/other", 401), ("/flask/other", 404), ("/gevent/other", 404), ("/django/other", 404)]
)
def test_application_that_does_not_take_it_answers(server: RunningServer, path: str, status: int) -> None:
    """With its response, on a server that can send it; elsewhere with 403."""
    answered, body = refusal(server, path)

    if server.recipe.name == "daphne":
        assert (answered, body) == (403, b"")
    else:
        assert (answered, bool(body)) == (status, True)
        assert path != "/other" or body == b"who are you?"


def test_close_before_the_accept_refuses(server: RunningServer) -> None:
    """ASGI specification, "Close - send event"."""
    assert refusal(server, "/refuse") == (403, b"")


def test_failure_before_the_accept_is_answered(server: RunningServer) -> None:
    """By the server, in its way, and the client does not wait."""
    assert refusal(server, "/fail_before")[0] == (403 if server.recipe.name in ("granian", "daphne") else 500)


# Hypercorn ends its connections only after its graceful timeout, 3 s by default, and then without a word.
_ENDS = {
    "uvicorn-h11": ((), 1012),
    "hypercorn-trio": (("--graceful-timeout", "0"), 1006),
    "granian": ((), 1006),
    "daphne": ((), 1006),
}


@pytest.mark.parametrize("name", _ENDS)
def test_shutdown_ends_a_websocket_that_is_idle(name: str) -> None:
    """The client sees an end, with a close where the server sends one, the application hears of it, and all end."""
    options, code = _ENDS[name]
    with start_server(name, *options) as server:
        with opened(server, "/echo") as client:
            client.send("open")
            assert receive(client) == "open"
            server.terminate()
            assert ended(client)[0] == code
        server.stop()

    assert not server.killed
    assert "ended with 1" in server.log()

"""What a client gets: complete responses as they were meant, chunks when they are made, and failures as such."""

from pathlib import Path

import pytest

from compat_matrix.client import RawClient, Response
from compat_matrix.wire import Wire

from .applications import PIECE
from .client import Client


@pytest.mark.parametrize(("target", "body"), [("/hello", b"hello"), ("/in-one-message", b"hello"), ("/empty", b"")])
def test_response_is_complete_and_the_connection_goes_on(client: Client, target: str, body: bytes) -> None:
    """Whoever sets the length, client and server agree where the response ends."""
    with client.connect() as connection:
        connection.get(client.mount + target)
        response = connection.read_response()

        assert (response.status, response.body, response.complete) == (200, body, True)
        assert nothing_follows(client, connection, response)


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [("HEAD", "/hello", 200), ("GET", "/no-content", 204), ("GET", "/not-modified", 304)],
)
def test_response_that_has_no_body_is_followed_by_the_next(
    client: Client, method: str, target: str, status: int
) -> None:
    """RFC 9110, 6.4.1: not one byte of a body, or the next response would begin with it."""
    with client.connect() as connection:
        connection.send(client.head(method, target))
        response = connection.read_response(method)

        assert response.status == status
        assert nothing_follows(client, connection, response)


@pytest.mark.parametrize("target", ["/in-one-message", "/in-pieces?pieces=3"])
def test_response_to_head_has_no_body_either_when_its_length_is_unknown(client: Client, target: str) -> None:
    """RFC 9112, 6.3: not even the end of one. RFC 9110, 8.6: nor a length that GET would not have."""
    with client.connect() as connection:
        connection.send(client.head("HEAD", target))
        response = connection.read_response("HEAD")

        assert (response.status, "0" in response.all("content-length")) == (200, False)
        assert nothing_follows(client, connection, response)


def nothing_follows(client: Client, connection: RawClient, response: Response) -> bool:
    """Say whether *response* is followed by the end of the connection, or by the next response where that may be."""
    if "close" in response.all("connection") or not client.server.recipe.keep_alive:
        return connection.ended()
    connection.get(f"{client.mount}/hello")
    return connection.read_response().body == b"hello"


def test_headers_keep_their_order_and_their_bytes(client: Client) -> None:
    """RFC 9110, 5.3: each Set-Cookie is a header of its own."""
    response = client.get("/repeated-headers")

    assert response.all("set-cookie") == ["a=1", "b=2"]
    assert response.body == b"hello"


def test_header_values_are_bytes_to_the_client_too(client: Client) -> None:
    """ASGI has bytes, PEP 3333 a character for each, and the client bytes again."""
    assert client.get("/repeated-headers").all("x-latin") == ["caf\xe9"]


def test_long_response_arrives_as_it_was_sent(client: Client) -> None:
    """4 MiB of unknown length, in 256 chunks."""
    response = client.get("/in-pieces?pieces=256")

    assert response.complete
    assert response.body == b"".join(bytes([number]) * PIECE for number in range(256))


def test_chunk_arrives_before_the_next_is_made(client: Client, wire: Wire) -> None:
    """PEP 3333 "Buffering and Streaming": no chunk is held back."""
    with client.connect() as connection:
        connection.get(f"{client.mount}/streams?wire={wire.port}")
        assert wire.hear() == "called"
        wire.tell("start")
        connection.read_until(b"first ")
        wire.tell("go on")
        connection.read_until(b"second ")
        wire.tell("go on")
        response = connection.read_response()

    assert (response.body, response.complete) == (b"first second third", True)


# By package. The others have no wsgi.file_wrapper, SERVERS.md 3.3; there the application sends the bytes.
SEND_FILES = {"gunicorn", "mod_wsgi", "waitress", "wsgiref", "uwsgidecorators"}


def test_file_is_sent_by_the_server_where_it_can(client: Client, tmp_path: Path) -> None:
    """Issue 3: http.response.pathsend where the server has wsgi.file_wrapper. The connection goes on after it."""
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 4096)
    with client.connect() as connection:
        connection.get(f"{client.mount}/file?path={path}")
        response = connection.read_response()

        by_server = client.server.recipe.package in SEND_FILES
        assert response.all("x-sent-by") == ["server" if by_server else "application"]
        assert (response.status, response.body == path.read_bytes()) == (200, True)
        assert nothing_follows(client, connection, response)


@pytest.mark.where(package="gunicorn")
def test_hints_reach_the_client_before_the_response(client: Client, wire: Wire) -> None:
    """RFC 8297: 103 while the application still works on its response, which follows."""
    with client.connect() as connection:
        connection.get(f"{client.mount}/hints?wire={wire.port}")
        hints = connection.read_response()
        wire.tell("go on")
        response = connection.read_response()

    assert (hints.status, hints.all("link")) == (103, ["</a.css>; rel=preload", "</b.js>; rel=preload"])
    assert (response.status, response.body, response.complete) == (200, b"hello", True)


def test_work_after_the_response_keeps_no_client_waiting(client: Client, wire: Wire) -> None:
    """What an application does after its last message (background tasks) is done while the client reads on."""
    response, said = work_after(client, wire, "declared")

    assert (response, said) == (b"hellohello", "worked on")


@pytest.mark.where(ends_before_close=True)
def test_work_after_a_response_of_unknown_length_keeps_no_client_waiting(client: Client, wire: Wire) -> None:
    """The same where only the end of the body tells the client that it is complete."""
    response, said = work_after(client, wire, "unknown")

    assert (response, said) == (b"hellohello", "worked on")


def work_after(client: Client, wire: Wire, length: str) -> tuple[bytes, str]:
    """Return the response's body and what the application said after it."""
    with client.connect() as connection:
        connection.get(f"{client.mount}/works-on?length={length}&wire={wire.port}")
        response = connection.read_response()
        wire.tell("response is here")
        return response.body, wire.hear()


FAILURES = pytest.mark.parametrize("target", ["/fails-at-once", "/fails-after-start", "/returns-nothing"])


@FAILURES
@pytest.mark.where(answers_failure=True)
def test_failure_before_the_first_chunk_is_a_500(client: Client, target: str) -> None:
    """Nothing was sent, so the status can still say it. The server goes on."""
    assert client.get(target).status == 500
    assert client.get("/hello").body == b"hello"


@FAILURES
@pytest.mark.where(answers_failure=False)
def test_failure_before_the_first_chunk_closes_the_connection(client: Client, target: str) -> None:
    """Some servers answer no failing application at all. They go on."""
    with pytest.raises(EOFError):
        client.get(target)
    assert client.get("/hello").body == b"hello"


@pytest.mark.where(frames_body=True)
def test_failure_after_the_first_chunk_leaves_the_response_incomplete(client: Client, wire: Wire) -> None:
    """RFC 9112, 8: the client can tell, since the body never ended."""
    assert broken_off(client, wire, "/breaks-off") == (b"first", False)


@pytest.mark.parametrize("target", ["/breaks-off-with-length", "/ends-early", "/never-ends"])
def test_response_that_misses_its_length_is_cut_at_once(client: Client, wire: Wire, target: str) -> None:
    """RFC 9112, 8. A server that kept the connection open would keep the client waiting for ever."""
    assert broken_off(client, wire, target) == (b"first", False)


def broken_off(client: Client, wire: Wire, target: str) -> tuple[bytes, bool]:
    """Return the body that arrived, and whether the client must take it for complete."""
    with client.connect() as connection:
        connection.get(f"{client.mount}{target}?wire={wire.port}")
        connection.read_until(b"first")
        wire.tell("fail")
        response = connection.read_response()
        return response.body, response.complete


@pytest.mark.parametrize("target", ["/too-short", "/too-long"])
def test_response_of_another_length_than_declared_never_looks_complete(client: Client, target: str) -> None:
    """RFC 9112, 8: neither half a response nor the beginning of the next one."""
    try:
        response = client.get(target)
    except EOFError:
        assert not client.server.recipe.answers_failure
    else:
        assert response.status == 500 or not response.complete


def test_send_raises_when_the_client_has_left(client: Client, wire: Wire) -> None:
    """ASGI HTTP specification 2.4: ``send()`` raises an OSError, and the application's finally block runs."""
    with client.connect() as connection:
        connection.get(f"{client.mount}/endless?wire={wire.port}")
        connection.read_until(b"first")
    wire.tell("client left")

    assert (wire.hear(), wire.hear()) == ("OSError", "finally")


def test_receive_says_when_the_client_has_left(client: Client, wire: Wire) -> None:
    """ASGI HTTP specification: ``http.disconnect``, for an application that watches for it while it sends."""
    with client.connect() as connection:
        connection.get(f"{client.mount}/watches?wire={wire.port}")
        connection.read_until(b"first")
    wire.tell("client left")

    assert (wire.hear(), wire.hear()) == ("http.disconnect", "finally")

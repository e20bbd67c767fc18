"""The client's half of RFC 6455 as an application's library meets it: bytes in, events out, and back."""

from __future__ import annotations

from typing import Any

import pytest
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, RejectConnection, TextMessage
from wsproto.extensions import PerMessageDeflate

from bridge.wsgi_to_asgi.websocket_frames import Accepted, Broken, Closed, Frames, Refused, Reply

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455, 1.3
HANDSHAKE = (
    "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)


class Library:
    """The server's half, as simple-websocket has it."""

    def __init__(self) -> None:
        self.connection = WSConnection(ConnectionType.SERVER)
        self.connection.receive_data(HANDSHAKE.encode())
        list(self.connection.events())

    def say(self, *events: Event) -> bytes:
        return b"".join(bytes(self.connection.send(event)) for event in events)

    def hear(self, data: bytes) -> list[Event]:
        self.connection.receive_data(data)
        return list(self.connection.events())


@pytest.fixture
def library() -> Library:
    return Library()


@pytest.fixture
def frames(library: Library) -> Frames:
    """A WebSocket that is open."""
    made = Frames(KEY)
    assert list(made.read(library.say(AcceptConnection()))) == [Accepted(None, [])]
    return made


def test_acceptance_has_subprotocol_and_headers(library: Library) -> None:
    """RFC 6455, 4.2.2; what belongs to the handshake itself is not passed on."""
    answer = library.say(AcceptConnection(subprotocol="chat", extra_headers=[(b"Set-Cookie", b"a=1")]))

    assert list(Frames(KEY).read(answer)) == [Accepted("chat", [(b"set-cookie", b"a=1")])]


def test_bytes_come_one_by_one(library: Library) -> None:
    """A stream has no borders."""
    made = Frames(KEY)
    said = library.say(AcceptConnection(), TextMessage("é" * 70), BytesMessage(b"\xff"), Ping(b"x"))

    events = [event for byte in said for event in made.read(bytes([byte]))]

    assert [type(event) for event in events] == [Accepted, str, bytes, Reply]
    assert events[1:3] == ["é" * 70, b"\xff"]


def test_fragments_are_one_message(library: Library, frames: Frames) -> None:
    """RFC 6455, 5.4: with a ping in between, which is answered at once."""
    said = library.say(
        TextMessage("a", message_finished=False),
        Ping(b"p"),
        TextMessage("b", message_finished=False),
        TextMessage("", message_finished=True),
    )

    reply, message = frames.read(said)

    assert message == "ab"
    assert isinstance(reply, Reply)
    (pong,) = library.hear(reply.data)
    assert (type(pong).__name__, getattr(pong, "payload", None)) == ("Pong", b"p")


@pytest.mark.parametrize(
    "message",
    [
        pytest.param("", id="empty text"),
        pytest.param(b"", id="empty binary"),
        pytest.param("é" * 200_000, id="long text"),
        pytest.param(b"\xff" * 200_000, id="long binary"),
    ],
)
def test_message_is_written_in_frames(message: str | bytes, library: Library, frames: Frames) -> None:
    """A large one in several, so that no other has to wait for all of it; together they are what was sent."""
    written = list(frames.write(message))

    events: list[Any] = [event for frame in written for event in library.hear(frame)]
    assert {type(event) for event in events} == {TextMessage if isinstance(message, str) else BytesMessage}
    joined: str | bytes = type(message)().join(event.data for event in events)
    assert joined == message
    assert events[-1].message_finished
    assert len(written) == max(1, -(-len(message) // 65536))


def test_close_of_the_application_is_answered(library: Library, frames: Frames) -> None:
    """RFC 6455, 5.5.1; nothing is written after that."""
    (closed,) = frames.read(library.say(CloseConnection(4002, "why")))

    assert isinstance(closed, Closed)
    assert (closed.code, closed.reason) == (4002, "why")
    (answer,) = library.hear(closed.reply)
    assert isinstance(answer, CloseConnection)
    assert (frames.open, list(frames.write("x")), frames.close(1000, "")) == (False, [], b"")


@pytest.mark.parametrize(("code", "told"), [(1001, 1001), (4999, 4999), (1005, 1005), (1006, 1005), (9999, 1005)])
def test_close_of_the_client_is_written(code: int, told: int, library: Library, frames: Frames) -> None:
    """RFC 6455, 7.4.1: a code that must not be sent is left out, which is received as 1005."""
    (close,) = library.hear(frames.close(code, "bye" if told == code != 1005 else ""))

    assert isinstance(close, CloseConnection)
    assert (close.code, close.reason or "") == (told, "bye" if told == code != 1005 else "")
    (answer,) = frames.read(library.say(close.response()))
    assert isinstance(answer, Closed)
    assert answer.reply == b""


def test_another_status_refuses(library: Library) -> None:
    """The application speaks HTTP there as well as it speaks WebSocket."""
    assert list(Frames(KEY).read(library.say(RejectConnection(status_code=401)))) == [Refused(401)]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        pytest.param(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n", "Sec-WebSocket-Accept", id="no token"),
        pytest.param(b"\x81\x01a\r\n\r\n", "not HTTP", id="frames at once"),
        pytest.param(b"HTTP/1.1 101 X\r\n" + b"A: b\r\n" * 20_000, "not HTTP", id="head without end"),
    ],
)
def test_answer_that_is_none_breaks_it(answer: bytes, reason: str) -> None:
    """RFC 6455, 4.1: the client fails the connection."""
    (broken,) = Frames(KEY).read(answer)

    assert isinstance(broken, Broken)
    assert reason in broken.reason


def test_extension_that_was_not_offered_breaks_it(library: Library) -> None:
    """RFC 6455, 4.1; the environ offers none."""
    answer = library.say(AcceptConnection(extensions=[PerMessageDeflate()]))

    (broken,) = Frames(KEY).read(answer)

    assert isinstance(broken, Broken)
    assert "extension" in broken.reason


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        pytest.param(b"\x81\x02\xc3\x28", 1007, id="not UTF-8"),
        pytest.param(b"\x83\x00", 1002, id="unknown opcode"),
        pytest.param(b"\x81\x81\x00\x00\x00\x00a", 1002, id="masked by a server"),
        pytest.param(b"\x80\x01a", 1002, id="continuation of nothing"),
    ],
)
def test_bad_frames_break_it(bad: bytes, code: int, library: Library, frames: Frames) -> None:
    """RFC 6455, 7.4.1: the application is told with the code for it."""
    (broken,) = frames.read(bad)

    assert isinstance(broken, Broken)
    (close,) = library.hear(broken.reply)
    assert isinstance(close, CloseConnection)
    assert close.code == code

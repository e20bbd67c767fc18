"""The client's half of RFC 6455, for an application that speaks the server's on a socket. Pure: bytes to events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias, cast

import h11
from wsproto.connection import CLIENT, Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

from bridge.http import HOP_BY_HOP
from bridge.rfc6455 import FRAME_SIZE, SENDABLE, accept_token

if TYPE_CHECKING:
    from collections.abc import Iterator

# What an application may say before the head of its answer is complete, in bytes.
_HEAD_LIMIT: Final = 1 << 16

_OF_THE_HANDSHAKE: Final = frozenset(name.encode("ascii") for name in HOP_BY_HOP)


@dataclass(frozen=True)
class Accepted:
    """The application has answered the handshake with 101."""

    subprotocol: str | None
    headers: list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Refused:
    """It has answered with another status."""

    status: int


@dataclass(frozen=True)
class Closed:
    """It has closed the WebSocket, or answered the close of the client."""

    code: int
    reason: str
    reply: bytes
    """What it is to get for that; nothing for an answer."""


@dataclass(frozen=True)
class Reply:
    """It is owed these bytes: the answer to a ping."""

    data: bytes


@dataclass(frozen=True)
class Broken:
    """What it wrote is not RFC 6455."""

    reason: str
    reply: bytes


Event: TypeAlias = "str | bytes | Accepted | Refused | Closed | Reply | Broken"


class Frames:
    """Read what an application writes, and write what it is to read.

    Args:
        key: ``Sec-WebSocket-Key`` of the handshake that it has in its environ.
    """

    def __init__(self, key: str) -> None:
        self._token = accept_token(key)
        self._head: h11.Connection | None = h11.Connection(h11.CLIENT, max_incomplete_event_size=_HEAD_LIMIT)
        # Nobody reads it, since the application has it in environ; h11 wants to know that an upgrade was asked for.
        headers = [(b"host", b"bridge"), (b"connection", b"Upgrade"), (b"upgrade", b"websocket")]
        self._head.send(h11.Request(method="GET", target="/", headers=headers))
        self._head.send(h11.EndOfMessage())
        self._frames = Connection(CLIENT)
        self._pieces: list[str | bytes] = []  # of a message that is not complete

    @property
    def open(self) -> bool:
        """Whether messages can be written."""
        return self._head is None and self._frames.state is ConnectionState.OPEN

    def read(self, data: bytes) -> Iterator[Event]:
        """Return what *data* completes: messages as str or bytes, and what else there is to know or to answer."""
        if self._head is not None:
            yield from self._read_head(self._head, data)
        else:
            self._frames.receive_data(data)
        if self._head is None:
            yield from self._read_frames()

    def _read_head(self, head: h11.Connection, data: bytes) -> Iterator[Event]:
        try:
            head.receive_data(data)
            event = head.next_event()
            while isinstance(event, h11.InformationalResponse) and event.status_code != 101:
                event = head.next_event()
        except h11.RemoteProtocolError as error:
            yield Broken(f"the answer to the handshake is not HTTP: {error}", b"")
            return
        if event is h11.NEED_DATA:
            return
        if isinstance(event, h11.Response):
            yield Refused(event.status_code)
            return
        answer = cast("h11.InformationalResponse", event)
        said = {bytes(name): bytes(value) for name, value in answer.headers}
        if said.get(b"sec-websocket-accept", b"").decode("latin-1") != self._token:
            yield Broken("Sec-WebSocket-Accept is not for the key of this handshake", b"")
        elif b"sec-websocket-extensions" in said:
            yield Broken("it has an extension, and none was offered", b"")
        else:
            self._head = None
            subprotocol = said.get(b"sec-websocket-protocol", b"").decode("latin-1") or None
            yield Accepted(subprotocol, _end_to_end(answer))
            self._frames.receive_data(head.trailing_data[0])

    def _read_frames(self) -> Iterator[Event]:
        for event in self._frames.events():
            if isinstance(event, CloseConnection):
                code, reason = int(event.code), event.reason or ""
                if self._frames.state is ConnectionState.OPEN:  # wsproto makes one of what it cannot read
                    yield Broken(reason, bytes(self._frames.send(CloseConnection(event.code, reason))))
                elif self._frames.state is ConnectionState.REMOTE_CLOSING:
                    yield Closed(code, reason, bytes(self._frames.send(event.response())))
                else:
                    yield Closed(code, reason, b"")
                return
            if isinstance(event, Ping):
                if self._frames.state is ConnectionState.OPEN:
                    yield Reply(bytes(self._frames.send(event.response())))
            elif isinstance(event, (TextMessage, BytesMessage)):
                self._pieces.append(event.data if isinstance(event, TextMessage) else bytes(event.data))
                if event.message_finished:
                    pieces, self._pieces = self._pieces, []
                    if isinstance(event, TextMessage):
                        yield "".join(cast("list[str]", pieces))
                    else:
                        yield b"".join(cast("list[bytes]", pieces))

    def write(self, message: str | bytes) -> Iterator[bytes]:
        """Return the frames of a message, each made when it is asked for; none once the WebSocket is closed."""
        end = len(message)
        start = 0
        while self.open:
            piece = message[start : start + FRAME_SIZE]
            start += FRAME_SIZE
            last = start >= end
            if isinstance(piece, str):
                yield bytes(self._frames.send(TextMessage(piece, message_finished=last)))
            else:
                yield bytes(self._frames.send(BytesMessage(piece, message_finished=last)))
            if last:
                return

    def close(self, code: int, reason: str) -> bytes:
        """Return the close frame, ``b""`` once there was one. A code that cannot be sent is left out."""
        if not self.open:
            return b""
        if code not in SENDABLE:
            return bytes(self._frames.send(CloseConnection(CloseReason.NO_STATUS_RCVD)))
        return bytes(self._frames.send(CloseConnection(code, reason)))


def _end_to_end(answer: h11.InformationalResponse) -> list[tuple[bytes, bytes]]:
    headers = [(bytes(name), bytes(value)) for name, value in answer.headers]
    return [pair for pair in headers if pair[0] not in _OF_THE_HANDSHAKE and not pair[0].startswith(b"sec-websocket-")]

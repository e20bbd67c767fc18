"""The way in of a WebSocket: what the client says, put together and held against the limits. Knows no application."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel
from wsproto.connection import ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from bridge.asgi_to_wsgi.websocket_speaker import CLOSE_WAIT
from bridge.rfc6455 import ABNORMAL, TOO_BIG

if TYPE_CHECKING:
    from wsproto.connection import Connection as Frames

    from bridge.asgi_to_wsgi.websocket_inbox import Inbox
    from bridge.asgi_to_wsgi.websocket_speaker import Speaker
    from bridge.asgi_to_wsgi.websocket_wire import Wire

_logger = logging.getLogger("bridge")

_PIECE: Final = 65536  # bytes that are read at a time
_TURN: Final = 16384  # bytes after which others on the loop have a turn
_READ: Final = 512  # bytes that a read counts beside its own
_INFLATES: Final = 1024  # how many times as much zlib can make of its input, nearly


class Listener:
    """What one client says. Event loop."""

    def __init__(
        self, wire: Wire, frames: Frames, speaker: Speaker, inbox: Inbox, *, max_size: int, compressed: bool
    ) -> None:
        """Hear *frames* on *wire*.

        Args:
            wire: the connection.
            frames: of both ways.
            speaker: answers pings and closes.
            inbox: gets messages, and the end.
            max_size: bytes of one message.
            compressed: permessage-deflate was agreed on.
        """
        self._wire = wire
        self._frames = frames
        self._speaker = speaker
        self._inbox = inbox
        self._max_size = max_size
        # Of what comes in at once zlib makes this much at most; a limit of the result it does not know here.
        self._piece = max(1024, min(_PIECE, max_size // _INFLATES)) if compressed else _PIECE
        self._partial = bytearray()  # of a message that is not complete
        self.ended = anyio.Event()
        """The client has said all that it may."""

    async def listen(self) -> None:
        """Hear what the client says, to the end of the connection."""
        try:
            await self._speaker.say()  # the answer to the handshake, of an accept that was cancelled before it had left
            await self._hear()
        except OSError:
            pass  # lost
        finally:
            self._inbox.over(ABNORMAL, "")  # unless it has ended in order
            # Now, and not when the application has returned: the client waits for it.
            self._wire.end()
            self._wire.read_no_more()
            self.ended.set()

    async def _hear(self) -> None:
        heard = 0  # since others on this loop had a turn: a client that is never waited for must not keep them off
        while True:
            for event in self._frames.events():
                if isinstance(event, (TextMessage, BytesMessage)):
                    await self._collect(event)
                elif isinstance(event, Ping):
                    await self._speaker.say(event.response())
                elif isinstance(event, CloseConnection):
                    await self._take_close(event)
                    return
            if self._inbox.is_full:
                await self._inbox.until_taken()
                self._wire.alive = True  # what it may have said meanwhile is not read yet
            data = await self._wire.read(self._piece)
            if not data:
                return
            self._frames.receive_data(data)
            heard += len(data) + _READ
            if heard >= _TURN:
                heard = 0
                await anyio.lowlevel.checkpoint()

    async def _collect(self, event: TextMessage | BytesMessage) -> None:
        if self._inbox.end is not None:
            return  # nobody reads it any more
        # Text too is kept as bytes: a list of its pieces would take many times the size of tiny ones.
        self._partial += event.data.encode() if isinstance(event, TextMessage) else event.data
        if len(self._partial) > self._max_size:
            self._partial = bytearray()
            reason = f"a message has more than {self._max_size} bytes"
            _logger.warning("A WebSocket is closed with %d: %s (option max_message_size)", TOO_BIG, reason)
            self._inbox.over(TOO_BIG, reason)
            await self._speaker.say_close(CloseConnection(TOO_BIG, reason))
            return
        if not event.message_finished:
            return
        whole, self._partial = self._partial, bytearray()
        content = {"text": whole.decode()} if isinstance(event, TextMessage) else {"bytes": bytes(whole)}
        self._inbox.put(content, len(whole))

    async def _take_close(self, event: CloseConnection) -> None:
        code, reason = int(event.code), event.reason or ""
        if self._frames.state is ConnectionState.REMOTE_CLOSING:
            self._inbox.over(code, reason)
            await self._speaker.say_close(event.response())
        elif self._frames.state is ConnectionState.OPEN:
            # What wsproto makes of frames that RFC 6455 does not allow: 1002, or 1007 for text that is not UTF-8.
            self._inbox.over(code, reason)
            await self._speaker.say_close(event)
            # RFC 6455, 7.1.7: fail the connection. It may go on sending, and to close a connection with bytes unread
            # would reset it: the client would never see the close.
            self._wire.end(socket.SHUT_WR)
            with anyio.move_on_after(CLOSE_WAIT):
                while await self._wire.read(_PIECE):
                    await anyio.lowlevel.checkpoint()

"""One WebSocket: receive() and send() of an application over the frames of RFC 6455. Knows no server."""

from __future__ import annotations

import logging
import socket
from collections import deque
from typing import TYPE_CHECKING, Any, Final, cast

import anyio
import anyio.lowlevel
from wsproto.connection import SERVER, ConnectionState
from wsproto.connection import Connection as Frames
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from bridge.asgi_to_wsgi.messages import is_cancellation, is_disconnect, to_bytes
from bridge.asgi_to_wsgi.websocket_deflate import Deflate
from bridge.asgi_to_wsgi.websocket_handshake import switching_protocols, websocket_scope
from bridge.asgi_to_wsgi.websocket_order import NEXT, Phase, describe
from bridge.asgi_to_wsgi.websocket_wire import Wire
from bridge.errors import ApplicationError, ClientDisconnected
from bridge.loop_thread import LoopClosed
from bridge.rfc6455 import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, NORMAL, TOO_BIG, check_close

if TYPE_CHECKING:
    from wsproto.events import Event

    from bridge.asgi_to_wsgi.hosts import Host
    from bridge.asgi_to_wsgi.takeover import Connection
    from bridge.asgi_to_wsgi.websocket_handshake import Handshake
    from bridge.loop_thread import Task, Waiter
    from bridge.protocols import AsgiApplication, Message, Receive, Scope, Send

_logger = logging.getLogger("bridge")

# Seconds that the client has to answer a close; a guess.
_CLOSE_WAIT: Final = 5.0
# How long an application may go on by itself after its WebSocket has ended, in seconds: as long as under Daphne
# (--application-close-timeout). It holds a thread of the server.
GRACE: Final = 10.0

_PIECE: Final = 65536  # bytes that are read at a time
_INFLATES: Final = 1024  # how many times as much zlib can make of its input, nearly
# Bytes that a message counts beside its own, so that empty ones have a limit too.
_OVERHEAD: Final = 64


class WebSocket:
    """What an exchange runs in the application's place: it has the look of an application for ``http``.

    Until the application accepts, nothing is taken over, and what it answers instead is a response like any other,
    which goes out through the server. After that the connection belongs to this; at the end the server gets it back,
    shut down, with a response that nobody reads, so that it comes to the end of the request in its own way.

    Event loop, all of it but :meth:`go_away`.
    """

    def __init__(
        self,
        application: AsgiApplication,
        handshake: Handshake,
        connection: Connection,
        host: Host,
        *,
        limit: int,
        max_size: int,
        ping_interval: float,
    ) -> None:
        """Make the WebSocket of one request.

        Args:
            application: an ASGI 3 application.
            handshake: what the client asks.
            connection: to be taken over when the application accepts.
            host: where all of it runs.
            limit: bytes of messages that the client may be ahead of the application.
            max_size: bytes of one message.
            ping_interval: seconds between two pings; 0: none.
        """
        self._application = application
        self._handshake = handshake
        self.connection = connection
        self.host = host
        self._limit = limit
        self._max_size = max_size
        self._ping_interval = ping_interval
        self._crossing = host.crossing
        self._phase = Phase.ASKED
        self._respond: Send  # of the exchange; set when it starts
        self._asked = False  # receive() has given websocket.connect

        self._wire: Wire | None = None  # once accepted
        self._frames = Frames(SERVER)
        self._piece = _PIECE
        self._writing: anyio.Lock  # with it, as the next two
        self._ended: anyio.Event  # the WebSocket
        self._returned: anyio.Event  # the application
        self._tasks: list[Task] = []
        self._listening = False  # from then on, until the client has said all that it may
        self._partial = bytearray()  # of a message that is not complete
        self._messages: deque[tuple[Message, int]] = deque()  # with what each counts
        self._ahead = 0  # bytes of them
        self._end: tuple[int, str] | None = None  # code and reason; the WebSocket is over for the application
        self._cancelled = False  # by us
        self._paused = False  # nothing is read until the application has caught up
        self._waiters: list[Waiter] = []

    @property
    def accepted(self) -> bool:
        """The connection was taken over: what the server is told as a response, nobody reads."""
        return self._wire is not None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the application; *send* gets the response that the server is to see.

        Raises:
            BaseException: what the application raised.
            ApplicationError: it returned and had neither accepted the WebSocket nor refused it.
        """
        self._respond = send
        self._path = scope["path"]
        try:
            await self._application(websocket_scope(scope, self._handshake), self.receive, self.send)
        except BaseException as error:
            if self._wire is None:
                raise
            if is_cancellation(error):
                code, expected = GOING_AWAY, self._cancelled
            else:
                left = self._end is not None and self._phase is Phase.OPEN
                code, expected = INTERNAL_ERROR, left and _is_disconnect(error)
            await self._finish(self._wire, code)
            if not expected:
                raise
        else:
            if self._wire is None:
                if self._phase is Phase.ASKED:
                    raise ApplicationError("the application returned and neither accepted the WebSocket nor refused it")
                return
            await self._finish(self._wire, NORMAL)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    def go_away(self) -> None:
        """Close the WebSocket, since the adapter ends. Any thread."""
        try:
            self._crossing.post(lambda: self._tasks.append(self._crossing.start(self._go_away)))
        except LoopClosed:
            pass  # and with it the WebSocket

    async def _go_away(self) -> None:
        if self._wire is not None and self._end is None:
            self._over(GOING_AWAY, "")
            await self._say_close(GOING_AWAY, "")

    # -- what the application is given ------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Give the next message, and ``websocket.disconnect`` when there is none: the ``receive`` of ASGI."""
        if not self._asked:
            self._asked = True
            return {"type": "websocket.connect"}
        await anyio.lowlevel.checkpoint()  # others are on this loop: who never has to wait must not keep them off
        while True:
            if self._messages and self._phase is Phase.OPEN:
                message, size = self._messages.popleft()
                was_full = self._ahead > self._limit
                self._ahead -= size
                if was_full:
                    self._change()
                return message
            if self._end is not None:
                code, reason = self._end
                return {"type": "websocket.disconnect", "code": code, "reason": reason}
            await self._changed()

    async def send(self, message: Message) -> None:
        """Take one message; return when the connection has taken it: the ``send`` of ASGI.

        Raises:
            ClientDisconnected: the client has closed the WebSocket, or is lost.
            ApplicationError: the message breaks the ASGI specification.
        """
        kind = message.get("type")
        phase = NEXT.get((self._phase, str(kind)))
        if phase is None:
            raise ApplicationError(describe(self._phase, kind))
        if self._end is not None:
            raise ClientDisconnected(f"the WebSocket has ended, with code {self._end[0]}: its client is gone")
        if kind == "websocket.send":
            await self._say(_to_event(message))
            if self._end is not None:
                raise ClientDisconnected("the connection was lost before the message had left: the client is gone")
        elif kind == "websocket.accept":
            await self._accept(message)
        elif kind == "websocket.close":
            await self._close(message)
        else:
            await self._respond({**message, "type": str(kind).removeprefix("websocket.")})
            if phase is Phase.DENIED and kind == "websocket.http.response.body" and not message.get("more_body"):
                phase = Phase.DONE
        self._phase = phase

    # -- the way in -------------------------------------------------------------------------------------------

    async def _accept(self, message: Message) -> None:
        agreed = None
        extensions: list[Any] = []
        if self._handshake.deflate is not None:
            deflate = Deflate()
            agreed = f"{deflate.name}; {deflate.accept(self._handshake.deflate)}".rstrip("; ")
            extensions.append(deflate)
            # Of what comes in at once zlib makes this much at most; a limit of the result it does not know here.
            self._piece = max(1024, min(_PIECE, self._max_size // _INFLATES))
        head = switching_protocols(self._handshake, message, agreed)
        self._frames = Frames(SERVER, extensions)
        self._writing, self._ended, self._returned = anyio.Lock(), anyio.Event(), anyio.Event()
        self._wire = wire = Wire(self.connection)
        wire.put(head)
        self._listening = True
        self._tasks.append(self._crossing.start(self._listen))
        self._tasks.append(self._crossing.start(self._watch))
        async with self._writing:
            await self._flush(wire)

    async def _close(self, message: Message) -> None:
        code, reason = message.get("code", NORMAL), message.get("reason") or ""
        if code is None:
            code = NORMAL
        if self._wire is None:
            self._phase = Phase.DONE
            self._over(ABNORMAL, "")
            # Source: ASGI WebSocket specification, "Close": before it is accepted, 403.
            await self._respond({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
            await self._respond({"type": "http.response.body", "body": b""})
            return
        try:
            check_close(code, reason)
        except ValueError as error:
            raise ApplicationError(f"the application sent a websocket.close that cannot be sent: {error}") from None
        self._phase = Phase.DONE
        self._over(int(code), reason)
        await self._say_close(int(code), reason)

    # -- the way out ------------------------------------------------------------------------------------------

    async def _finish(self, wire: Wire, code: int) -> None:
        """End the WebSocket, with *code* if nobody has ended it yet, and let the server have its connection."""
        self._returned.set()
        # Shielded, as on trio a task that is cancelled can wait for nothing any more.
        with anyio.move_on_after(_CLOSE_WAIT, shield=True):
            self._over(code, "")  # unless it has ended already
            if self._listening and self._end is not None and self._end[0] != ABNORMAL:
                await self._say_close(*self._end)  # again, for one that was cancelled before it had left
            while self._listening:
                await self._changed()
        with anyio.CancelScope(shield=True):
            for task in self._tasks:
                await self._crossing.finish(task)
        wire.end()  # again, for a listener that was cancelled before it began
        wire.give_back()

    def _over(self, code: int, reason: str) -> None:
        """Let the WebSocket end for the application."""
        if self._end is None:
            self._end = code, reason
            self._change()
            if self._wire is not None:
                self._ended.set()

    async def _say_close(self, code: int, reason: str) -> None:
        with anyio.move_on_after(_CLOSE_WAIT) as patience:  # not for ever behind what the client does not read
            await self._say(CloseConnection(code, reason))
        if patience.cancelled_caught and self._wire is not None:
            self._wire.end()  # which lets go whoever waits in send(), too

    async def _say(self, event: Event) -> None:
        wire = cast("Wire", self._wire)
        async with self._writing:
            await self._flush(wire)
            # A close may have been said meanwhile, and it is the last that is said.
            if self._frames.state is ConnectionState.OPEN or (
                self._frames.state is ConnectionState.REMOTE_CLOSING and isinstance(event, CloseConnection)
            ):
                wire.put(self._frames.send(event))
                await self._flush(wire)

    async def _flush(self, wire: Wire) -> None:
        try:
            await wire.flush()
        except OSError:
            self._over(ABNORMAL, "")

    async def _changed(self) -> None:
        """Wait until something has happened here."""
        waiter = self.host.waiter()
        self._waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._waiters:  # the wait was cancelled
                self._waiters.remove(waiter)

    def _change(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    # -- tasks of its own -------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Hear what the client says, to the end of the connection."""
        wire = cast("Wire", self._wire)
        try:
            await self._hear(wire)
        except OSError:
            pass  # lost
        except Exception:
            _logger.exception("A WebSocket is given up, its frames could not be read")
        finally:
            self._over(ABNORMAL, "")  # unless it has ended in order
            # Now, and not when the application has returned: the client waits for it.
            wire.end()
            self._listening = False
            self._change()

    async def _hear(self, wire: Wire) -> None:
        while True:
            for event in self._frames.events():
                if isinstance(event, (TextMessage, BytesMessage)):
                    await self._collect(event)
                elif isinstance(event, Ping):
                    await self._say(event.response())
                elif isinstance(event, CloseConnection):
                    await self._take_close(wire, event)
                    return
            if self._ahead > self._limit:
                await self._until_taken(wire)
            data = await wire.read(self._piece)
            if not data:
                return
            self._frames.receive_data(data)
            await anyio.lowlevel.checkpoint()  # others are on this loop

    async def _until_taken(self, wire: Wire) -> None:
        """Wait until the application has caught up. This is the backpressure: the client's own buffers fill up."""
        self._paused = True
        while self._ahead > self._limit and self._end is None:
            await self._changed()
        self._paused = False
        wire.alive = True  # what it may have said meanwhile is not read yet

    async def _collect(self, event: TextMessage | BytesMessage) -> None:
        if self._end is not None:
            return  # nobody reads it any more
        # Text too is kept as bytes: a list of its pieces would take many times the size of tiny ones.
        self._partial += event.data.encode() if isinstance(event, TextMessage) else event.data
        if len(self._partial) > self._max_size:
            self._partial = bytearray()
            reason = f"a message has more than {self._max_size} bytes"
            _logger.warning("A WebSocket is closed with %d: %s (option max_message_size)", TOO_BIG, reason)
            self._over(TOO_BIG, reason)
            await self._say_close(TOO_BIG, reason)
            return
        if not event.message_finished:
            return
        whole, self._partial = self._partial, bytearray()
        content = {"text": whole.decode()} if isinstance(event, TextMessage) else {"bytes": bytes(whole)}
        size = len(whole) + _OVERHEAD
        self._messages.append(({"type": "websocket.receive", **content}, size))
        self._ahead += size
        self._change()

    async def _take_close(self, wire: Wire, event: CloseConnection) -> None:
        code, reason = int(event.code), event.reason or ""
        if self._frames.state is ConnectionState.REMOTE_CLOSING:
            self._over(code, reason)
            await self._say(event.response())
        elif self._frames.state is ConnectionState.OPEN:
            # What wsproto makes of frames that RFC 6455 does not allow: 1002, or 1007 for text that is not UTF-8.
            self._over(code, reason)
            await self._say_close(code, reason)
            # RFC 6455, 7.1.7: fail the connection. It may go on sending, and to close a connection with bytes unread
            # would reset it: the client would never see the close.
            wire.end(socket.SHUT_WR)
            with anyio.move_on_after(_CLOSE_WAIT):
                while await wire.read(_PIECE):
                    await anyio.lowlevel.checkpoint()

    async def _watch(self) -> None:
        """Ping the client, and find out that it is lost; end an application that does not end by itself."""
        wire = cast("Wire", self._wire)
        interval = self._ping_interval or None
        with anyio.move_on_after(interval):
            await self._ended.wait()
        while self._end is None:
            wire.alive = False
            with anyio.move_on_after(interval):
                await self._say(Ping())
                await self._ended.wait()
            if self._end is None and not (wire.alive or self._paused):
                self._over(ABNORMAL, "")
                wire.end()
        with anyio.move_on_after(GRACE):
            await self._returned.wait()
            return
        if self._phase is Phase.OPEN:
            _logger.warning(
                "The application goes on %g s after its WebSocket has ended: it is cancelled (%s).", GRACE, self._path
            )
            self._cancelled = True
            self.host.cancel()


def _to_event(message: Message) -> Event:
    text, data = message.get("text"), message.get("bytes")
    if isinstance(text, str):
        return TextMessage(text)
    if data is None:
        raise ApplicationError(
            f"websocket.send has text, a str, or bytes; the application gave text {text!r} and bytes {data!r}"
        )
    return BytesMessage(to_bytes(data))


def _is_disconnect(error: BaseException) -> bool:
    """Whether *error* is what an application makes of a client that has left."""
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if inner:
        return all(map(_is_disconnect, inner))
    # Starlette's WebSocketDisconnect, and Quart's and Litestar's: raised by what receive() gave, which is no error.
    return is_disconnect(error) or "Disconnect" in type(error).__name__

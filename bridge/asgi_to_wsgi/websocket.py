"""One WebSocket: what its application is given, and its end. Knows no server, and leaves frames to the two ways."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel
from wsproto.connection import SERVER
from wsproto.connection import Connection as Frames
from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

from bridge.asgi_to_wsgi.gate import BURST
from bridge.asgi_to_wsgi.green import make_signal
from bridge.asgi_to_wsgi.messages import is_cancellation, is_disconnect, to_bytes
from bridge.asgi_to_wsgi.websocket_deflate import Deflate
from bridge.asgi_to_wsgi.websocket_handshake import switching_protocols, websocket_scope
from bridge.asgi_to_wsgi.websocket_inbox import Inbox
from bridge.asgi_to_wsgi.websocket_listener import Listener
from bridge.asgi_to_wsgi.websocket_order import NEXT, Phase, describe
from bridge.asgi_to_wsgi.websocket_speaker import CLOSE_WAIT, Speaker
from bridge.asgi_to_wsgi.websocket_tasks import Tasks
from bridge.asgi_to_wsgi.websocket_wire import Wire
from bridge.errors import ApplicationError, ClientDisconnected, ServerError
from bridge.loop_thread import LoopClosed
from bridge.rfc6455 import ABNORMAL, GOING_AWAY, INTERNAL_ERROR, NORMAL, check_close

if TYPE_CHECKING:
    from wsproto.events import Event

    from bridge.asgi_to_wsgi.hosts import Host
    from bridge.asgi_to_wsgi.takeover import Connection
    from bridge.asgi_to_wsgi.websocket_handshake import Handshake
    from bridge.protocols import AsgiApplication, Message, Receive, Scope, Send

_logger = logging.getLogger("bridge")

# How long an application may go on by itself after its WebSocket has ended, in seconds: as long as under Daphne
# (--application-close-timeout). It holds a thread of the server.
GRACE: Final = 10.0
# Seconds that the loop has to forget a socket; one that is kept busy by an application must not keep the server.
_FORGET_WAIT: Final = 1.0


class WebSocket:
    """What an exchange runs in the application's place: it has the look of an application for ``http``.

    Until the application accepts, nothing is taken over, and what it answers instead is a response like any other,
    which goes out through the server. After that the connection belongs to this; at the end the server gets it back,
    shut down, with a response that nobody reads, so that it comes to the end of the request in its own way.

    Event loop, all of it but :meth:`go_away` and :meth:`let_go`.
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
        self._asked = False  # receive() has given websocket.connect
        self._burst = 0  # messages, both ways
        self._leaving = False  # the adapter ends
        self._cancelled = False  # by us
        self._let_go = False  # the server goes on without this; its thread writes

        # Set when the exchange starts.
        self._respond: Send  # of the exchange
        self._path: str
        self._inbox: Inbox

        # Set when the application accepts.
        self._wire: Wire | None = None
        self._speaker: Speaker
        self._listener: Listener
        self._returned: anyio.Event  # the application
        self._tasks: Tasks

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
        self._inbox = Inbox(self.host, self._limit)
        try:
            await self._application(websocket_scope(scope, self._handshake), self.receive, self.send)
        except BaseException as error:
            if self._wire is None:
                raise
            if is_cancellation(error):
                code, expected = GOING_AWAY, self._cancelled
            else:
                left = self._inbox.end is not None and self._phase is Phase.OPEN
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
        """Close the WebSocket, now or when it is accepted, since the adapter ends. Any thread."""
        try:
            self._crossing.post(self._leave)
        except LoopClosed:
            pass  # and with it the WebSocket

    def let_go(self) -> None:
        """Leave the connection to the server, shut down, whatever has become of the application. Server's thread.

        An application that does not end even when it is cancelled is left alone; it must not keep the connection.
        """
        self._let_go = True
        wire = self._wire
        if wire is None or wire.is_back:
            return
        forgotten = make_signal()

        def forget() -> None:
            wire.read_no_more()
            forgotten.wake()

        try:
            # The server closes the socket next, and the next connection may have its number: an event loop that still
            # knows that would never hear of the new one.
            self.host.post(forget)
            forgotten.wait(_FORGET_WAIT)
        except ServerError:
            pass  # the loop has ended
        wire.give_back()

    # -- what the application is given ------------------------------------------------------------------------

    async def receive(self) -> Message:
        """Give the next message, and ``websocket.disconnect`` when there is none: the ``receive`` of ASGI."""
        if not self._asked:
            self._asked = True
            return {"type": "websocket.connect"}
        await self._let_others()
        return await self._inbox.take()

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
        if self._inbox.end is not None:
            raise ClientDisconnected(f"the WebSocket has ended, with code {self._inbox.end[0]}: its client is gone")
        if kind == "websocket.send":
            await self._let_others()
            try:
                await self._speaker.say(_to_event(message))
            except UnicodeEncodeError as error:
                raise ApplicationError(f"the application sent text that UTF-8 does not have: {error}") from error
            if self._inbox.end is not None:
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

    async def _let_others(self) -> None:
        # Others are on this loop: an application that never has to wait must not keep them off. Not at every message,
        # since a turn of the loop costs more than a message.
        self._burst += 1
        if self._burst % BURST == 0:
            await anyio.lowlevel.checkpoint()

    async def _accept(self, message: Message) -> None:
        if self._let_go:
            raise ClientDisconnected("the server has ended the request before it was accepted: its client is gone")
        deflate = agreed = None
        if self._handshake.deflate is not None:
            deflate = Deflate()
            agreed = f"{deflate.name}; {deflate.accept(self._handshake.deflate)}".rstrip("; ")
        head = switching_protocols(self._handshake, message, agreed)
        frames = Frames(SERVER, [] if deflate is None else [deflate])
        self._wire = wire = Wire(self.connection, self._crossing.loop)
        wire.put(head)
        # Before anything is awaited: an accept that is cancelled there cannot be taken back.
        self._phase = Phase.OPEN
        self._speaker = Speaker(wire, frames, self._inbox)
        self._listener = Listener(
            wire, frames, self._speaker, self._inbox, max_size=self._max_size, compressed=deflate is not None
        )
        self._returned = anyio.Event()
        self._tasks = Tasks(self._crossing, partial(self._give_up, wire))
        self._tasks.start(self._listener.listen)
        self._tasks.start(partial(self._watch, wire))
        if self._leaving:
            self._tasks.start(self._go_away)
        await self._speaker.say()

    async def _close(self, message: Message) -> None:
        code, reason = message.get("code", NORMAL), message.get("reason") or ""
        if code is None:
            code = NORMAL
        if self._wire is None:
            self._phase = Phase.DONE
            self._inbox.over(ABNORMAL, "")
            # Source: ASGI WebSocket specification, "Close": before it is accepted, 403.
            await self._respond({"type": "http.response.start", "status": 403, "headers": [(b"content-length", b"0")]})
            await self._respond({"type": "http.response.body", "body": b""})
            return
        try:
            check_close(code, reason)
        except ValueError as error:
            raise ApplicationError(f"the application sent a websocket.close that cannot be sent: {error}") from None
        self._phase = Phase.DONE
        self._inbox.clear()
        self._inbox.over(int(code), reason)
        await self._speaker.say_close(CloseConnection(int(code), reason))

    # -- the end ----------------------------------------------------------------------------------------------

    def _leave(self) -> None:
        self._leaving = True
        if self._wire is not None and self._inbox.end is None:
            self._tasks.start(self._go_away)

    async def _go_away(self) -> None:
        if self._inbox.end is None:
            self._inbox.over(GOING_AWAY, "")
            await self._speaker.say_close(CloseConnection(GOING_AWAY, ""))

    def _give_up(self, wire: Wire) -> None:
        self._inbox.over(ABNORMAL, "")
        wire.end()

    async def _finish(self, wire: Wire, code: int) -> None:
        """End the WebSocket, with *code* if nobody has ended it yet, and let the server have its connection."""
        self._returned.set()
        self._inbox.over(code, "")  # unless it has ended already
        try:
            # Shielded, as on trio a task that is cancelled can wait for nothing any more.
            with anyio.move_on_after(CLOSE_WAIT, shield=True):
                end = self._inbox.end
                if not self._listener.ended.is_set() and end is not None and end[0] != ABNORMAL:
                    # Again, for one that was cancelled before it had left.
                    await self._speaker.say_close(CloseConnection(*end))
                    await self._listener.ended.wait()
        finally:
            try:
                await self._tasks.finish()
            finally:
                wire.give_back()

    # -- tasks of its own -------------------------------------------------------------------------------------

    async def _watch(self, wire: Wire) -> None:
        """Ping the client, and find out that it is lost; end an application that does not end by itself."""
        inbox = self._inbox
        interval = self._ping_interval or None
        with anyio.move_on_after(interval):
            await inbox.ended.wait()
        while inbox.end is None:
            wire.alive = False
            with anyio.move_on_after(interval):
                await self._speaker.say(Ping())
                await inbox.ended.wait()
            if inbox.end is None and not (wire.alive or inbox.blocked):
                self._give_up(wire)
        with anyio.move_on_after(GRACE):
            with anyio.move_on_after(CLOSE_WAIT):
                await self._listener.ended.wait()
            wire.end()  # the client has had its time to answer, whatever the application does now
            await self._returned.wait()
        # It may have returned after the time was over and before this was told so.
        if self._phase is Phase.OPEN and not self._returned.is_set():
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

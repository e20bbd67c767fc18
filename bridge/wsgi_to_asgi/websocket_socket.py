"""A WebSocket for an application that wants the connection: one end of a socket pair is its, the other is here."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any, Final

import anyio
import anyio.lowlevel

from bridge.errors import ApplicationError, ClientDisconnected
from bridge.loop_thread import Signal
from bridge.rfc6455 import ABNORMAL, INTERNAL_ERROR, NORMAL, sendable
from bridge.wsgi_to_asgi.websocket_frames import Accepted, Closed, Frames, Refused, Reply

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridge.loop_thread import Crossing, Task
    from bridge.wsgi_to_asgi.websocket_frames import Event
    from bridge.wsgi_to_asgi.websocket_link import Link

_logger = logging.getLogger("bridge")

_CHUNK: Final = 1 << 16  # bytes that are read at once

# Others on the loop have a turn after as many bytes, of which a message or a read counts some beside its own: who never
# has to wait must not keep them off, and a turn for each would cost more than the message.
_TURN: Final = 1 << 14
_EACH: Final = 1 << 9


# A view of its own, since an empty one of a message would keep the message for as long as the WebSocket is idle.
_NOTHING: Final = memoryview(b"")


class _ApplicationEnd(socket.socket):
    """The application's end. A WSGI server would close it; here it closes when nobody has it any more.

    Not before: a thread of the application may be reading it, and its descriptor could be another's by then.
    """

    def __del__(self) -> None:
        self.close()

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of *data*, if the socket waits: simple-websocket does not look at how much was sent.

        It need not elsewhere: a TCP socket's buffer holds a large message, and the system's own send() waits for room.
        But the buffer of a pair is small, and where gevent or eventlet has patched sockets, none of them waits.
        """
        # Not sendall(), which calls this one there.
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            try:
                rest = rest[super().send(rest, flags) :]
            except (BlockingIOError, TimeoutError):
                if len(rest) == size:
                    raise
                break
        return size - len(rest)


class SocketSide:
    """The other end: speaks RFC 6455 with the application, and passes messages to and from a :class:`Link`.

    Args:
        link: takes what the application sends.
        key: ``Sec-WebSocket-Key`` of the handshake.
        look: lets the exchange look at the link; event loop thread only.
    """

    def __init__(self, link: Link, key: str, look: Callable[[], None]) -> None:
        self._link = link
        self._look = look
        self._frames = Frames(key)
        theirs, self._ours = socket.socketpair()
        self._ours.setblocking(False)
        self.theirs: socket.socket | None = _ApplicationEnd(fileno=theirs.detach())
        """The application's end, until this one is dropped."""
        # Without fast_acquire each message would cost a turn of the loop, though mostly nobody else writes.
        self._writing = anyio.Lock(fast_acquire=True)
        self._rest = _NOTHING  # of a frame that is begun
        self._tasks: list[Task] = []
        self._passed = 0  # events of the application that are done with
        self._passing = False  # one is not, since the client is behind, or the application reads no answer
        self._waits = 0  # tasks that wait for the descriptor
        self._put_bytes = 0  # since others had a turn
        self._dropped = False
        self._told = False  # the application is told that the WebSocket has ended
        self.accepted = False
        """The application has accepted the WebSocket here, and has its messages here."""
        self.returned = False
        """The application has returned: what it has written is all there is."""
        self.ended = False
        """Nothing more comes from it."""
        self._settled = False  # all is read that it has written, or nobody will
        self._news = Signal()
        self.error: Exception | None = None
        """The mistake by which the application has ended the WebSocket."""

    # -- any thread -------------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Wait until the loop has read what the application has written, which can write no more. Worker thread."""
        self.returned = True
        self._end_theirs(socket.SHUT_WR)
        while not self._settled:
            self._news.wait()

    def break_off(self) -> None:
        """End the application's reads and writes. Any thread; does not wait."""
        self._end_theirs(socket.SHUT_RDWR)
        self._release()

    def _release(self) -> None:
        self._settled = True
        self._news.wake()

    def _end_theirs(self, how: int) -> None:
        theirs = self.theirs
        if theirs is None:
            return
        try:
            theirs.shutdown(how)
        except OSError:
            pass  # the application has closed it

    # -- event loop thread ------------------------------------------------------------------------------------

    def begin(self, crossing: Crossing) -> None:
        """Start to read what the application writes."""
        self._tasks.append(crossing.start(self._attend))

    def tell_end(self, crossing: Crossing, code: int, reason: str) -> None:
        """Write the close frame; not for a client that was lost, whose connection just ends."""
        if not self._told:
            self._told = True
            self._tasks.append(crossing.start(lambda: self._write_end(code, reason)))

    def take_rest(self) -> None:
        """Let reading end when all is read that the application has written: it has returned."""
        self.returned = True
        # It may have handed its end to a thread, which would keep it open.
        self._end_theirs(socket.SHUT_RDWR)

    async def close(self, crossing: Crossing) -> None:
        """Stop all work here and close this end."""
        try:
            for task in self._tasks:
                task.cancel()
            # Even if the server has cancelled the exchange; asyncio's own cancellation still comes through.
            with anyio.CancelScope(shield=True):
                for task in self._tasks:
                    await crossing.finish(task)
        finally:
            self.drop()

    def drop(self) -> None:
        """Close this end, as soon as nothing waits for it."""
        self._dropped = True
        self.theirs = None  # it is to close as soon as the application has it no more, and not with this object
        self._shut()
        self._close_unless_awaited()
        self._release()

    def _close_unless_awaited(self) -> None:
        # A descriptor that is waited for must not be closed: by the time the loop forgets it, it may be another's.
        if self._dropped and not self._waits:
            self._ours.close()

    async def put(self, data: str | bytes) -> None:
        """Write a message of the client; return when the next may be asked for."""
        for frame in self._frames.write(data):
            if not self._write_at_once(frame):
                await self._link.stall.during(self._write(b""), self._progress)
            self._put_bytes += len(frame) + _EACH
            if self._put_bytes >= _TURN:
                self._put_bytes = 0
                await anyio.lowlevel.checkpoint()

    def _progress(self) -> tuple[int, int, int] | None:
        return (self._link.sent_bytes, self._passed, len(self._rest)) if self._passing else None

    async def _write_end(self, code: int, reason: str) -> None:
        if code == ABNORMAL:
            self._shut()
        else:
            await self._write(self._frames.close(code, reason))

    def _write_at_once(self, data: bytes) -> bool:
        """Write a frame, or let it be the rest that is to be written; return whether nothing is left."""
        if self._rest or self._writing.locked():
            self._rest = memoryview(bytes(self._rest) + data)
            return False
        try:
            self._rest = memoryview(data)[self._ours.send(data) :] or _NOTHING
        except BlockingIOError:
            self._rest = memoryview(data)
        except OSError:
            return True  # the application has closed its end, which reading finds out as well
        return not self._rest

    async def _write(self, data: bytes) -> None:
        async with self._writing:
            # Behind what a cancelled write has left: a close would be taken for the rest of the frame that it began.
            self._rest = memoryview(bytes(self._rest) + data)
            while self._rest:
                try:
                    self._rest = self._rest[self._ours.send(self._rest) :] or _NOTHING
                except BlockingIOError:
                    # Waiting here is the backpressure: the server is not asked for more meanwhile.
                    await self._wait(anyio.wait_writable)
                except OSError:
                    self._rest = _NOTHING
                    return  # the application has closed its end, which reading finds out as well

    async def _attend(self) -> None:
        read = 0  # bytes, since others had a turn
        try:
            while data := await self._read():
                for event in self._frames.read(data):
                    self._passing = True
                    goes_on = await self._pass(event)
                    self._passing = False
                    self._passed += 1
                    if not goes_on:
                        return
                read += len(data) + _EACH
                if read >= _TURN:
                    read = 0
                    await anyio.lowlevel.checkpoint()
            if not self.returned and (self.accepted or not self._link.taken):
                # As when a server's process dies: RFC 6455, 7.4.1, has no code to send for it but this.
                self._close(INTERNAL_ERROR, "", "the application has closed its socket")
        except Exception as error:
            self.error = error
            self._close(INTERNAL_ERROR, "", "the application broke the WebSocket protocol")
        finally:
            self._shut()
            self.ended = True
            self._release()
            self._look()

    async def _read(self) -> bytes:
        while True:
            try:
                return self._ours.recv(_CHUNK)
            except BlockingIOError:
                await self._wait(anyio.wait_readable)
            except OSError:  # the application closed its end and left something unread
                return b""

    async def _wait(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        self._waits += 1
        try:
            await ready(self._ours)
        finally:
            self._waits -= 1
            self._close_unless_awaited()

    async def _pass(self, event: Event) -> bool:
        """Do what the application wants; return whether more is to be read."""
        if isinstance(event, (str, bytes)):
            await self._link.room()
            try:
                self._link.send_soon(event)
            except ClientDisconnected:
                return True  # it may not know yet; its answer to the close is still to come
            self._look()
        elif isinstance(event, Reply):
            self._link.stall.look()  # an application that reads nothing stops itself with its pings
            await self._write(event.data)
        elif isinstance(event, Accepted):
            self._link.accept_soon(event.subprotocol, event.headers)
            self.accepted = True
            self._look()
        elif isinstance(event, Closed):
            await self._write(event.reply)
            self._close(sendable(event.code), event.reason, "the application has closed the WebSocket")
            return False
        elif isinstance(event, Refused):
            _logger.warning("The application answered a WebSocket on its socket with %d: it is refused.", event.status)
            self._close(NORMAL, "", "the application has refused the WebSocket")
            return False
        else:
            await self._write(event.reply)
            raise ApplicationError(f"the application broke RFC 6455 on its socket: {event.reason}")
        return True

    def _close(self, code: int, reason: str, why: str) -> None:
        try:
            self._link.close_soon(code, reason, why)
        except ApplicationError as error:  # it has answered the handshake with an HTTP response meanwhile
            self.error = self.error or error

    def _shut(self) -> None:
        try:
            self._ours.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the application has closed its end

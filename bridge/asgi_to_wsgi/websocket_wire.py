"""Bytes over a connection that was taken over from the server. Knows no frames and no application."""

from __future__ import annotations

import errno
import socket
import ssl
from typing import TYPE_CHECKING, Any, Final

import anyio

from bridge.asgi_to_wsgi.websocket_readable import Readable

if TYPE_CHECKING:
    import asyncio

    from bridge.asgi_to_wsgi.takeover import Connection

# Bytes that are handed to the socket at once; more would only be copied in vain.
_PIECE: Final = 262144


class Wire:
    """Reads and writes on the event loop of the exchange, whichever it is, and never blocks it.

    Not through transports of asyncio, nor streams of trio: they close the socket, which is the server's, and cannot
    take over one that speaks TLS already. A socket that does not block says what it waits for, also with TLS.
    """

    def __init__(self, connection: Connection, loop: asyncio.AbstractEventLoop | None) -> None:
        """Take the connection over, for *loop* if that is asyncio's."""
        self._connection = connection
        self._socket: Any = connection.take()
        self._timeout: float | None = self._socket.gettimeout()
        self._socket.setblocking(False)  # eventlet's with TLS takes settimeout(0) for no time to wait
        # TLS may have to be read in order to be written, and may hold back what has been read: it is asked each time.
        self._readable = None if loop is None or hasattr(self._socket, "pending") else Readable(loop)
        self._emptied = False  # the last read has taken all that was there
        self._early = connection.read_early()
        self._out = bytearray()  # to be written: what a cancelled write has left, before anything else
        self.is_back = False
        """The server has the socket again."""
        self.alive = False
        """The client has sent something, or taken something that had to wait. Whoever wants to know resets it."""

    async def read(self, size: int) -> bytes:
        """Return up to *size* bytes, ``b""`` at the end.

        Raises:
            OSError: the connection is lost.
        """
        if self._early:
            early, self._early = self._early[:size], self._early[size:]
            return early
        while True:
            if self._emptied:
                self._emptied = False
                await self._wait_readable()
            try:
                data: bytes = self._socket.recv(size)
            except (BlockingIOError, ssl.SSLWantReadError):
                await self._wait_readable()
            except ssl.SSLWantWriteError:
                await anyio.wait_writable(self._descriptor())
            else:
                self.alive = True
                self._emptied = self._readable is not None and 0 < len(data) < size
                return data

    async def _wait_readable(self) -> None:
        if self._readable is None:
            await anyio.wait_readable(self._descriptor())
        else:
            await self._readable.wait(self._descriptor())

    def read_no_more(self) -> None:
        """Let the loop forget that this was read. Event loop; nobody reads."""
        if self._readable is not None:
            self._readable.end()

    def put(self, data: bytes) -> None:
        """Add to what the next flush() writes. After a flush() only, or it grows without end."""
        self._out += data

    async def flush(self) -> None:
        """Return when the connection has taken all that was put. If cancelled, the next flush goes on where it was.

        Raises:
            OSError: the connection is lost.
        """
        waited = False
        while self._out:
            # Not awaited where the error is caught: with a cancellation it would outlive the wait, and keep the frames
            # of a send() written in Python, and so the view of the buffer, which could not be changed then.
            until = None
            try:
                with memoryview(self._out) as view:
                    sent: int = self._socket.send(view[:_PIECE])
            except (BlockingIOError, ssl.SSLWantWriteError):
                waited, until = True, anyio.wait_writable
            except ssl.SSLWantReadError:
                until = anyio.wait_readable
            else:
                # What the system takes at once says nothing of the client; room that was not there before does.
                self.alive = self.alive or waited
                del self._out[:sent]
            if until is not None:
                await until(self._descriptor())

    def end(self, how: int = socket.SHUT_RDWR) -> None:
        """Let the client see the end of the connection, now. The server closes it later."""
        try:
            self._socket.shutdown(how)
        except OSError:
            pass  # the client was first

    def give_back(self) -> None:
        """Leave the socket to the server, shut down and otherwise as it was; the first call does. Any thread."""
        if self.is_back:
            return
        self.is_back = True
        self.end()
        if self._connection.is_ours:
            self._socket.close()
            return
        try:
            self._socket.setblocking(self._timeout != 0)
            self._socket.settimeout(self._timeout)
        except OSError:
            pass  # the server has closed it meanwhile

    def _descriptor(self) -> int:
        descriptor: int = self._socket.fileno()
        if descriptor < 0:
            raise OSError(errno.EBADF, "the server has closed the connection that it had handed out")
        return descriptor

"""The request's body on its way from wsgi.input to receive(). Knows no server and no order of messages."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from bridge.asgi_to_wsgi.green import make_signal
from bridge.errors import ClientDisconnected
from bridge.loop_thread import LoopClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.asgi_to_wsgi.hosts import Host
    from bridge.asgi_to_wsgi.request_body import RequestBody
    from bridge.loop_thread import Crossing
    from bridge.protocols import Message

# Bytes asked for at a time. Many inputs wait until they have all of them, so this much may arrive late.
_PIECE: Final = 16384


class ReadAhead:
    """Reads a body in the server's thread if it is short, in a thread of its own if it is long.

    Nothing is read before the application asks for the first time: some servers send ``100 Continue`` then. A short
    body is one read, for which the server's thread is there anyway. A long one may take for ever, and meanwhile the
    application's timers have to fire and its response has to leave.
    """

    __slots__ = (
        "_ahead",
        "_blocked",
        "_body",
        "_complete",
        "_crossing",
        "_error",
        "_host",
        "_limit",
        "_pieces",
        "_room",
        "_short",
        "_starved",
        "_stopped",
        "_taken",
        "_thread",
        "_wake",
        "_wanted",
        "cut",
    )

    def __init__(self, body: RequestBody, limit: int, host: Host) -> None:
        """Read *body*, *limit* bytes ahead of the application at most."""
        self._body = body
        self._limit = limit
        self._host = host
        self._short = body.thread_bound or (body.length is not None and body.length <= limit)
        self._room = None if self._short else make_signal()

        # The reading side writes.
        self._pieces: deque[bytes] = deque()  # it appends; the loop pops
        self._ahead = 0  # bytes that it has put there
        self._error: BaseException | None = None  # set after the last piece
        self._complete = False  # set after the last piece
        self._blocked = False  # set by it before it waits, cleared by the loop before it wakes it

        # Event loop writes.
        self._wanted = False  # set by the loop, cleared by the server's thread
        self._starved = False  # set by the loop before it looks, cleared by the reading side before it wakes it
        self._taken = 0  # bytes that the application has got
        self._wake: Callable[[], object] = _nothing
        self.cut: ClientDisconnected | None = None  # why the body broke off, once the application was told

        # Server's thread writes.
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._crossing: Crossing | None = None

    # -- event loop -------------------------------------------------------------------------------------------

    def take(self, wake: Callable[[], object]) -> Message | None:
        """Return the next ``http.request``, ``http.disconnect`` if the body broke off; None: *wake* is called later.

        Raises:
            Exception: what the server's input raised that no client causes.
        """
        self._wake = wake
        # Announced before the look: what is put in after the look finds the announcement. The end is looked at
        # before the pieces, as it is set after them: the other order loses a piece that comes in between.
        self._starved = True
        complete, error = self._complete, self._error
        if self._pieces:
            self._starved = False
            piece = self._pieces.popleft()
            self._taken += len(piece)
            if self._blocked:
                self._blocked = False
                if self._room is not None:
                    self._room.wake()
            return {"type": "http.request", "body": piece, "more_body": not complete or bool(self._pieces)}
        if complete:
            return {"type": "http.request", "body": b"", "more_body": False}
        if error is not None:
            if isinstance(error, ClientDisconnected):
                self.cut = error
                return {"type": "http.disconnect"}
            raise error
        if self._short or self._thread is None:
            self._wanted = True
        return None

    @property
    def wanted(self) -> bool:
        """The server's thread is to call :meth:`attend`."""
        return self._wanted

    # -- server's thread --------------------------------------------------------------------------------------

    def attend(self) -> None:
        """Read what the application asks for, or let a thread begin to."""
        self._wanted = False
        if self._stopped or self._complete or self._error is not None or self._thread is not None:
            return  # asked for twice: by one receive() that was cancelled while this thread read, and by the next
        if not self._short:
            self._crossing = self._host.crossing  # here, where the loop of a host that takes turns stands still
            # threading's, patched or not: under gevent a greenlet of this thread, whose socket it may read.
            self._thread = threading.Thread(target=self._read_on, name="bridge-reader", daemon=True)
            self._thread.start()
            return
        try:
            if self._body.length is None:
                self._put(self._body.read(_PIECE))
            else:
                self._put_all(self._body.length)
        except Exception as error:
            self._error = error

    def give_up_before_headers(self) -> None:
        """End reading where the server takes the rest of the body for itself when it sends the headers.

        Two who read one input each wait for bytes that the other has got.
        """
        if self._body.ends_with_headers and not self._complete and self._error is None:
            self.stop()
            self.join()
            if not self._complete and self._error is None:
                self._error = ClientDisconnected("the server throws away what is left of a body when it answers")

    def stop(self) -> None:
        """Let nothing begin to read any more."""
        self._stopped = True
        if self._room is not None:
            self._room.wake()

    def join(self) -> None:
        """Wait for a read that is under way: the server may take the connection's next request from the same input."""
        if self._thread is not None:
            self._thread.join()

    def _put_all(self, length: int) -> None:
        pieces: list[bytes] = []
        while length > 0:
            piece = self._body.read(length)
            pieces.append(piece)
            length -= len(piece)
        self._pieces.append(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        self._complete = True

    def _put(self, piece: bytes) -> None:
        if not piece:
            self._complete = True
            return
        self._pieces.append(piece)
        self._ahead += len(piece)
        if self._ahead == self._body.length:
            self._complete = True

    # -- thread of its own ------------------------------------------------------------------------------------

    def _read_on(self) -> None:
        try:
            size = min(_PIECE, self._limit)
            while not self._complete and self._wait_for_room(size):
                self._put(self._body.read(size))
                self._tell()
        except Exception as error:
            self._error = error
            self._tell()

    def _wait_for_room(self, size: int) -> bool:
        """Wait until *size* bytes more are within the limit; return False when nobody wants the rest."""
        while not self._stopped:
            # Announced before the look: what the loop takes after the look finds the announcement.
            self._blocked = True
            if self._ahead - self._taken + size <= self._limit:
                self._blocked = False
                return True
            if self._room is not None:
                self._room.wait()
        return False

    def _tell(self) -> None:
        if self._starved:
            self._starved = False
            try:
                if self._crossing is not None:
                    self._crossing.post(self._wake)
            except LoopClosed:
                self._stopped = True  # nobody is left who could ask for the rest


def _nothing() -> None:
    pass

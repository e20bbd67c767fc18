"""wsgi.input over receive(): bytes that arrive on the event loop, read in a worker thread. Knows no response."""

from __future__ import annotations

import io
from collections import deque
from typing import TYPE_CHECKING, Any

from bridge.errors import BodyTooLarge, ClientDisconnected, ServerError
from bridge.loop_thread import LoopClosed, Signal

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from _typeshed import WriteableBuffer

    from bridge.loop_thread import Crossing, Waiter


class RequestBody(io.RawIOBase):
    """The raw stream below ``wsgi.input``; ``io.BufferedReader`` on top of it gives it its methods.

    Reads block the worker thread until a byte is there. The loop reads ahead by ``limit`` bytes at most,
    and by one message of the server more.

    Args:
        length: bytes that the client declared, None if it did not. Reads end there, and a body that does not
            reach it raises instead of ending.
        limit: bytes to read ahead.
        max_size: bytes above which an undeclared body fails with BodyTooLarge; None for no bound.
        crossing: the way back to the loop that feeds it.
        begin: called on the loop when the application reads for the first time.
    """

    def __init__(
        self,
        length: int | None,
        *,
        limit: int,
        max_size: int | None,
        crossing: Crossing,
        begin: Callable[[], None] | None = None,
    ) -> None:
        self._length = length
        self._limit = limit
        self._max_size = max_size
        self._crossing = crossing
        self._begin = begin  # worker thread, until the first read
        self._chunks: deque[bytes] = deque()  # append: event loop; popleft: worker thread
        self._rest = memoryview(b"")  # worker thread: what is left of the chunk it took last
        self._last = b""  # event loop: the chunk that reaches the declared length, until the server says the end
        self._received = 0  # event loop
        self._consumed = 0  # worker thread
        self._complete = False  # event loop; set after the last chunk is in
        self._error: BaseException | None = None  # event loop; set after the last chunk is in
        self.discards = False
        """What comes is dropped. Event loop."""
        self._arrived = Signal()
        self._starved = False  # set by the worker thread before it waits, cleared by the loop before it wakes it
        self._room: Waiter | None = None  # event loop: what the pump waits for while the worker thread is behind

    # -- event loop thread ------------------------------------------------------------------------------------

    @property
    def complete(self) -> bool:
        """Whether the whole body has arrived."""
        return self._complete

    async def pump(self, receive: Callable[[], Awaitable[Any]]) -> bool:
        """Take messages until the body is complete; return False if the client went away before."""
        while not self._complete:
            if self._received - self._consumed >= self._limit and not self._last and not self.discards:
                self._room = self._crossing.waiter()
                # Looked at again, now that the worker thread can see the waiter: what it consumed
                # before could not release it.
                if self._received - self._consumed >= self._limit and not self.discards:
                    await self._room
                self._room = None
                continue
            message = await receive()
            if message["type"] == "http.disconnect":
                return False
            if self.discards:
                if not message.get("more_body", False):
                    return True
                continue
            self.feed(message.get("body") or b"", message.get("more_body", False))
            if self._error is not None:
                return True
        return True

    def discard(self) -> None:
        """Drop what comes from here on: nobody reads it, and only behind it lies that the client has left."""
        self.discards = True
        self.abort(ClientDisconnected("the rest of the request's body was dropped: a stream had left it unread"))
        self._make_room()

    def feed(self, chunk: bytes, more: bool) -> None:
        """Take what one ``http.request`` message holds."""
        self._received += len(chunk)
        length = self._length
        # The chunk that goes too far is not handed over: reads then fail before they have a whole body.
        if length is not None and self._received > length:
            self.abort(longer_than_declared(length, self._received))
            return
        if length is None and self._max_size is not None and self._received > self._max_size:
            self.abort(BodyTooLarge(f"the request body is longer than max_body_size, {self._max_size} bytes"))
            return
        if more and self._received == length:
            # Whether this is the end is for the server to say: the next message may bring more than was
            # declared, and over HTTP/2 Hypercorn loses the connection if the answer is quicker than
            # the frame that ends the request.
            self._last = chunk or self._last
            return
        if self._last:
            self._chunks.append(self._last)
            self._last = b""
        if chunk:
            self._chunks.append(chunk)
        if not more:
            if length is not None and self._received < length:
                self.abort(ClientDisconnected(f"the request body ended after {self._received} of {length} bytes"))
                return
            self._complete = True
        self._wake()

    def abort(self, error: BaseException) -> None:
        """Make reads raise *error* once they have taken what arrived before. Keeps the first error."""
        if self._error is None and not self._complete:
            self._error = error
        self._wake()

    def _wake(self) -> None:
        if self._starved:
            self._starved = False
            self._arrived.wake()

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # -- worker thread ----------------------------------------------------------------------------------------

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Read up to ``len(buffer)`` bytes, at least one unless the body has ended.

        Raises:
            ClientDisconnected: the body did not arrive whole.
            BodyTooLarge: it is longer than ``max_body_size``.
            ServerError: it is longer than its declared length.
        """
        rest = self._rest
        if not rest:
            rest = self._next()
        target = memoryview(buffer).cast("B")
        size = min(len(target), len(rest))
        target[:size] = rest[:size]
        self._rest = rest[size:]
        self._consumed += size
        if self._room is not None and self._received - self._consumed < self._limit:
            self._post(self._make_room)
        return size

    def _post(self, letter: Callable[[], object]) -> None:
        try:
            self._crossing.post(letter)
        except LoopClosed:
            # Found out by the wait that follows, or by the next read: what has arrived can still be read.
            self.abort(ClientDisconnected("the server's event loop was closed during the exchange"))

    def _next(self) -> memoryview:
        chunks = self._chunks
        while not chunks:
            if self._begin is not None:
                begin, self._begin = self._begin, None
                self._post(begin)
            # Announced before the last look, and the loop looks at it after its last append: either this
            # look sees the chunk, or the loop sees the announcement. The end is looked at before the chunks,
            # as the loop sets it after them: the other order loses a chunk that comes in between.
            self._starved = True
            error, complete = self._error, self._complete
            if chunks:
                break
            if error is not None:
                # A new one each time: the same exception raised twice would grow a traceback of both.
                raise type(error)(*error.args) from error.__cause__
            if complete:
                return memoryview(b"")
            self._arrived.wait()
        return memoryview(chunks.popleft())


async def collect(receive: Callable[[], Awaitable[Any]], limit: int) -> tuple[bytes, bool] | None:
    """Take messages until the body is complete or longer than *limit* bytes.

    Returns:
        ``(body, more)``: what came, and whether more is to come; None if the client went away.
    """
    message = await receive()
    if message["type"] == "http.disconnect":
        return None
    body = message.get("body") or b""
    if not message.get("more_body", False):
        return body, False
    collected = bytearray(body)
    while len(collected) <= limit:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        collected += message.get("body") or b""
        if not message.get("more_body", False):
            return bytes(collected), False
    return bytes(collected), True


def longer_than_declared(length: int, received: int) -> ServerError:
    """The error for a body that a server, or a middleware that changes it, lets grow over its declared length."""
    return ServerError(
        f"the request declares Content-Length {length} and {received} bytes of body came: a middleware that changes "
        "the body (one that decompresses it, say) has to change the header as well"
    )

"""What the application puts into its response, in a worker thread. Knows no event loop and no request body."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from bridge.errors import ApplicationError, ClientDisconnected
from bridge.http import has_body
from bridge.loop_thread import LoopClosed, Signal
from bridge.wsgi_to_asgi import order
from bridge.wsgi_to_asgi.order import NEXT, WRONG
from bridge.wsgi_to_asgi.response_head import can_have_body, translate_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.loop_thread import Crossing
    from bridge.protocols import ExcInfo
    from bridge.wsgi_to_asgi.file_response import FileResponse

_logger = logging.getLogger("bridge")

# Bound once: the lookup of an Enum member costs as much as the decision it is for.
_IDLE, _HELD, _SENT, _DONE = order.Phase
_START, _RESTART, _CHUNK, _END = order.Signal
# A body that is there as a whole is its only chunk and its end at once.
_AFTER_WHOLE = NEXT[NEXT[_HELD, _CHUNK], _END]


class Response:
    """The worker thread's side of an exchange: order, length, backpressure.

    Each attribute is written by one side only, so none needs a lock; in which order one side writes and the other
    reads is what the comments at those places are about.
    """

    __slots__ = (
        "_blocked",
        "_bodiless",
        "_chunks",
        "_delivered",
        "_ended",
        "_file",
        "_gone",
        "_head",
        "_length",
        "_limit",
        "_method",
        "_phase",
        "_post_pending",
        "_produced",
        "_released",
        "_room",
        "crossing",
    )

    def __init__(self, crossing: Crossing, method: str, limit: int) -> None:
        self.crossing = crossing
        self._method = method
        self._limit = limit  # bytes that the worker thread may be ahead

        # Worker thread writes.
        self._phase = _IDLE
        self._head: dict[str, Any] | None = None  # http.response.start, replaceable until it is released
        self._length: int | None = None  # bytes that the application declared, or the bridge knows
        self._bodiless = False
        self._produced = 0  # bytes put into _chunks
        self._chunks: list[bytes] = []  # worker thread appends; the loop takes from the front
        self._released = False  # the headers may leave; set before the first chunk is in
        self._ended = False  # set after the last chunk is in
        self._file: FileResponse | None = None  # the body, in place of chunks; set before _ended
        self._blocked = False  # set by the worker thread before it waits, cleared by the loop before it wakes it
        self._room: Signal | None = None

        # Event loop writes.
        self._delivered = 0  # bytes that send() has taken

        # Either side writes.
        self._gone: str | None = None  # why the worker thread shall stop; set once
        self._post_pending = False  # set by the worker thread when it posts, cleared by the loop before it looks

    def _wake(self) -> None:
        """Let the event loop look; called there."""
        raise NotImplementedError

    def _start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], object]:
        """The ``start_response`` of PEP 3333."""
        phase = NEXT.get((self._phase, _START if exc_info is None else _RESTART))
        if phase is None:
            if exc_info is not None and exc_info[1] is not None:
                try:
                    # PEP 3333, "Error Handling": the headers have left, so the error is all that is left to say.
                    raise exc_info[1].with_traceback(exc_info[2])
                finally:
                    exc_info = None  # break the cycle through this frame, as the PEP asks
            raise self._out_of_order(_START)
        code, translated, length = translate_head(status, headers)
        self._phase = phase
        self._length = length
        self._bodiless = not can_have_body(self._method, code)
        self._head = {"type": "http.response.start", "status": code, "headers": translated}
        return self._write

    def _write(self, chunk: bytes) -> None:
        """The ``write()`` of PEP 3333."""
        if self._put(chunk) and not self._bodiless:
            raise ApplicationError(f"write() was called for more than the {self._length} bytes of Content-Length")

    def _put(self, chunk: bytes) -> bool:
        """Hand over one chunk; wait while the client is behind. Return whether iteration shall stop."""
        if self._gone is not None:
            raise ClientDisconnected(self._gone)
        if type(chunk) is not bytes and not isinstance(chunk, bytes):
            raise _not_bytes(chunk)
        if not chunk:
            return False
        if self._phase is not _SENT:
            if self._phase is _DONE:
                return self._overrun(len(chunk))
            self._advance(_CHUNK)
            self._released = True
            if self._bodiless:
                self._complete()
                return True
        if self._length is not None and self._produced + len(chunk) >= self._length:
            return self._put_last(chunk, self._length)
        self._chunks.append(chunk)
        self._produced += len(chunk)
        if not self._post_pending:
            self._post()
        if self._produced - self._delivered > self._limit:
            self._wait_for_room()
        return False

    def _put_last(self, chunk: bytes, length: int) -> bool:
        """Hand over the chunk that reaches the declared length, and no byte more."""
        overrun = self._produced + len(chunk) - length
        self._chunks.append(chunk[:-overrun] if overrun else chunk)
        self._produced = length
        # The client has all it was promised: the response need not wait for the iterable to end.
        self._complete()
        return overrun > 0 and self._overrun(overrun)

    def _put_whole(self, chunks: list[bytes] | tuple[bytes, ...]) -> None:
        """Hand over a body that is there as a whole: its length is known, and one wake-up carries it all."""
        for chunk in chunks:
            if type(chunk) is not bytes and not isinstance(chunk, bytes):
                raise _not_bytes(chunk)
        total = len(chunks[0]) if len(chunks) == 1 else sum(map(len, chunks))
        if self._phase is _HELD and not self._bodiless:
            if self._length is None:
                self._declare(total)
            elif total < self._length:
                # Nothing has left yet, so this can still be an error page instead of a cut connection.
                raise self._too_short(total)
            if 0 < total <= self._limit and total == self._length and self._gone is None:
                self._phase = _AFTER_WHOLE
                self._chunks.append(chunks[0] if len(chunks) == 1 else b"".join(chunks))
                self._produced = total
                self._released = self._ended = True
                return  # finish() posts it
        elif self._phase is _HELD and total and self._length is None and self._length_is_free():
            self._declare(total)  # what GET would say
        for chunk in chunks:
            if self._put(chunk):
                break
        self._end()

    def _put_file(self, file: FileResponse) -> None:
        """Let the server send the whole body, or if it cannot any more, send it in chunks."""
        if not file.can_leave():
            for chunk in file.chunks():
                self._put(chunk)
            self._end()
            return
        self._file = file
        self._complete()

    def _length_is_free(self) -> bool:
        """Whether a response to HEAD may say how long the body is that it leaves out."""
        return self._head is not None and has_body(self._head["status"])

    def _end(self) -> None:
        """Complete the response, unless it is complete already."""
        if self._phase is _DONE:
            return
        if self._gone is not None:
            raise ClientDisconnected(self._gone)
        if not self._bodiless:
            if self._length is None:
                if self._phase is _HELD:
                    self._declare(0)
            elif self._produced < self._length:
                raise self._too_short(self._produced)
        self._complete()

    def _complete(self) -> None:
        self._advance(_END)
        self._released = True
        self._ended = True
        if not self._post_pending:
            self._post()

    def _make_204(self) -> None:
        """Let a 200 that has no body say so, unless it has begun to leave. Source: RFC 9110, 15.3.5 and 8.6."""
        head = self._head
        if self._phase is _HELD and head is not None and head["status"] == 200:
            headers = [pair for pair in head["headers"] if pair[0] not in (b"content-length", b"content-type")]
            self._head = {"type": "http.response.start", "status": 204, "headers": headers}
            self._length = None
            self._bodiless = True

    def _overrun(self, size: int) -> bool:
        # PEP 3333, "Handling the Content-Length Header": never more than declared, and stop iterating.
        if not self._bodiless:
            _logger.error(
                "The application produced at least %d bytes more than the %s of its Content-Length: they are not sent.",
                size,
                self._length,
            )
        return True

    def _declare(self, length: int) -> None:
        self._length = length
        if self._head is not None:
            self._head["headers"].append((b"content-length", b"%d" % length))

    def _too_short(self, produced: int) -> ApplicationError:
        return ApplicationError(
            f"the application declared Content-Length {self._length} and produced {produced} bytes: "
            "its response cannot be completed"
        )

    def _advance(self, did: order.Signal) -> None:
        phase = NEXT.get((self._phase, did))
        if phase is None:
            raise self._out_of_order(did)
        self._phase = phase

    def _out_of_order(self, did: order.Signal) -> ApplicationError:
        return ApplicationError(f"the application broke PEP 3333: {WRONG[self._phase, did]}")

    def is_behind(self) -> bool:
        """Whether the client has to take something before there can be more."""
        return self._produced - self._delivered > self._limit

    def _wait_for_room(self) -> None:
        if self._room is None:
            self._room = Signal()
        while self._gone is None:
            # Announced before the look: what the loop delivers after the look finds the announcement.
            self._blocked = True
            if not self.is_behind():
                return
            # Waiting here is the backpressure: without it a slow client fills memory at the speed
            # of a fast application.
            self._room.wait()
        raise ClientDisconnected(self._gone)

    def _post(self) -> None:
        """Let the loop look; not needed while an earlier letter is on its way."""
        self._post_pending = True
        try:
            self.crossing.post(self._wake)
        except LoopClosed:
            # Nobody is left to tell; the next chunk, if there is one, stops the application.
            self._gone = self._gone or "the server's event loop was closed during the exchange"


def _not_bytes(chunk: object) -> ApplicationError:
    return ApplicationError(f"a response body is made of bytes; the application produced {what(chunk)}")


def what(thing: object) -> str:
    """Describe what an application gave instead of bytes, and why that may be."""
    hint = ""
    if isinstance(thing, str):
        hint = ": encode it"
    elif isinstance(thing, int):
        hint = ": an application that returns bytes instead of a list of bytes is iterated byte by byte"
    return f"{type(thing).__name__} {thing!r:.60}{hint}"

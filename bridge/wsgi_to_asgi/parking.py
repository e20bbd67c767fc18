"""The streams of one exchange, and who takes it up again when it has no thread. Knows no loop and no response."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.streams.crossed import Crossed
    from bridge.wsgi_to_asgi.crew import Threads

_logger = logging.getLogger("bridge")


class Parked(Protocol):
    """The exchange."""

    def is_behind(self) -> bool:
        """Whether the client has to take something before there can be more."""
        ...

    def is_told_to_stop(self) -> bool:
        """Whether nobody waits for the response any more."""
        ...


class Parking:
    """Decides who takes the exchange up again: whoever sees first that it can go on.

    Args:
        exchange: what is parked.
        allowed: False: it keeps its thread whatever happens, and this only knows its streams.
    """

    __slots__ = (
        "_asked",
        "_awaited",
        "_exchange",
        "_free",
        "_mark",
        "_threads",
        "allowed",
        "leaves",
        "nothing",
        "rest",
        "streams",
    )

    def __init__(self, exchange: Parked, *, allowed: bool) -> None:
        self._exchange = exchange
        self.allowed = allowed
        # Those that have not ended. Worker thread appends, the loop removes.
        self.streams: list[Crossed] = []

        # Worker thread writes.
        self._asked: Crossed | None = None  # has given an empty chunk, which the exchange has not got yet
        self._threads: Threads | None = None
        self.rest: tuple[Any, Iterator[bytes]]
        """The application's iterable and its iterator, while it is parked."""
        self.leaves = False
        """A chunk is being taken after which the thread leaves, so that it need not wait for a slow client."""
        self.nothing = False
        """A stream has ended without a chunk, and would have the response say so."""

        self._awaited: Crossed | None = None  # what the exchange waits for; None: only for its client
        self._mark = 0  # what that had given when it was asked last

        # Holds a token while no thread has the exchange. Who pops it resumes, and nobody else can: pop is atomic.
        self._free: list[None] = []

    # -- worker thread ----------------------------------------------------------------------------------------

    def offer(self, stream: Crossed, mark: int) -> bool:
        """Let *stream* give an empty chunk, unless the last one was swallowed on its way to the exchange."""
        self._asked = stream if self._asked is None and self.allowed else None
        self._mark = mark
        return self._asked is not None

    def hold(self) -> None:
        """Let others go on in the place of this exchange, whose thread has to wait for a stream."""
        if self._threads is not None:
            self._threads.leave(self._exchange)

    def is_due(self, chunk: bytes) -> bool:
        """Whether the exchange leaves its thread after *chunk*."""
        if self._asked is not None:
            if not chunk:
                self._awaited, self._asked = self._asked, None
                return True
            self.allowed = False  # something has made bytes of an empty chunk: it gets no other
        self._awaited = None
        return self.allowed and self._exchange.is_behind()

    def park(self, threads: Threads) -> None:
        """Leave the exchange to whoever calls :meth:`look`; *threads* resumes it when it can go on."""
        self._threads = threads
        self._free.append(None)
        # What has come since this thread looked last found no token.
        self.look()

    def close(self) -> None:
        """Close the streams that are open: none outlives its exchange."""
        for stream in self.streams.copy():
            try:
                stream.close()
            except Exception:
                _logger.exception("An async iterable failed when it was cancelled")

    # -- event loop thread ------------------------------------------------------------------------------------

    def news(self, stream: Crossed) -> None:
        """Go on if the exchange waits for *stream*, which has given a chunk or has ended."""
        if stream.ended and not stream.has_failed and stream in self.streams:
            self.streams.remove(stream)
        self.look()

    def cancel(self) -> None:
        """Cancel what the streams run; the exchange goes on when that has ended."""
        for stream in self.streams.copy():
            stream.cancel()
        self.look()

    # -- any thread -------------------------------------------------------------------------------------------

    def forsake(self) -> None:
        """Let the exchange go on although its event loop does not."""
        for stream in self.streams.copy():
            stream.forsake()
        self.streams.clear()
        self.look()

    def look(self) -> None:
        """Resume the exchange if it is parked and can go on."""
        if self._exchange.is_told_to_stop():
            # Not before the streams have ended, or its thread would wait for that.
            free = all(stream.ended for stream in self.streams.copy())
        else:
            awaited = self._awaited
            free = not self._exchange.is_behind() and (awaited is None or awaited.has_news(self._mark))
        if free:
            try:
                self._free.pop()
            except IndexError:
                return
            if self._threads is not None:
                self._threads.resume(self._exchange)

"""An async iterable on the server's event loop, its chunks in worker threads. Knows no response."""

from __future__ import annotations

import logging
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio.lowlevel

from bridge.errors import ApplicationError, ClientDisconnected
from bridge.loop_thread import LoopClosed, Signal, here
from bridge.streams.callers import passes_on
from bridge.streams.feed import feed

if TYPE_CHECKING:
    from collections.abc import AsyncIterable

    from bridge.loop_thread import Crossing, Task, Waiter

_logger = logging.getLogger("bridge")

# Bytes that the iterable may be ahead of the threads that take its chunks. Little: the response has a buffer, too.
_READ_AHEAD: Final = 16 * 1024
# Bytes that a chunk counts beside its own, so that small ones have a limit as well.
_OVERHEAD: Final = 64
# Items after which the loop turns, for an iterable that awaits nothing itself.
_BURST: Final = 64

_CANCELLED: Final = "the stream was cancelled: its client has left, or the server ends the exchange"


class Holder(Protocol):
    """The exchange that a stream is part of; it can go on without a thread while there is no chunk."""

    @property
    def crossing(self) -> Crossing:
        """The way to the loop that the exchange came from."""
        ...

    def join(self, stream: Crossed) -> None:
        """Know *stream* until it has ended: it is cancelled with the exchange. Worker thread."""
        ...

    def offer(self, stream: Crossed, mark: int) -> bool:
        """Say whether an empty chunk may be given now: the exchange then asks again after *mark*. Worker thread.

        Not if the last one has not got to the exchange: something in between waits for what is not empty.
        """
        ...

    def hold(self) -> None:
        """Be told that its own worker thread has to wait for the stream. There."""
        ...

    def news(self, stream: Crossed) -> None:
        """Go on, if that is what the exchange waits for: *stream* has given a chunk, or has ended. Event loop."""
        ...

    def watch_client(self) -> None:
        """Let a client that leaves cancel the stream. Event loop."""
        ...

    def is_told_to_stop(self) -> bool:
        """Whether nobody waits for the response any more. Any thread."""
        ...


class Crossed:
    """The iterator of its chunks.

    Args:
        items: the application's.
        ping: as :func:`feed` has it.
        holder: the exchange whose worker thread makes this; *items* runs in a copy of its context.
    """

    def __init__(self, items: AsyncIterable[Any], ping: float | None, holder: Holder) -> None:
        self._items = items
        self._ping = ping
        self._holder = holder
        self._crossing = holder.crossing
        self._context = copy_context()
        # Lists and not deques, each of which has 760 bytes, where thousands of streams are idle; as atomic, and short.
        self._chunks: list[bytes] = []  # append: event loop; pop: worker thread
        # Who waits for room, at most one. Event loop appends; who pops it wakes it, and nobody else can.
        self._waiters: list[Waiter] = []

        # Event loop writes.
        self._task: Task | None = None
        self._runs = False  # the task has taken its first step
        self._arrived = 0  # bytes that were put into _chunks; added after the chunk, which _OVERHEAD keeps from being 0
        self._count = 0  # items
        self._error: Exception | None = None
        self._interrupted: str | None = None  # what it raised that is no Exception
        self._cancelled = False
        self.ended = False
        """Nothing more comes; set after the last chunk."""

        # Worker thread writes.
        self._taken = 0
        self._starved = False  # set before it waits, cleared by the loop before it wakes it
        self._closed = False
        self._held = False
        self._passes_on = False  # whoever asks for the next chunk
        self._news = Signal()
        # Before it can start: what ends is to be known.
        holder.join(self)
        try:
            self._crossing.post(self._start)
        except LoopClosed:
            self.cancel()

    # -- worker thread ----------------------------------------------------------------------------------------

    def __iter__(self) -> Crossed:
        return self

    def __next__(self) -> bytes:
        while True:
            # Looked at in the reverse of the order in which the loop sets them.
            ended, mark = self.ended, self._arrived
            if self._chunks:
                return self._take()
            if ended:
                self._raise_error()
                if self._closed:
                    raise StopIteration
                if self._cancelled:
                    raise ClientDisconnected(_CANCELLED)
                if self._interrupted is not None:
                    # A cancellation that came from elsewhere, too: the body is not complete, and must not look so.
                    raise ApplicationError(f"a stream's iterable raised {self._interrupted}")
                raise StopIteration
            # Not for another thread, of the application's own: it is not that which the exchange would leave.
            if here.exchange is self._holder:
                self._passes_on = self._passes_on or passes_on(self)  # once: who iterates it does so to its end
                if self._passes_on and self._holder.offer(self, mark):
                    return b""
                self._holder.hold()
            if not self._held:
                self._held = True
                _logger.debug(
                    "A stream holds its thread while it gives nothing: what is between it and WsgiToAsgi waits for a "
                    "chunk that is not empty, iterates it in a thread of its own, or is code that is not known here."
                )
            self._wait()

    def _wait(self) -> None:
        # Announced before the last look, and the loop looks at it after its last append: either this look sees
        # the chunk, or the loop sees the announcement.
        self._starved = True
        if not self.ready:
            self._news.wait()
            if self.ended:
                self._news.wake()  # for close(), which may wait in another thread: the end is told to one

    def _take(self) -> bytes:
        chunk = self._chunks.pop(0)
        self._taken += len(chunk) + _OVERHEAD
        if self._waiters and not self._is_full():
            try:
                waiter = self._waiters.pop()
            except IndexError:  # the loop has seen by itself that there is room
                return chunk
            try:
                self._crossing.post(partial(_release, waiter))
            except LoopClosed:
                self.forsake()
        return chunk

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            try:
                raise error
            finally:
                del error  # the traceback holds this frame: without this it would hold itself

    def close(self) -> None:
        """Cancel what runs on the loop, and wait until it has ended.

        Raises:
            Exception: what it raised meanwhile, or before and nobody asked.
        """
        self._closed = True
        if not self.ended:
            try:
                self._crossing.post(self.cancel)
            except LoopClosed:
                self.forsake()
            while not self.ended:
                self._starved = True  # as in _wait(), but chunks do not count
                if not self.ended:
                    self._news.wait()
            self._news.wake()  # as there: who else waits is told by who was
        self._raise_error()

    # -- any thread -------------------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether the next chunk, or the end, is there."""
        return bool(self._chunks) or self.ended

    @property
    def has_failed(self) -> bool:
        """Whether it has ended by an error that nobody was told of yet."""
        return self._error is not None

    def has_news(self, mark: int) -> bool:
        """Whether there has been a chunk since *mark*, or the end.

        The chunk may be gone: a thread that the application has made can take it before the exchange does.
        """
        return self._arrived != mark or self.ended

    def _is_full(self) -> bool:
        return self._arrived - self._taken >= _READ_AHEAD

    def forsake(self) -> None:
        """Be at the end, since the loop may not go on."""
        self._cancelled = self.ended = True
        self._news.wake()

    # -- event loop thread ------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Stop; *ended* says when."""
        self._cancelled = True
        if self._runs and self._task is not None:
            self._task.cancel()
        elif not self._runs:
            self._end()  # it does not begin

    def _start(self) -> None:
        if self._closed or self._holder.is_told_to_stop():
            self.cancel()
        if not self.ended:
            self._task = self._context.run(self._crossing.start, self._run)
            self._holder.watch_client()

    async def _run(self) -> None:
        if self.ended:
            return
        self._runs = True
        try:
            await feed(self._items, self._put, self._ping)
        except Exception as error:
            if not (self._cancelled and isinstance(error, ClientDisconnected)):  # told to stop by _put(), and did
                self._error = error
        except BaseException as error:
            self._interrupted = type(error).__name__
            if isinstance(error, SystemExit):
                return  # an error of the application, on a loop that is not its own
            if not self._cancelled and not isinstance(error, GeneratorExit):
                # Who cancels all that runs here cancels the exchange as well: let that say first why it ends.
                with anyio.CancelScope(shield=True):
                    await anyio.lowlevel.checkpoint()
            raise
        finally:
            self._end()

    async def _put(self, chunk: bytes) -> None:
        if self._cancelled:
            raise ClientDisconnected(_CANCELLED)  # it went on although it was cancelled
        if chunk:
            self._chunks.append(chunk)
            self._arrived += len(chunk) + _OVERHEAD
            self._look()
        self._count += 1
        if self._count % _BURST == 0:
            await anyio.lowlevel.checkpoint()
        while self._is_full():
            waiter = self._crossing.waiter()
            self._waiters.append(waiter)
            # Looked at again, now that a thread can see the waiter.
            if self._is_full():
                await waiter
            else:
                self._waiters.clear()

    def _end(self) -> None:
        self.ended = True
        self._look()

    def _look(self) -> None:
        if self._starved:
            self._starved = False
            self._news.wake()
        self._holder.news(self)


def _release(waiter: Waiter) -> None:
    if not waiter.done():  # it is, if who waited was cancelled
        waiter.set_result(None)

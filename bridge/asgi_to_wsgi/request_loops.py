"""Event loops that the server's own threads run, one exchange at a time. Knows no order of messages."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from bridge.asgi_to_wsgi.gate import Gate
from bridge.asgi_to_wsgi.in_use import InUse
from bridge.asgi_to_wsgi.left_overs import abandon, tidy, track_tasks
from bridge.loop_thread import Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sized

    from bridge.loop_thread import Waiter

# Idle loops that are kept. A loop has three descriptors; a server with more threads than this makes the others anew.
_KEEP: Final = 64


class RequestLoop:
    """A loop that the server's own thread runs, for one exchange at a time: no thread is crossed."""

    takes_turns = True
    goes_on = False

    def __init__(
        self, factory: Callable[[], asyncio.AbstractEventLoop], end: Callable[[RequestLoop, bool], None]
    ) -> None:
        """Make a loop; *end* is told when an exchange has left this host, and whether it is clean."""
        self._loop = loop = factory()
        self._end = end
        self._mailbox: Mailbox | None = None
        self._task: asyncio.Task[None] | None = None
        self._tasks = track_tasks(loop)
        self._shows_inside = isinstance(loop, asyncio.BaseEventLoop)
        self._ready: Sized = getattr(loop, "_ready", ())
        self._generators: Sized = getattr(loop, "_asyncgens", ())
        self.gate = Gate(loop)
        # Bound here, since each is called for every exchange: a method of ours around them would cost as much again.
        self._stop = loop.stop
        self.pause: Callable[[], object] = loop.stop
        self.wait: Callable[[], object] = loop.run_forever
        self.waiter: Callable[[], Waiter] = loop.create_future

    @property
    def crossing(self) -> Mailbox:
        if self._mailbox is None:  # made for the first long body, since it may hold a descriptor
            self._mailbox = Mailbox(self._loop)
        return self._mailbox

    def start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.pause = _nothing  # as in step()
        try:
            self._task = self.gate.start(main())
        finally:
            self.pause = self._stop

    def wait_for(self, timeout: float) -> None:
        timer = self._loop.call_later(timeout, self._loop.stop)
        try:
            self._loop.run_forever()
        finally:
            timer.cancel()

    def post(self, letter: Callable[[], object]) -> None:
        letter()  # the loop stands still, so this thread may do what the loop would

    def step(self) -> bool:
        # The loop does not run, and what stops it now would end its next run before that has begun.
        self.pause = _nothing
        try:
            return self.gate.open()
        finally:
            self.pause = self._stop

    def cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def end(self, *, finished: bool) -> None:
        if finished and self._shows_inside and not (self._tasks or self._ready or self._generators):
            self._task = None
            self._end(self, True)
            return
        clean = False
        try:
            clean = finished and self._tidy()
        finally:
            if not clean:
                self._abandon()
                self.close()
            self._task = None
            self._end(self, clean)

    def _tidy(self) -> bool:
        loop = self._loop
        if not self._shows_inside:
            # uvloop: callbacks of what ended last, and stops that came too late to be noticed.
            loop.stop()
            loop.run_forever()
        if self._tasks or self._ready or self._generators:
            return loop.run_until_complete(tidy(loop, self._tasks))
        return True

    def _abandon(self) -> None:
        # What is left goes with the loop; that it does has been said. Its finally blocks run when it is collected.
        self.pause = self._stop = _nothing
        for task in (self._task, *self._tasks):
            if task is not None and not task.done():
                abandon(task)

    def close(self) -> None:
        """Close the loop."""
        self._loop.close()


def _nothing() -> None:
    pass


class RequestLoops:
    """The pool of them. Any thread."""

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop] | None) -> None:
        self._factory = factory or asyncio.new_event_loop
        self._idle: deque[RequestLoop] = deque()  # append and pop are atomic
        # The idle ones as well, so that a request does not change it: once closed, those left are in use.
        self._open: InUse[RequestLoop] = InUse()
        self._closed = False

    def take(self) -> RequestLoop:
        """Return a clean loop; its end() gives it back."""
        try:
            # The last one that came back: its memory is warm, and the others can stay unused.
            return self._idle.pop()
        except IndexError:
            loop = RequestLoop(self._factory, self._take_back)
            self._open.add(loop)
            return loop

    def _take_back(self, loop: RequestLoop, clean: bool) -> None:
        if clean and len(self._idle) < _KEEP:
            self._idle.append(loop)
            if self._closed:  # looked at after the loop is in: either this look sees it, or close() sees the loop
                self.close()
            return
        if clean:
            loop.close()
        self._open.discard(loop)

    def drain(self, timeout: float) -> None:
        """Be close(), and wait until no exchange has one of the loops, *timeout* seconds at most. Blocks."""
        self.close()
        self._open.drain(timeout)

    def close(self) -> None:
        """Close the idle loops; one that is in use closes with its exchange."""
        self._closed = True
        while True:
            try:
                loop = self._idle.pop()
            except IndexError:
                return
            loop.close()
            self._open.discard(loop)

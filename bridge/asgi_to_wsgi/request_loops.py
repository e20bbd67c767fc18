"""Event loops that the server's own threads run, one exchange at a time. Knows no order of messages."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from bridge.asgi_to_wsgi.gate import Gate
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

    def __init__(self, factory: Callable[[], asyncio.AbstractEventLoop], give: Callable[[RequestLoop], None]) -> None:
        """Make a loop; *give* takes this host back when an exchange has left it clean."""
        self._loop = loop = factory()
        self._give = give
        self.crossing = Mailbox(loop)
        self._task: asyncio.Task[None] | None = None
        self._tasks = track_tasks(loop)
        # What a loop of another kind (uvloop) does not show is taken for there.
        self._ready: Sized = getattr(loop, "_ready", (None,))
        self._generators: Sized = getattr(loop, "_asyncgens", ())
        self.gate = Gate(loop)
        # Bound here, since each is called for every exchange: a method of ours around them would cost as much again.
        self._stop = loop.stop
        self.pause: Callable[[], object] = loop.stop
        self.wait: Callable[[], object] = loop.run_forever
        self.waiter: Callable[[], Waiter] = loop.create_future

    def start(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = asyncio.Task(main(), loop=self._loop)

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
        task, self._task = self._task, None
        loop = self._loop
        if not finished:
            if task is not None:
                abandon(task)  # the exchange has said so
            self.close()
            return
        if self._tasks or self._ready or self._generators:
            try:
                if not loop.run_until_complete(tidy(loop, self._tasks)):
                    self.close()
                    return
            except BaseException:
                self.close()
                raise
        self._give(self)

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

    def take(self) -> RequestLoop:
        """Return a clean loop; its end() gives it back."""
        try:
            # The last one that came back: its memory is warm, and the others can stay unused.
            return self._idle.pop()
        except IndexError:
            return RequestLoop(self._factory, self._give)

    def _give(self, loop: RequestLoop) -> None:
        if len(self._idle) < _KEEP:
            self._idle.append(loop)
        else:
            loop.close()

    def close(self) -> None:
        """Close the idle loops."""
        while self._idle:
            self._idle.pop().close()

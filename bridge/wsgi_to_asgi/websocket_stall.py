"""The deadline of a WebSocket that stands still in both directions. Knows no message, no thread and no socket."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from bridge.loop_thread import Crossing, Task

# Seconds that both sides may stand still. A guess: longer than a network pauses, shorter than threads can be missed.
STALL: Final = 60.0

# Bytes a second. What is on its way has the time beside it that this takes, since a message is delivered as a whole:
# a client that takes 16 MiB over a poor line does not stand still. A guess, too.
SLOWEST: Final = 1 << 14


class Stall:
    """Give a client up that takes nothing, while the application that waits for it takes nothing either.

    One of them alone may be slow for as long as it likes. Both at once can be a client that was lost and will never be
    said to be: Hypercorn's ``send()`` waits for room that never comes, and its ``websocket.disconnect`` lies behind
    messages that nobody asks for. Event loop thread only.

    Args:
        crossing: to the loop.
        owed: returns the bytes that the client has not taken.
        give_up: ends the WebSocket, for the reason that it is given.
    """

    def __init__(self, crossing: Crossing, owed: Callable[[], int], give_up: Callable[[str], None]) -> None:
        self._crossing = crossing
        self._owed = owed
        self._give_up = give_up
        self._progress: Callable[[], object] | None = None  # set while the client's messages wait
        self._task: Task | None = None

    async def during(self, waiting: Awaitable[None], progress: Callable[[], object]) -> None:
        """Await what lets the client's messages go on.

        Args:
            waiting: ends when the application has taken some, or the WebSocket has ended.
            progress: returns None while the application does not wait for the client, otherwise what differs once
                either of them has taken something. Who knows that it begins to wait calls :meth:`look`.
        """
        self._progress = progress
        self.look()
        try:
            await waiting
        finally:
            self._progress = None
            if self._task is not None:
                self._task.cancel()
                self._task = None

    def look(self) -> None:
        """Begin the deadline if both sides wait now."""
        if self._progress is not None and self._task is None and self._progress() is not None:
            self._task = self._crossing.start(self._expire)

    async def _expire(self) -> None:
        from anyio import move_on_after, sleep_forever  # here, since importing the bridge imports no more than it needs

        while self._progress is not None and (seen := self._progress()) is not None:
            seconds = STALL + self._owed() / SLOWEST
            with move_on_after(seconds):
                await sleep_forever()
            if self._progress is not None and self._progress() == seen:
                self._give_up(
                    f"the client was given up: for {seconds:.0f} s neither it nor the application, which waits to "
                    "send, has taken anything of what the other had sent"
                )
                return
        self._task = None

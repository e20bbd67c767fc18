"""The way out of a WebSocket: frames, one after the other, whoever says them. Knows no application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
from wsproto.connection import ConnectionState
from wsproto.events import CloseConnection

from bridge.rfc6455 import ABNORMAL

if TYPE_CHECKING:
    from wsproto.connection import Connection as Frames
    from wsproto.events import Event

    from bridge.asgi_to_wsgi.websocket_inbox import Inbox
    from bridge.asgi_to_wsgi.websocket_wire import Wire

# Seconds that the client has to answer a close; a guess.
CLOSE_WAIT: Final = 5.0


class Speaker:
    """What is said to one client. A connection that is lost ends the WebSocket, and is no error here. Event loop."""

    def __init__(self, wire: Wire, frames: Frames, inbox: Inbox) -> None:
        """Say *frames* over *wire*; *inbox* is told of a connection that is lost."""
        self._wire = wire
        self._frames = frames
        self._inbox = inbox
        # Without fast_acquire each message would cost a turn of the loop, though mostly nobody else says anything.
        self._writing = anyio.Lock(fast_acquire=True)

    async def say(self, event: Event | None = None) -> None:
        """Return when the connection has taken *event*, and before that what earlier calls have left, if cancelled."""
        async with self._writing:
            try:
                await self._wire.flush()
                if event is not None and self._may_say(event):
                    self._wire.put(self._frames.send(event))
                    await self._wire.flush()
            except OSError:
                self._inbox.over(ABNORMAL, "")

    def _may_say(self, event: Event) -> bool:
        # A close may have been said meanwhile, and it is the last that is said.
        state = self._frames.state
        return state is ConnectionState.OPEN or (
            state is ConnectionState.REMOTE_CLOSING and isinstance(event, CloseConnection)
        )

    async def say_close(self, close: CloseConnection) -> None:
        """Say that the WebSocket is closed; give up a client that does not take even that."""
        with anyio.move_on_after(CLOSE_WAIT) as patience:  # not for ever behind what the client does not read
            await self.say(close)
        if patience.cancelled_caught:
            self._wire.end()  # which lets go whoever waits in send(), too

"""One application's try at an exchange: its answer held back, passed on or dropped. Knows no other application."""

from __future__ import annotations

import logging
from collections import deque
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from bridge.mount.cascade.replay import Reader
    from bridge.protocols import AsgiApplication, Message, Scope, Send

_logger = logging.getLogger("bridge")

# Messages that an application may send before its answer and that are held with it. They are advice to the client:
# older ones than these give way.
_HELD: Final = 16

# Bytes of a refused answer that are dropped while more are announced; then its application is cancelled.
_DROPPED: Final = 1 << 20

# ASGI extensions "Early Hints", "HTTP/2 Server Push" and Starlette's "http.response.debug".
_BEFORE: Final = frozenset({"http.response.early_hint", "http.response.push", "http.response.debug"})
# Sanic has the first for a WebSocket too.
_START: Final = frozenset({"http.response.start", "websocket.http.response.start"})

# RFC 6455, 7.4.1: a normal closure, which is what "no such route" is to Starlette and what a close() without a code is.
_NORMAL: Final = 1000
# RFC 6455, 7.4.2: codes for frameworks and applications, which put HTTP's into them (3404, 4404).
_PRIVATE: Final = (3000, 4000)


class Verdict(Enum):
    """What a message says of the answer that it belongs to."""

    OPEN = auto()  # nothing yet
    ACCEPTED = auto()  # this answer is the client's
    REFUSED = auto()  # the next application is asked


def judge(message: Message, statuses: Collection[int]) -> Verdict:
    """Return the verdict on an answer of which *message* is the first that has not been judged.

    Source: ASGI HTTP specification, "Response Start"; WebSocket specification, "Close" and "Denial Response".
    """
    kind = message["type"]
    if kind in _START:
        status = message["status"]
        if status in statuses:
            return Verdict.REFUSED
        return Verdict.ACCEPTED if status >= 200 else Verdict.OPEN  # RFC 9110, 15.2: an answer follows
    if kind == "websocket.close":
        code = message.get("code", _NORMAL)
        refused = code == _NORMAL or any(code - base in statuses for base in _PRIVATE)
        return Verdict.REFUSED if refused else Verdict.ACCEPTED
    # What is out of order, or unknown here, the server has to judge.
    return Verdict.OPEN if kind in _BEFORE else Verdict.ACCEPTED


class Attempt:
    """Call one application with an exchange that may be another's. Event loop.

    Args:
        reader: gives it what the server says.
        send: the server's; gets the answer unless it is refused.
        statuses: with which an answer is refused.
        refused: called, once, as soon as it is.
    """

    def __init__(self, reader: Reader, send: Send, statuses: Collection[int], refused: Callable[[], object]) -> None:
        self.verdict = Verdict.OPEN
        self.exchange_over = False
        """Set from outside: the client has another answer, or nobody makes one any more."""
        self._reader = reader
        self._to_server = send
        self._statuses = statuses
        self._refused = refused
        self._held: deque[Message] = deque(maxlen=_HELD)
        self._dropped = 0  # bytes
        self._running = anyio.CancelScope()

    async def run(self, application: AsgiApplication, scope: Scope) -> None:
        """Run *application* to its end, with what it does after its answer.

        Raises:
            Exception: what it raised, unless its answer had been refused: that is only logged, since another one's
                is the client's.
        """
        try:
            with self._running:
                await application(scope, self._reader.receive, self._send)
        except Exception as error:
            if self.verdict is not Verdict.REFUSED:
                raise
            _logger.error("Exception in an application whose answer had fallen through", exc_info=error)

    async def _send(self, message: Message) -> None:
        if self.verdict is Verdict.ACCEPTED:
            await self._to_server(message)
        elif self.verdict is Verdict.REFUSED:
            await self._drop(message)
        else:
            await self._decide(message)

    async def _decide(self, message: Message) -> None:
        self.verdict = judge(message, self._statuses)
        if self.verdict is Verdict.OPEN:
            self._held.append(message)
        elif self.verdict is Verdict.ACCEPTED:
            await self._reader.settle()
            while self._held:
                await self._to_server(self._held.popleft())
            await self._to_server(message)
        else:
            self._reader.stop()
            self._refused()

    async def _drop(self, message: Message) -> None:
        self._dropped += len(message.get("body") or b"")
        # What is on its way to its end may come to it: a middleware makes two messages of every body. What has
        # none would keep the exchange, and a cancellation is how servers end an application.
        if message.get("more_body", False) and (self.exchange_over or self._dropped > _DROPPED):
            self._running.cancel()
        # An answer without end must not keep the event loop to itself.
        await anyio.lowlevel.checkpoint()

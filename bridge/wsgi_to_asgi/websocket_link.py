"""The messages of one WebSocket, on their way between the event loop and the application's threads. Knows no frame."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from bridge.errors import ApplicationError, ClientDisconnected
from bridge.loop_thread import LoopClosed
from bridge.loop_thread import Signal as Wake
from bridge.rfc6455 import ABNORMAL, GOING_AWAY, check_close, size_of
from bridge.wsgi_to_asgi.response import what
from bridge.wsgi_to_asgi.websocket_order import NEXT, WRONG, Phase, Signal
from bridge.wsgi_to_asgi.websocket_stall import Stall

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.loop_thread import Crossing, Waiter
    from bridge.protocols import Message

# Bytes that a message counts for beside its own: an empty one takes memory too.
_OVERHEAD: Final = 256


class Link:
    """Both halves of a WebSocket: what the application sends, and what the client does.

    The loop never waits for a thread and takes no lock but to end the WebSocket itself. Any number of threads may
    send; those that receive take turns.

    Args:
        crossing: the way to the loop.
        post: lets the loop look at :meth:`next`; any thread but the loop's.
        subprotocols: that the client offers.
        read_ahead: bytes of messages that may lie here before ``receive()`` of the server is left alone.
        send_ahead: bytes of messages that the application may be ahead of the client before it waits.
        give_up: ends the WebSocket as by a lost client, for the reason that it is given; event loop thread only.
    """

    def __init__(
        self,
        crossing: Crossing,
        post: Callable[[], None],
        subprotocols: list[str],
        read_ahead: int,
        send_ahead: int,
        give_up: Callable[[str], None],
    ) -> None:
        self._crossing = crossing
        self._post = post
        self.subprotocols = subprotocols
        self._read_ahead = read_ahead
        self._send_ahead = send_ahead

        # Under the lock, which is held for as long as a state changes and never while something is waited for.
        self._lock = threading.Lock()
        self._phase = Phase.ASKED
        self._outbox: deque[tuple[Message, int]] = deque()  # appended under the lock, taken by the loop
        self._produced = 0  # bytes put into it
        self.end: tuple[int, str] | None = None
        """Close code and reason, once the WebSocket has ended for the application, whoever ended it."""
        self._why = ""  # the end in words; set before it
        self._leaving: str | None = None  # why one that is accepted from here on is closed at once
        self.lost = False
        """The client has left: nobody takes a message any more."""
        self.subprotocol: str | None = None

        # Event loop writes.
        self.sent_bytes = 0
        """What the server has taken."""
        self._arrived = 0  # bytes put into the inbox
        self._room: Waiter | None = None  # what put() waits for while the application is behind
        self._turn: Waiter | None = None  # what room() waits for while the client is behind
        self.unread = False
        """The application has returned: nobody receives any more."""
        self.stall = Stall(crossing, self._owed, give_up)
        """What put() has for a deadline, and whoever passes the client's messages on in its place."""

        # A receiving thread writes.
        self._receiving = threading.Lock()  # held while it waits: one receives at a time
        self._consumed = 0
        # What it waits for, made for each wait: what a message that came at the last moment leaves in it goes with it.
        self._news: Wake | None = None

        self._inbox: deque[tuple[str | bytes, int]] = deque()  # append: event loop; popleft: a receiving thread
        self._blocked: deque[Wake] = deque()  # of the threads that wait in send(); each is woken once

    # -- any thread but the loop's ----------------------------------------------------------------------------

    def accept(self, subprotocol: str | None, headers: list[tuple[bytes, bytes]]) -> None:
        """Accept the WebSocket; does not wait for the client."""
        self.accept_soon(subprotocol, headers)
        self._post()

    def send(self, data: str | bytes) -> None:
        """Send one message; wait while the client is behind."""
        self.send_soon(data)
        self._post()
        while self._must_wait():
            woken = Wake()
            self._blocked.append(woken)
            # Looked at again, now that the loop can see who waits: what it delivered before could not wake it.
            if not self._must_wait():
                return
            if self._room is not None:
                self._let_loop(self.stall.look)
            # Waiting here is the backpressure: without it a slow client fills memory.
            woken.wait()

    def close(self, code: int, reason: str) -> None:
        """Close the WebSocket after what was sent; refuse it if it is not accepted. Does not wait."""
        if self.close_soon(code, reason, f"the application has closed the WebSocket with {code}"):
            self._post()
            # Beside that, which a loop that waits for a slow client does not come to: the server is asked on, since it
            # may be that what it has to say frees the client.
            if self._room is not None:
                self._let_loop(self._make_room)

    def receive(self, timeout: float | None) -> str | bytes:
        """Wait for the next message."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if not self._receiving.acquire(timeout=-1 if timeout is None else max(0.0, timeout)):
            raise _too_late(timeout)
        try:
            data, size = self._take(timeout, deadline)
            self._consumed += size
        finally:
            self._receiving.release()
        if self._room is not None and self._arrived - self._consumed < self._read_ahead:
            self._let_loop(self._make_room)
        return data

    def _take(self, timeout: float | None, deadline: float | None) -> tuple[str | bytes, int]:
        try:
            while not self._inbox:
                # Announced before the last look, and the loop looks at it after its last append: either this look sees
                # the message, or the loop sees the announcement. The end is looked at before the messages, as it is
                # set after them.
                self._news = news = Wake()
                end = self.end
                if self._inbox:
                    break
                if end is not None:
                    raise ClientDisconnected(self._why)
                self._check(Signal.RECEIVE)
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    raise _too_late(timeout)
                news.wait(remaining)
        finally:
            # Nobody waits. A loop that has seen it meanwhile wakes what nobody looks at any more; it writes nothing
            # here, where it could erase the announcement of the next wait.
            self._news = None
        return self._inbox.popleft()

    def _let_loop(self, letter: Callable[[], None]) -> None:
        try:
            self._crossing.post(letter)
        except LoopClosed:  # what has arrived can still be read
            self.stop("the server's event loop was closed during the WebSocket")

    def answer(self) -> bool:
        """Whether an HTTP response may leave: the WebSocket is not taken, and from here on cannot be."""
        with self._lock:
            self._phase = NEXT[self._phase, Signal.ANSWER]
            return self._phase is Phase.DENIED

    # -- any thread -------------------------------------------------------------------------------------------

    @property
    def taken(self) -> bool:
        """Whether the application has accepted or refused the WebSocket."""
        return self._phase in (Phase.OPEN, Phase.CLOSED)

    @property
    def accepted(self) -> bool:
        """Whether it is open for the application."""
        return self._phase is Phase.OPEN

    def _owed(self) -> int:
        return self._produced - self.sent_bytes

    def _is_behind(self) -> bool:
        return self._produced - self.sent_bytes > self._send_ahead

    def _must_wait(self) -> bool:
        return self.end is None and self._is_behind()

    def accept_soon(self, subprotocol: str | None, headers: list[tuple[bytes, bytes]]) -> None:
        """Accept the WebSocket. The caller lets the loop look."""
        if subprotocol is not None and subprotocol not in self.subprotocols:
            # RFC 6455, 4.1: the client fails a connection whose subprotocol it has not offered.
            raise ApplicationError(
                f"the application chose the subprotocol {subprotocol!r}; the client offers {self.subprotocols}"
            )
        message = {"type": "websocket.accept", "subprotocol": subprotocol, "headers": headers}
        self._put(Signal.ACCEPT, message, 0)
        self.subprotocol = subprotocol
        # Looked at after the accept, which leave() looks at after it has set this: one of the two sees the other.
        if self._leaving is not None:
            self.close_soon(GOING_AWAY, "", self._leaving)

    def send_soon(self, data: str | bytes) -> None:
        """Send one message, however far the client is behind. The caller lets the loop look."""
        if isinstance(data, str):
            message: Message = {"type": "websocket.send", "text": data}
        elif isinstance(data, (bytes, bytearray, memoryview)):
            data = bytes(data)
            message = {"type": "websocket.send", "bytes": data}
        else:
            raise ApplicationError(f"a WebSocket message is str or bytes; the application sent {what(data)}")
        try:
            size = size_of(data)
        except UnicodeEncodeError as error:
            raise ApplicationError(f"text of a WebSocket message is Unicode without surrogates: {error}") from None
        self._put(Signal.SEND, message, size + _OVERHEAD)

    def close_soon(self, code: int, reason: str, why: str) -> bool:
        """Close it after what was sent; return False if it has ended before. The caller lets the loop look."""
        try:
            check_close(code, reason)
        except ValueError as error:
            raise ApplicationError(f"the application closed a WebSocket: {error}") from None
        with self._lock:
            if self.end is not None:
                return False
            self._advance(Signal.CLOSE)
            self._outbox.append(({"type": "websocket.close", "code": int(code), "reason": reason}, 0))
            self._finish(int(code), reason, why)
        self._wake_all()
        return True

    def leave(self, why: str) -> bool:
        """Close it with 1001, or as soon as it is accepted; return whether it was closed.

        The caller lets the loop look.

        Source: RFC 6455, 7.4.1.
        """
        with self._lock:
            self._leaving = why
            accepted = self._phase is Phase.OPEN
        return accepted and self.close_soon(GOING_AWAY, "", why)

    def lose(self, code: int, reason: str, why: str) -> None:
        """End it for the application: receive() and send() raise ClientDisconnected with *why*.

        Args:
            code: that the client has sent, 1006 if it sent none.
            reason: that it gave with it.
            why: for the application's log.
        """
        with self._lock:
            self.lost = True
            # Who is lost while it sends may have said before why it goes, and that comes later.
            if self.end is None or (self.end[0] == ABNORMAL and code != ABNORMAL):
                self._finish(code, reason, why)
        self._wake_all()

    def stop(self, why: str) -> None:
        """End it for the application, as lose() does, where it is the server that has given up."""
        with self._lock:
            if self.end is None:
                self._finish(ABNORMAL, "", why)
        self._wake_all()

    def _finish(self, code: int, reason: str, why: str) -> None:
        self._why = why
        self.end = code, reason

    def _put(self, did: Signal, message: Message, size: int) -> None:
        with self._lock:
            if self.end is not None:
                raise ClientDisconnected(self._why)
            self._advance(did)
            self._outbox.append((message, size))
            self._produced += size

    def _check(self, did: Signal) -> None:
        with self._lock:
            if self.end is None:
                self._advance(did)

    def _advance(self, did: Signal) -> None:
        phase = NEXT.get((self._phase, did))
        if phase is None:
            raise ApplicationError(f"the application broke the order of a WebSocket: {WRONG[self._phase, did]}")
        self._phase = phase

    def _wake_all(self) -> None:
        # A token too many is harmless: whoever is woken looks again.
        news = self._news
        if news is not None:
            news.wake()
        self._wake_senders()

    def _wake_senders(self) -> None:
        while True:
            try:
                self._blocked.popleft().wake()
            except IndexError:
                return

    # -- event loop thread ------------------------------------------------------------------------------------

    def next(self) -> tuple[Message, int] | None:
        """Take the next message for the server, with what delivered() is told of it."""
        return self._outbox.popleft() if self._outbox else None

    def delivered(self, size: int) -> None:
        """Note that the server has taken a message, and go on with what waits for that."""
        self.sent_bytes += size
        if not self._is_behind():
            if self._blocked:
                self._wake_senders()
            self.look()

    def look(self) -> None:
        """Go on with a room() and a put() that need not wait any more."""
        if self._turn is not None and not self._turn.done() and not self._must_wait():
            self._turn.set_result(None)
        if self._room is not None and not self._is_full():
            self._make_room()

    async def room(self) -> None:
        """Wait until the client is not behind, or the WebSocket has ended. One task only."""
        while self._must_wait():
            self._turn = self._crossing.waiter()
            self.stall.look()
            await self._turn
        self._turn = None

    async def put(self, data: str | bytes) -> None:
        """Hand the application a message; return when the next may be asked for.

        One that finds no room after the end is dropped: nobody makes room any more, and the server is asked on, since
        only that tells how the client has left, and lets some of them go on.
        """
        size = size_of(data) + _OVERHEAD
        if self._arrived - self._consumed >= self._read_ahead:
            return
        self._inbox.append((data, size))
        self._arrived += size
        news = self._news
        if news is not None:
            news.wake()
        while self._is_full():
            self._room = self._crossing.waiter()
            # Looked at again, now that a thread can see the waiter.
            if self._is_full():
                await self.stall.during(self._room, self._progress)
            self._room = None

    def _is_full(self) -> bool:
        return self._arrived - self._consumed >= self._read_ahead and self.end is None and not self.unread

    def _progress(self) -> tuple[int, int] | None:
        return (self.sent_bytes, self._consumed) if self._blocked and self._must_wait() else None

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def _too_late(timeout: Any) -> TimeoutError:
    return TimeoutError(f"no message came within the {timeout:g} s that receive() was to wait")

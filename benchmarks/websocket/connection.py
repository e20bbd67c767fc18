"""One connection of the client: sends messages, checks every byte of the echo. Knows no server and no figure."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import cast

from benchmarks.websocket import frames

# Answers to a handshake have less.
_HEAD_LIMIT = 65536


class EchoError(Exception):
    """The server did not echo as a benchmark can use it; the message says how."""


class Connection(asyncio.Protocol):
    """A raw protocol, whose frames are made and masked beforehand: a library's cost would be in every figure.

    What has to come back is known byte by byte, so that all of it is compared, and nothing has to be parsed: opcodes,
    lengths, payloads and their order.

    Args:
        port: of the server.
        number: of this connection; its messages differ from those of all others.

    Attributes:
        ready: done when the server has echoed the first message.
        idle: done when nothing is under way any more, after stop().
        ended: done when the connection has ended; with an EchoError, which is set on *ready* and *idle* too, if it
            ended before close().
        completed: messages that came back.
        latencies: nanoseconds from write to echo of each message; filled while *timing* is on.
    """

    def __init__(self, port: int, number: int) -> None:
        loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[None] = loop.create_future()
        self.idle: asyncio.Future[None] = loop.create_future()
        self.ended: asyncio.Future[None] = loop.create_future()
        self.completed = 0
        self.timing = False
        self.latencies: list[int] = []
        self._handshake = frames.handshake(port)
        payloads = frames.messages(number)
        # Twice each: whatever is under way, at most CYCLE messages, is one slice of them.
        self._frames = b"".join(frames.masked(frames.TEXT, payload) for payload in payloads) * 2
        self._size = len(self._frames) // (2 * frames.CYCLE)
        self._echoes = b"".join(frames.echo(payload) for payload in payloads) * 2
        self._wrap = len(self._echoes) // 2
        self._next = 0  # the message to be sent next
        self._at = 0  # the byte of the echoes that comes next
        self._held = b""  # of a head or a control frame that is not complete
        self._receive: Callable[[bytes], None] = self._take_head
        self._refill = False
        self._sent: deque[int] = deque()  # when each message that is under way was written, nanoseconds
        self._transport: asyncio.Transport

    def saturate(self, in_flight: int) -> None:
        """Keep *in_flight* messages under way, from now on; at most frames.CYCLE."""
        self._refill = True
        self.send(in_flight - len(self._sent))

    def send(self, count: int = 1) -> None:
        """Send the next messages, in one write."""
        if len(self._sent) + count > frames.CYCLE:
            raise EchoError(f"the server is more than {frames.CYCLE} messages behind")
        start = self._next * self._size
        self._next = (self._next + count) % frames.CYCLE
        now = time.perf_counter_ns() if self.timing else 0
        for _ in range(count):
            self._sent.append(now)
        self._transport.write(self._frames[start : start + count * self._size])

    def stop(self) -> None:
        """Send nothing more; *idle* is done when all has come back."""
        self._refill = False
        self._look()

    def close(self) -> None:
        """Send the close; *ended* is done when it is answered."""
        self._receive = self._take_close
        self._transport.write(frames.masked(frames.CLOSE, (1000).to_bytes(2, "big")))

    # -- called by the event loop -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are none of asyncio's classes.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._handshake)

    def data_received(self, data: bytes) -> None:
        try:
            self._receive(data)
        except EchoError as error:
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._receive == self._take_close:
            self._finish()
        else:
            self._fail(EchoError(f"the server ended a connection: {exc or 'end of file'}"))

    # -- what comes in ----------------------------------------------------------------------------------------

    def _take_head(self, data: bytes) -> None:
        self._held += data
        head, separator, rest = self._held.partition(b"\r\n\r\n")
        if not separator and len(head) < _HEAD_LIMIT:
            return
        wrong = frames.refusal(head)
        if wrong:
            raise EchoError(wrong)
        if rest:
            raise EchoError(f"the server sent something before it was sent anything: {rest!r:.100}")
        self._held = b""
        self._receive = self._take_echo
        self.send()

    def _take_echo(self, data: bytes) -> None:
        at = self._at
        if self._held or data != self._echoes[at : at + len(data)]:
            data = self._without_pings(self._held + data)
        at += len(data)
        count = at // frames.ECHO - self._at // frames.ECHO
        self._at = at % self._wrap
        if count:
            self._take_messages(count)

    def _take_messages(self, count: int) -> None:
        if count > len(self._sent):
            raise EchoError("the server echoed a message before it was sent")
        now = time.perf_counter_ns() if self.timing else 0
        for _ in range(count):
            sent = self._sent.popleft()
            if sent and now:
                self.latencies.append(now - sent)
        self.completed += count
        if not self.ready.done():
            self.ready.set_result(None)
        elif self._refill:
            self.send(count)
        else:
            self._look()

    def _without_pings(self, data: bytes) -> bytes:
        """Return the echoes in *data*, which is not all echoes; answer the pings between them."""
        self._held = b""
        echoes = b""
        while data:
            inside = (self._at + len(echoes)) % frames.ECHO
            if inside or data[0] != frames.PING:
                piece, data = data[: frames.ECHO - inside], data[frames.ECHO - inside :]
                echoes += piece
                continue
            end = frames.HEAD + frames.payload_length(data[: frames.HEAD]) if len(data) >= frames.HEAD else frames.HEAD
            if len(data) < end:
                self._held = data
                break
            self._transport.write(frames.masked(frames.PONG, data[frames.HEAD : end]))
            data = data[end:]
        expected = self._echoes[self._at : self._at + len(echoes)]
        if echoes != expected:
            raise EchoError(f"expected the echo {expected!r:.100}, got {echoes!r:.100}")
        return echoes

    def _take_close(self, data: bytes) -> None:
        # The first frame since all was echoed, but for pings, which need no answer any more.
        if frames.CLOSE in data:
            self._finish()

    # -- the end ----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        if not self._sent and not self._refill and not self.idle.done():
            self.idle.set_result(None)

    def _finish(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self._transport.close()

    def _fail(self, error: EchoError) -> None:
        for future in (self.ready, self.idle, self.ended):
            if not future.done():
                future.set_exception(error)
                future.exception()  # looked at here: whoever awaits another of the three would leave it behind
        self._transport.close()

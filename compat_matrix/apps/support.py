"""What the applications of the matrix share, and no framework has. Knows no framework and no bridge."""

from __future__ import annotations

import hashlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final

import anyio
import anyio.abc

TIMEOUT: Final = 10.0  # seconds, for every wait for the check
_FOR_EVER: Final = 20.0  # seconds
PIECE: Final = 65_536  # bytes
MESSAGE: Final = b"tick" * 256
"""What is sent through a WebSocket without end."""

_HERE = Path(__file__).parent
STATIC: Final = _HERE / "static"
FILE: Final = STATIC / "file.bin"

# Without a period, so that bytes that are lost, doubled or out of their place are seen wherever a buffer ends.
_BLOCK: Final = b"".join(hashlib.sha256(number.to_bytes(2, "big")).digest() for number in range(PIECE // 32))
_NUMBER: Final = 8  # bytes
_REST: Final = _BLOCK[_NUMBER:]


def pattern(size: int) -> Iterator[bytes]:
    """Give *size* bytes, the same ones each time, in pieces of 64 KiB that differ: each begins with its number."""
    for at in range(0, size, PIECE):
        # A copy each time: whoever keeps pieces that he should pass on has to pay for them.
        yield ((at // PIECE).to_bytes(_NUMBER, "big") + _REST)[: size - at]


def for_ever() -> Iterator[None]:
    """Go on for ever, or nearly: longer than any check waits.

    A server that never notices that its client has left would otherwise run hot for the rest of the matrix.
    """
    end = time.monotonic() + _FOR_EVER
    while time.monotonic() < end:
        yield


class Digest:
    """Size and SHA-256 of what is fed to it, without keeping it."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self.size = 0

    def update(self, data: bytes) -> None:
        """Take more bytes."""
        self._sha256.update(data)
        self.size += len(data)

    def result(self) -> dict[str, str | int]:
        """Return ``{"size": ..., "sha256": ...}``."""
        return {"size": self.size, "sha256": self._sha256.hexdigest()}


class Wire:
    """The application's end of the line to a check, in a thread. Blocks."""

    def __init__(self, port: int | str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", int(port)), timeout=TIMEOUT)
        self._heard = b""

    def say(self, words: str) -> None:
        """Tell the check something."""
        self._socket.sendall(words.encode() + b"\n")

    def wait_for(self, words: str) -> None:
        """Go on when the check says *words*.

        Raises:
            RuntimeError: it says something else, or hangs up.
        """
        while b"\n" not in self._heard:
            data = self._socket.recv(4096)
            if not data:
                raise RuntimeError(f"the check hung up while the application waited for {words!r}")
            self._heard += data
        heard, _, self._heard = self._heard.partition(b"\n")
        if heard.decode() != words:
            raise RuntimeError(f"the check said {heard!r}, the application waited for {words!r}")

    def close(self) -> None:
        """Hang up."""
        self._socket.close()

    def __enter__(self) -> Wire:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncWire:
    """The same on an event loop, asyncio's or trio's: ``async with AsyncWire(port) as wire``."""

    def __init__(self, port: int | str) -> None:
        self._port = int(port)
        self._heard = b""
        self._stream: anyio.abc.SocketStream | None = None

    async def say(self, words: str) -> None:
        """Tell the check something."""
        # Also in a task that is being cancelled: what it says then is what the check wants to know.
        with anyio.CancelScope(shield=True), anyio.fail_after(TIMEOUT):
            await self._connected().send(words.encode() + b"\n")

    async def wait_for(self, words: str) -> None:
        """Go on when the check says *words*.

        Raises:
            RuntimeError: it says something else.
            anyio.EndOfStream: it hangs up.
        """
        with anyio.fail_after(TIMEOUT):
            while b"\n" not in self._heard:
                self._heard += await self._connected().receive()
        heard, _, self._heard = self._heard.partition(b"\n")
        if heard.decode() != words:
            raise RuntimeError(f"the check said {heard!r}, the application waited for {words!r}")

    def _connected(self) -> anyio.abc.SocketStream:
        if self._stream is None:
            raise RuntimeError("AsyncWire is used by 'async with'")
        return self._stream

    async def __aenter__(self) -> AsyncWire:
        with anyio.fail_after(TIMEOUT):
            self._stream = await anyio.connect_tcp("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await self._connected().aclose()

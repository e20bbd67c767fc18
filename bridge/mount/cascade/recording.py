"""The bytes of one request body, kept to be read again: memory, then a temporary file. Knows no message."""

from __future__ import annotations

import threading
from typing import IO, TYPE_CHECKING, Final, TypeVar

import anyio
import anyio.to_thread
from anyio.lowlevel import RunVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

# Bytes that are read from the file at once.
_PIECE: Final = 65536

# Threads of an event loop that write and read these files at once. Not anyio's own forty: those run the synchronous
# endpoints of Starlette, which would make uploads wait, and one of which may itself wait for an upload.
_THREADS: Final = 4
_limiter: RunVar[anyio.CapacityLimiter] = RunVar("bridge.mount.cascade.recording")


class Cursor:
    """Where one reader of a recording has come to, in bytes."""

    __slots__ = ("position",)

    def __init__(self) -> None:
        self.position = 0


class Recording:
    """Bytes in the order of their arrival. Event loop; the file is written, read and closed in worker threads.

    What came last is in memory, so whoever reads while it arrives reads no file.

    Args:
        memory: bytes that stay in memory; what would exceed them goes to a temporary file. A single chunk that is
            longer is in memory until the next one comes.
    """

    def __init__(self, memory: int) -> None:
        self._memory = memory
        self._file: IO[bytes] | None = None
        self._kept = True
        self._before = 0  # bytes before those in memory: in the file, or read and dropped
        self._tail = bytearray()
        self._lock = anyio.Lock(fast_acquire=True)  # one thread at the file, and nobody at the tail meanwhile
        # For a thread that is left alone: asyncio's own cancellation of an application that reads breaks into the wait
        # for it and frees the other lock, and a read from where another thread has put the file is another body.
        self._file_lock = threading.Lock()

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self._before + len(self._tail)

    @property
    def on_disk(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    async def append(self, chunk: bytes) -> None:
        """Take what has arrived.

        Raises:
            OSError: the disk is full, or another failure of the temporary file.
        """
        async with self._lock:
            tail = self._tail
            if tail and len(tail) + len(chunk) > self._memory:
                if self._kept:
                    await _in_thread(self._write)
                self._before += len(tail)
                self._tail = bytearray()
            self._tail += chunk

    async def read(self, cursor: Cursor) -> bytes:
        """Return what follows *cursor*, at most 64 KiB of the file or all that is in memory, and move it."""
        async with self._lock:
            if cursor.position < self._before:
                piece = await _in_thread(lambda: self._read(cursor.position))
            else:
                piece = bytes(self._tail[cursor.position - self._before :])
            cursor.position += len(piece)
            return piece

    async def forget(self, cursor: Cursor) -> bool:
        """Keep nothing any more, if *cursor* has passed all that has arrived; return whether it has.

        From then on what arrives is there until more arrives: it has to be read before.
        """
        if cursor.position < self.size:
            return False
        if self._file is None:
            self._kept = False
            return True
        async with self._lock:
            if cursor.position < self.size:  # it has grown while this waited
                return False
            self._kept = False
            await self._close()
            return True

    async def close(self) -> None:
        """Close the file, which deletes it; nobody writes or reads any more."""
        await self._close()

    async def _close(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        try:
            # In a thread, as giving back the blocks of a large file can take a while; whatever is cancelled meanwhile.
            with anyio.CancelScope(shield=True):
                await _in_thread(file.close)
        finally:
            file.close()  # does nothing, unless asyncio's own cancellation broke into that, as no shield holds it off

    # -- worker thread, one at a time -------------------------------------------------------------------------

    def _write(self) -> None:
        with self._file_lock:
            self._append_tail()

    def _append_tail(self) -> None:
        if self._file is None:
            # Imported here: it is as large as all of bridge, and most processes never need it.
            import tempfile

            # Kept by this thread, so that no cancellation of the coroutine can lose it.
            self._file = tempfile.TemporaryFile(prefix="bridge-")  # noqa: SIM115 - open until close()
        self._file.seek(0, 2)
        self._file.write(self._tail)

    def _read(self, position: int) -> bytes:
        file = self._file
        if file is None:
            raise ValueError("a recording was read after it was closed")
        with self._file_lock:
            file.seek(position)
            return file.read(min(_PIECE, self._before - position))


async def _in_thread(function: Callable[[], T]) -> T:
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    return await anyio.to_thread.run_sync(function, limiter=limiter)

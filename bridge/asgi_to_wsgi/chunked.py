"""The chunked transfer coding, taken off bytes as they came from the socket. Knows no server and no thread."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_LINE_LIMIT: Final = 8 * 1024  # bytes of a chunk's size with its extensions, or of one trailer line
_TRAILERS_LIMIT: Final = 64 * 1024  # bytes of all trailer lines

# RFC 9112, 7.1: 1*HEXDIG, then extensions, which a recipient must ignore if it does not know them. A line that ends
# in LF alone, or holds a CR, is read differently by different software: the way requests are smuggled.
_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\r\n]*)?\r\n")


class ChunkDecoder:
    """The body inside the framing of ``Transfer-Encoding: chunked``. One thread at a time.

    Takes from the input what the framing announces and not a byte more: what follows it on the connection is
    another request, or never comes. Trailer fields are dropped, since ASGI has no place for them.

    Args:
        readline: reads up to and with the next LF, at most as many bytes as it is told; ``b""`` at the end.
        read: reads 1 to as many bytes as it is told; ``b""`` at the end.
    """

    __slots__ = ("_complete", "_left", "_read", "_readline", "_started")

    def __init__(self, readline: Callable[[int], bytes], read: Callable[[int], bytes | None]) -> None:
        self._readline = readline
        self._read = read
        self._left = 0  # bytes of the current chunk
        self._started = False  # whether there is a chunk whose data are followed by CRLF
        self._complete = False

    def read(self, size: int) -> bytes:
        """Return the next 1 to *size* bytes of one chunk; ``b""`` once the last chunk and the trailers are read.

        Blocks as long as the input does.

        Raises:
            EOFError: the input ended before the body did.
            ValueError: the framing is malformed, or has a line or trailers above 8 and 64 KiB.

        Source: RFC 9112, 7.1.
        """
        if not self._left:
            if self._complete:
                return b""
            # Not before its data have been handed over: a client may send the CRLF with the next chunk only.
            if self._started:
                self._end_chunk()
            self._left = self._next_size()
            if not self._left:
                self._skip_trailers()
                self._complete = True
                return b""
            self._started = True
        piece = self._read(min(size, self._left))
        if not piece:
            raise EOFError(f"the input ended {self._left} bytes before the end of a chunk")
        self._left -= len(piece)
        return piece

    def _end_chunk(self) -> None:
        end = self._readline(2)
        if end != b"\r\n":
            if b"\r\n".startswith(end):
                raise EOFError("the input ended at the end of a chunk")
            raise ValueError(f"a chunk's data end with CRLF, after as many bytes as it declares; got {end!r}")

    def _next_size(self) -> int:
        line = self._line("the line of a chunk's size")
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise ValueError(
                f"a chunk starts with its size, a hexadecimal number, and ends that line with CRLF; got {line[:40]!r}"
            )
        return int(match[1], 16)

    def _skip_trailers(self) -> None:
        skipped = 0
        while (line := self._line("a trailer line")) != b"\r\n":
            if not line.endswith(b"\r\n"):
                raise ValueError("a trailer line ends with CRLF, not with LF alone")
            skipped += len(line)
            if skipped > _TRAILERS_LIMIT:
                raise ValueError(f"the trailers are longer than {_TRAILERS_LIMIT} bytes")

    def _line(self, what: str) -> bytes:
        line = self._readline(_LINE_LIMIT)
        if not line.endswith(b"\n"):
            if len(line) < _LINE_LIMIT:
                raise EOFError(f"the input ended in {what}")
            raise ValueError(f"{what} is longer than {_LINE_LIMIT} bytes")
        return line

"""What the applications in threads stream, and how they read an upload: plain generators. Knows no framework."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from compat_matrix.apps.support import PIECE, Digest, Wire, for_ever


class _Nobody(Wire):
    """Stands for a line where nobody asked for one: waits for nothing."""

    def __init__(self) -> None:
        pass

    def say(self, words: str) -> None:
        pass

    def wait_for(self, words: str) -> None:
        pass

    def close(self) -> None:
        pass


def _line(port: str | None) -> Wire:
    return Wire(port) if port else _Nobody()


def lines(port: str | None) -> Iterator[bytes]:
    """Give the body of ``/stream``, at once if there is no port."""
    with _line(port) as wire:
        wire.say("called")
        try:
            yield b"first\n"
            wire.wait_for("go on")
            yield b"second\n"
            wire.wait_for("go on")
            yield b"third\n"
        finally:
            wire.say("finally")


def ticks(port: str | None) -> Iterator[bytes]:
    """Give the body of ``/endless``."""
    with _line(port) as wire:
        wire.say("called")
        try:
            for _ in for_ever():
                yield b"tick\n"
        finally:
            wire.say("finally")


def events(port: str | None) -> Iterator[bytes]:
    """Give the body of ``/events``."""
    with _line(port) as wire:
        for number, data in enumerate(("one", "two", "three"), start=1):
            if number > 1:
                wire.wait_for("go on")
            yield f"id: {number}\nevent: tick\ndata: {data}\n\n".encode()


def failing(port: str | None) -> Iterator[bytes]:
    """Give the body of ``/error/after``."""
    with _line(port) as wire:
        yield b"first"
        wire.wait_for("fail")
        raise RuntimeError("after the first chunk")


def short(port: str | None) -> Iterator[bytes]:
    """Give the body of ``/error/short``, for which more is declared."""
    with _line(port) as wire:
        yield b"first"
        wire.wait_for("fail")


def digest(read: Callable[[int], bytes]) -> Digest:
    """Read a body to its end, for ``/upload``."""
    read_so_far = Digest()
    while piece := read(PIECE):
        read_so_far.update(piece)
    return read_so_far


def watched(read: Callable[[int], bytes], declared: int | None, port: str | None) -> Digest | None:
    """Read a body to its end, for ``/upload/watch``; None if there is less of it than declared.

    Args:
        read: takes how many bytes at most, gives none at the end.
        declared: bytes; None if the length is not known.
        port: of the check.
    """
    with _line(port) as wire:
        wire.say("called")
        read_so_far = Digest()
        try:
            # One byte: asked for more, a stream may wait until it has them all.
            piece = read(1)
            if piece:
                wire.say("first")
            while piece:
                read_so_far.update(piece)
                piece = read(PIECE)
        except Exception:
            wire.say("cut")
            raise
        whole = declared is None or read_so_far.size == declared
        wire.say("end" if whole else "cut")
        return read_so_far if whole else None


def bounded(environ: Mapping[str, Any]) -> Callable[[int], bytes]:
    """Return what reads ``wsgi.input`` to the end of the body, without reading ahead. Source: PEP 3333."""
    stream = environ["wsgi.input"]
    if environ.get("wsgi.input_terminated"):
        return stream.read  # type: ignore[no-any-return]
    left = int(environ.get("CONTENT_LENGTH") or 0)

    def read(size: int) -> bytes:
        nonlocal left
        piece: bytes = stream.read(min(size, left))
        left -= len(piece)
        return piece

    return read

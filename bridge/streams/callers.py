"""Who asks a stream for its next chunk, and whether it passes that on as it is. Knows frameworks by name only."""

from __future__ import annotations

from dis import opname
from inspect import currentframe
from types import FrameType, GeneratorType
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class _Asked:
    """What a caller may have in its hands to ask for the next chunk: the stream, or a generator that yields from it."""

    def __init__(self, chunks: object) -> None:
        self._chunks = chunks
        self.generator: FrameType | None = None

    def is_it(self, candidate: object) -> bool:
        """Whether *candidate*, out of a caller's hands, is that."""
        if self.generator is not None:
            return isinstance(candidate, GeneratorType) and candidate.gi_frame is self.generator
        return candidate is self._chunks or getattr(candidate, "_chunks", None) is self._chunks


def passes_on(chunks: object) -> bool:
    """Whether an empty chunk may be given to whoever asks for the next of *chunks*.

    Middleware has to expect an empty chunk (PEP 3333, "Middleware Handling of Block Boundaries"); the application's own
    code around its stream has not: it would frame it, or take it for the end. So only callers that are known get one,
    and through ``yield from``, which changes nothing.
    """
    asked = _Asked(chunks)
    frame: FrameType | None = currentframe()
    while frame is not None:
        if opname[frame.f_code.co_code[frame.f_lasti]] in _DELEGATES:
            asked.generator = frame
        elif not frame.f_globals.get("__name__", "").startswith("bridge.streams."):
            rule = _KNOWN.get((frame.f_globals.get("__name__", ""), frame.f_code.co_name))
            return rule is not None and rule(frame.f_locals, asked)
        frame = frame.f_back
    return False


def _exchange(names: Mapping[str, Any], asked: _Asked) -> bool:
    iterable = names.get("iterable")
    room = type(iterable).__module__
    return (
        asked.is_it(names.get("iterator"))
        # StreamingHttpResponse, which iterates map(make_bytes, its iterator): that changes no bytes.
        or (room.startswith("django.http") and asked.is_it(getattr(iterable, "_iterator", None)))
        # What Bottle makes of an iterable with a close(), once it has looked at its first chunk.
        or (room == "bottle" and type(iterable).__name__ == "_closeiter")
    )


# "yield from": of Python 3.10, and since 3.11.
_DELEGATES: Final = ("YIELD_FROM", "SEND")

# By module and function: what it has to have in its hands.
_KNOWN: Final[dict[tuple[str, str], Callable[[Mapping[str, Any], _Asked], bool]]] = {
    ("bridge.wsgi_to_asgi.exchange", "_iterate"): _exchange,
    ("werkzeug.wrappers.response", "_iter_encoded"): lambda names, asked: asked.is_it(names.get("iterable")),
    ("wsgiref.validate", "__next__"): lambda names, asked: asked.is_it(getattr(names["self"], "iterator", None)),
}

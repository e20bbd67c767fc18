"""What may follow what in the response of a WSGI application. A pure table; knows no bytes and no thread."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final


# IntEnum, since the table is looked up for every chunk and a plain Enum hashes in Python.
class Phase(IntEnum):
    """How far a response has come."""

    IDLE = auto()  # start_response not called yet
    HELD = auto()  # status and headers known, nothing sent
    SENT = auto()  # the headers have left and are final
    DONE = auto()  # the body is complete


class Signal(IntEnum):
    """What the application did."""

    START = auto()  # start_response
    RESTART = auto()  # start_response with exc_info
    CHUNK = auto()  # a chunk that is not empty
    END = auto()  # the iterable is exhausted, or nothing more may follow


# PEP 3333, "The start_response() Callable" and "Error Handling". A pair not listed is an error.
NEXT: Final[dict[tuple[Phase, Signal], Phase]] = {
    (Phase.IDLE, Signal.START): Phase.HELD,
    (Phase.IDLE, Signal.RESTART): Phase.HELD,
    (Phase.HELD, Signal.RESTART): Phase.HELD,  # nothing sent: replace it
    (Phase.HELD, Signal.CHUNK): Phase.SENT,
    (Phase.HELD, Signal.END): Phase.DONE,  # empty body: the start message still goes out
    (Phase.SENT, Signal.CHUNK): Phase.SENT,
    (Phase.SENT, Signal.END): Phase.DONE,
    (Phase.DONE, Signal.END): Phase.DONE,  # the body was complete before the iterable was exhausted
}

WRONG: Final[dict[tuple[Phase, Signal], str]] = {
    (Phase.IDLE, Signal.CHUNK): "it produced body bytes before it called start_response()",
    (Phase.IDLE, Signal.END): "its iterable ended and start_response() was never called",
    (Phase.HELD, Signal.START): "it called start_response() a second time without exc_info",
    (Phase.SENT, Signal.START): "it called start_response() a second time without exc_info",
    (Phase.DONE, Signal.START): "it called start_response() after its response was complete",
    (Phase.DONE, Signal.CHUNK): "it produced body bytes after its response was complete",
}

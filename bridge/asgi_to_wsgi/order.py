"""What may follow what in the messages of an ASGI application. A pure table; knows no bytes and no loop."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final


# IntEnum, since the table is looked up for every message and a plain Enum hashes in Python.
class Phase(IntEnum):
    """How far a response has come."""

    IDLE = auto()  # no http.response.start yet
    HELD = auto()  # status and headers known, nothing handed to the server
    SENT = auto()  # the body has begun
    DONE = auto()  # the last message is in


class Signal(IntEnum):
    """What the application sends."""

    HINT = auto()  # http.response.early_hint
    START = auto()  # http.response.start
    CHUNK = auto()  # http.response.body, more_body true
    LAST = auto()  # http.response.body, more_body false
    FILE = auto()  # http.response.pathsend


# ASGI HTTP specification, "Response Start" and "Response Body"; extensions "Path Send" and "Early Hints".
# A pair not listed is an error.
NEXT: Final[dict[tuple[Phase, Signal], Phase]] = {
    (Phase.IDLE, Signal.HINT): Phase.IDLE,
    (Phase.IDLE, Signal.START): Phase.HELD,
    (Phase.HELD, Signal.CHUNK): Phase.SENT,
    (Phase.HELD, Signal.LAST): Phase.DONE,
    (Phase.HELD, Signal.FILE): Phase.DONE,  # the file is the body: nothing before, nothing after
    (Phase.SENT, Signal.CHUNK): Phase.SENT,
    (Phase.SENT, Signal.LAST): Phase.DONE,
}

_HAPPENED: Final = {
    Phase.IDLE: "before http.response.start",
    Phase.HELD: "after http.response.start",
    Phase.SENT: "after the body had begun",
    Phase.DONE: "after the response was complete",
}


def describe(phase: Phase, kind: str) -> str:
    """Say what is wrong with a message of type *kind* in this phase, for an error."""
    return f"the application sent {kind} {_HAPPENED[phase]}"

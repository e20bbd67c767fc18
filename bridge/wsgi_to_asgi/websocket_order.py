"""What may follow what in the application's half of a WebSocket. A pure table; knows no message and no thread."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final


class Phase(IntEnum):
    """How far the application has come."""

    ASKED = auto()  # the handshake is not answered yet
    OPEN = auto()  # accepted
    CLOSED = auto()  # the application has closed it, or refused it
    DENIED = auto()  # the handshake is answered with an HTTP response


class Signal(IntEnum):
    """What the application did."""

    ACCEPT = auto()
    RECEIVE = auto()
    SEND = auto()
    CLOSE = auto()
    ANSWER = auto()  # the headers of an HTTP response leave, as PEP 3333 has it


# ASGI specification, "WebSocket". A pair not listed is an error; one that has ended is told by its end, before this.
NEXT: Final[dict[tuple[Phase, Signal], Phase]] = {
    (Phase.ASKED, Signal.ACCEPT): Phase.OPEN,
    (Phase.ASKED, Signal.CLOSE): Phase.CLOSED,  # the server makes 403 of it
    (Phase.ASKED, Signal.ANSWER): Phase.DENIED,
    (Phase.OPEN, Signal.RECEIVE): Phase.OPEN,
    (Phase.OPEN, Signal.SEND): Phase.OPEN,
    (Phase.OPEN, Signal.CLOSE): Phase.CLOSED,
    (Phase.OPEN, Signal.ANSWER): Phase.OPEN,  # what a WSGI server wants back at the end: nobody gets it
    (Phase.CLOSED, Signal.ANSWER): Phase.CLOSED,
    (Phase.DENIED, Signal.ANSWER): Phase.DENIED,
}

WRONG: Final[dict[tuple[Phase, Signal], str]] = {
    (Phase.ASKED, Signal.RECEIVE): "it waited for a message before it accepted the WebSocket: call accept() first",
    (Phase.ASKED, Signal.SEND): "it sent a message before it accepted the WebSocket: call accept() first",
    (Phase.OPEN, Signal.ACCEPT): "it accepted the WebSocket a second time",
    (Phase.CLOSED, Signal.ACCEPT): "it accepted a WebSocket that it had closed",
    (Phase.DENIED, Signal.ACCEPT): "it accepted a WebSocket whose handshake it had answered with an HTTP response",
    (Phase.DENIED, Signal.RECEIVE): "it waited for a message of a handshake that it had answered with an HTTP response",
    (Phase.DENIED, Signal.SEND): "it sent a message to a handshake that it had answered with an HTTP response",
    (Phase.DENIED, Signal.CLOSE): "it closed a WebSocket whose handshake it had answered with an HTTP response",
}

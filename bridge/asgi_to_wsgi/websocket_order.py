"""What may follow what in the messages of an application that is asked for a WebSocket. A pure table."""

from __future__ import annotations

from enum import IntEnum, auto
from typing import Final


class Phase(IntEnum):
    """How far a WebSocket has come, by what the application has sent."""

    ASKED = auto()  # nothing sent yet
    OPEN = auto()  # accepted
    DENIED = auto()  # a response of its own has begun, in place of the WebSocket
    DONE = auto()  # closed, refused, or the response is complete


# ASGI WebSocket specification, "Accept", "Send" and "Close"; extension "Websocket Denial Response".
# A pair not listed is an error.
NEXT: Final[dict[tuple[Phase, str], Phase]] = {
    (Phase.ASKED, "websocket.accept"): Phase.OPEN,
    (Phase.ASKED, "websocket.close"): Phase.DONE,  # 403
    (Phase.ASKED, "websocket.http.response.start"): Phase.DENIED,
    (Phase.DENIED, "websocket.http.response.body"): Phase.DENIED,  # the last one leads to DONE
    (Phase.OPEN, "websocket.send"): Phase.OPEN,
    (Phase.OPEN, "websocket.close"): Phase.DONE,
}

_HAPPENED: Final = {
    Phase.ASKED: "before websocket.accept",
    Phase.OPEN: "after websocket.accept",
    Phase.DENIED: "after websocket.http.response.start",
    Phase.DONE: "after it had closed the WebSocket, or refused it",
}


def describe(phase: Phase, kind: object) -> str:
    """Say what is wrong with a message of type *kind* in this phase, for an error."""
    return f"the application sent {kind} {_HAPPENED[phase]}"

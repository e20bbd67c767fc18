"""The kinds of event loop that an exchange of AsgiToWsgi runs on, and the messages that tests send there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
import uvloop

from tests.asgi import Message
from tests.asgi_to_wsgi.server import Server

Serve: TypeAlias = Callable[..., Server]  # the fixture ``serve``

PLAIN = (b"content-type", b"text/plain")  # the validator wants a type of every response that may have a body


@dataclass(frozen=True)
class Kind:
    """One kind of loop, and what DESIGN says of it."""

    name: str
    options: dict[str, Any] = field(hash=False)
    in_loop: bool = False  # the server's thread already runs a loop
    takes_turns: bool = False  # the loop runs in the server's thread, and only while that waits for it
    shared: bool = False  # one loop for all exchanges

    @property
    def is_trio(self) -> bool:
        return self.options.get("backend") == "trio"


KINDS = [
    Kind("request", {"loop": "request"}, takes_turns=True),
    Kind("request-uvloop", {"loop": "request", "loop_factory": uvloop.new_event_loop}, takes_turns=True),
    Kind("request-in-loop", {"loop": "request"}, in_loop=True),
    Kind("request-trio", {"loop": "request", "backend": "trio"}),
    Kind("shared", {"loop": "shared"}, shared=True),
    Kind("shared-trio", {"loop": "shared", "backend": "trio"}, shared=True),
]


def kinds(condition: Callable[[Kind], bool]) -> pytest.MarkDecorator:
    """Run a test on the kinds that meet *condition* only."""
    chosen = [kind for kind in KINDS if condition(kind)]
    return pytest.mark.parametrize("kind", chosen, ids=[kind.name for kind in chosen], indirect=True)


def start(status: int = 200, *headers: tuple[bytes, bytes], content: bool = True) -> Message:
    """Build the start of a response; *content*: it has a type."""
    return {"type": "http.response.start", "status": status, "headers": [*([PLAIN] if content else []), *headers]}


def chunk(body: bytes) -> Message:
    """Build a chunk after which another message follows."""
    return {"type": "http.response.body", "body": body, "more_body": True}


def last(body: bytes = b"") -> Message:
    """Build the last message."""
    return {"type": "http.response.body", "body": body}

"""The head of the upstream's response to ASGI's, and answers in its place. Pure; knows no connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bridge.http import HOP_BY_HOP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bridge.errors import RequestRefused
    from bridge.protocols import Message

_HOP_BY_HOP: Final = frozenset(name.encode("ascii") for name in HOP_BY_HOP)


def end_to_end(status: int, headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Return the headers of a response that its client gets, in their order, names in lower case.

    Without those of the connection and those that its Connection header names; without ``Content-Length`` where
    ``Transfer-Encoding`` overrides it, and where the status allows none.

    Source: RFC 9110, 7.6.1 and 8.6; RFC 9112, 6.3.
    """
    pairs = [(name.lower(), value) for name, value in headers]
    dropped = set(_HOP_BY_HOP)
    for name, value in pairs:
        if name == b"connection":
            dropped.update(option.strip(b" \t").lower() for option in value.split(b","))
        elif name == b"transfer-encoding":
            dropped.add(b"content-length")
    if status == 204:
        dropped.add(b"content-length")
    return [pair for pair in pairs if pair[0] not in dropped]


def messages_of(refusal: RequestRefused, *, kind: str, head_only: bool) -> list[Message]:
    """Return the messages that answer a request in the upstream's place.

    Args:
        refusal: its message is the text.
        kind: ``"http"``, or ``"websocket.http"`` for a handshake that is denied.
        head_only: whether the text is left out, as HEAD wants it.
    """
    text = f"{refusal}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(text)),
        *refusal.headers,
    ]
    return [
        {"type": f"{kind}.response.start", "status": refusal.status, "headers": headers},
        {"type": f"{kind}.response.body", "body": b"" if head_only else text, "more_body": False},
    ]

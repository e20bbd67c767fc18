"""``environ["wsgi.early_hints"]``: hints that the client gets before the response. Knows no loop and no response."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, Protocol

from bridge.errors import ApplicationError
from bridge.http import encode_name, encode_value

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bridge.protocols import Environ, Message

_logger = logging.getLogger("bridge")

EXTENSION: Final = "http.response.early_hint"

# Links that may wait for the loop to send them. It takes all that lie there at once, so only an application that
# hints without end, or whose client takes nothing, ever has as many.
_LIMIT: Final = 256


class Holder(Protocol):
    """The exchange that the hints are part of."""

    def can_hint(self) -> bool:
        """Whether the response has not begun. Raises ClientDisconnected."""
        ...

    def hint(self) -> None:
        """Let the loop take the hints, soon."""
        ...


class EarlyHints:
    """A callable as Gunicorn has it: it takes a list of (name, value), each of them text or bytes.

    It never blocks. Once the response has begun it does nothing. ASGI carries ``Link`` headers and no others, so
    others are left out.

    Args:
        holder: the exchange; let go by :meth:`end`.

    Source: RFC 8297; ASGI specification, "Early Hints"; Gunicorn's documentation of ``wsgi.early_hints``.
    """

    __slots__ = ("_holder", "_links")

    def __init__(self, holder: Holder) -> None:
        self._holder: Holder | None = holder  # worker thread writes
        self._links: list[bytes] = []  # worker thread appends; the loop takes from the front

    # -- worker thread ----------------------------------------------------------------------------------------

    def __call__(self, headers: Iterable[tuple[str | bytes, str | bytes]]) -> None:
        """Send these headers to the client ahead of the response.

        Raises:
            ApplicationError: *headers* are no headers.
            ClientDisconnected: the exchange is over.
        """
        links, others = _take_links(headers)
        if others:
            _logger.debug("Early hints carry Link headers only, %s is left out.", ", ".join(others))
        holder = self._holder
        if holder is None or not holder.can_hint():
            return
        room = _LIMIT - len(self._links)
        if len(links) > room:
            # Left out and not waited for: an async view calls this on the loop that would have to make the room.
            _logger.debug("%d early hints are left out: %d wait to be sent.", len(links) - room, _LIMIT)
        self._links += links[:room]
        holder.hint()

    def end(self) -> None:
        """Do nothing from now on, and hold nothing."""
        self._holder = None

    # -- event loop thread ------------------------------------------------------------------------------------

    def take(self) -> Message | None:
        """Return the message for all that wait to be sent, None if there are none."""
        count = len(self._links)
        if not count:
            return None
        links = self._links[:count]
        # Sliced off and not swapped: the worker thread may append meanwhile, to this very list.
        del self._links[:count]
        return {"type": EXTENSION, "links": links}


def can_hint(environ: Environ, extensions: Mapping[str, object]) -> bool:
    """Whether this request's client may be sent hints. Source: RFC 9110, 15.2: no 1xx for HTTP/1.0."""
    return EXTENSION in extensions and environ["SERVER_PROTOCOL"] != "HTTP/1.0"


def _take_links(headers: Iterable[tuple[str | bytes, str | bytes]]) -> tuple[list[bytes], list[str]]:
    """Check *headers*; return the values of those named Link, and the names of the others."""
    links: list[bytes] = []
    others: list[str] = []
    try:
        for name, value in headers:
            key = encode_name(_text(name))
            field = encode_value(_text(value))
            if key != b"link":
                others.append(key.decode("ascii"))
            elif field:
                links.append(field)
    except ValueError as error:
        raise ApplicationError(f"the application gave wsgi.early_hints a bad header: {error}") from None
    except (TypeError, AttributeError) as error:
        raise ApplicationError(
            f"wsgi.early_hints takes headers as a list of (name, value) pairs; the application gave {headers!r:.100}"
        ) from error
    return links, others


def _text(part: str | bytes) -> str:
    return part.decode("latin-1") if isinstance(part, bytes) else part

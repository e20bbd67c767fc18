"""What an ASGI application sends and raises, checked and translated. Pure; knows no loop and no thread."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from bridge.errors import ApplicationError, ClientDisconnected
from bridge.http import decode_value

if TYPE_CHECKING:
    from bridge.protocols import Message


def is_cancellation(error: BaseException) -> bool:
    """Whether *error* says that its task was cancelled, on whatever loop."""
    # By its name, since trio need not be installed. Nothing else that an application raises is to be hidden.
    return type(error).__name__ in ("CancelledError", "Cancelled", "GeneratorExit")


def is_disconnect(error: BaseException) -> bool:
    """Whether *error* is what an application makes of a client that left."""
    # Also as a task group raises it.
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    if inner:
        return all(map(is_disconnect, inner))
    if isinstance(error, OSError):
        return True
    # Litestar raises an error of its own from it. From that very error: what an application makes of another one, a
    # database's that is gone say, has to be seen.
    if error.__cause__ is not None:
        return _is_ours(error.__cause__)
    # Starlette raises ClientDisconnect in its place. By its name, since Starlette need not be installed.
    return "Disconnect" in type(error).__name__ and isinstance(error.__context__, ClientDisconnected)


def _is_ours(error: BaseException) -> bool:
    inner: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    return all(map(_is_ours, inner)) if inner else isinstance(error, ClientDisconnected)


def wrong_length(length: int, produced: int) -> ApplicationError:
    """The error for a body of *produced* bytes, to the last message or so far, that declared *length*."""
    if produced > length:
        # Not one byte more than declared: the client would take them for the next response.
        return ApplicationError(f"the application sent more than the {length} bytes of its Content-Length")
    return ApplicationError(
        f"the application declared Content-Length {length} and sent {produced} bytes: its response cannot be completed"
    )


def translate_links(message: Message) -> list[tuple[str, str]]:
    """Translate ``http.response.early_hint`` into the headers of ``wsgi.early_hints``.

    Raises:
        ApplicationError: the links are no header values.
    """
    try:
        return [("Link", decode_value(bytes(memoryview(link)))) for link in message["links"]]
    except (KeyError, TypeError, ValueError) as error:
        raise ApplicationError(
            "http.response.early_hint takes links as header values, a list of bytes without CR and LF; "
            f"the application gave {message.get('links')!r}"
        ) from error


def to_bytes(body: object) -> bytes:
    """Return a body that is not exactly bytes as bytes.

    Raises:
        ApplicationError: it is nothing of that kind.
    """
    # A subclass of bytes as well: PEP 3333 has the exact type, and some servers ask for it.
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(cast("bytearray", body))
    hint = ": encode it" if isinstance(body, str) else ""
    raise ApplicationError(f"a response body is made of bytes; the application sent {type(body).__name__}{hint}")

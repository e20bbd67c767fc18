"""The opening handshake of a WebSocket: what the client asks, and the answer. Pure: no thread, no loop, no I/O."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bridge.errors import ApplicationError, BadRequest
from bridge.hop_by_hop import log_dropped
from bridge.http import HOP_BY_HOP, decode_value, encode_name
from bridge.rfc6455 import accept_token

if TYPE_CHECKING:
    from bridge.protocols import Environ, Message, Scope

_VERSION: Final = "13"

# Theirs is what the bridge says itself, in an answer without a body.
_OURS: Final = HOP_BY_HOP | {"content-length", "sec-websocket-accept", "sec-websocket-extensions"}
_named_in_log: set[str] = set()

_DEFLATE: Final = "permessage-deflate"
# RFC 7692, 7.1: the parameters of an offer; True where it must have a value, False where it must not.
_PARAMETERS: Final[dict[str, bool | None]] = {
    "server_no_context_takeover": False,
    "client_no_context_takeover": False,
    "server_max_window_bits": True,
    "client_max_window_bits": None,
}
# RFC 7692 has 8 as well, which zlib does not make.
_WINDOW_BITS: Final = frozenset(map(str, range(9, 16)))


@dataclass(frozen=True)
class Handshake:
    """What a client asks for."""

    key: str
    """Sec-WebSocket-Key."""

    subprotocols: list[str]
    """In the client's order."""

    deflate: str | None
    """The first offer of permessage-deflate that can be accepted, with its parameters."""


def asks_for_websocket(environ: Environ) -> bool:
    """Tell a request that asks for a WebSocket from one that names another protocol, or none that counts.

    Source: RFC 9110, 7.8: HTTP/1.0 cannot upgrade, and Upgrade counts only where Connection names it; RFC 6455, 4.1.
    """
    get = environ.get
    return (
        "websocket" in _tokens(get("HTTP_UPGRADE", "").lower())
        and "upgrade" in _tokens(get("HTTP_CONNECTION", "").lower())
        and environ["REQUEST_METHOD"] == "GET"
        # eventlet says HTTP/1.0 of every request.
        and (get("SERVER_PROTOCOL") == "HTTP/1.1" or "eventlet.input" in environ)
    )


def read_handshake(environ: Environ) -> Handshake:
    """Read the handshake of a request that asks for a WebSocket.

    Raises:
        BadRequest: RFC 6455 does not allow it, or it is of another version than 13, which the answer names.

    Source: RFC 6455, 4.2.1 and 4.4. The answer to a wrong version is 400, and not 426 as in its example: that one must
    have an Upgrade header (RFC 9110, 15.5.22), which a WSGI application must not send (PEP 3333).
    """
    get = environ.get
    version = get("HTTP_SEC_WEBSOCKET_VERSION", "").strip()
    if version != _VERSION:
        refusal = BadRequest(f"Sec-WebSocket-Version has to be {_VERSION} (RFC 6455, 4.1); got {version!r}")
        refusal.headers = ((b"sec-websocket-version", _VERSION.encode()),)
        raise refusal
    key = get("HTTP_SEC_WEBSOCKET_KEY", "").strip()
    try:
        nonce = base64.b64decode(key.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        nonce = b""
    if len(nonce) != 16:
        raise BadRequest(f"Sec-WebSocket-Key has to be 16 bytes in base64 (RFC 6455, 4.1); got {key!r}")
    if get("CONTENT_LENGTH") not in (None, "", "0") or get("HTTP_TRANSFER_ENCODING"):
        raise BadRequest("a request for a WebSocket has no body (RFC 6455, 4.1)")
    subprotocols = [name for name in _tokens(get("HTTP_SEC_WEBSOCKET_PROTOCOL", "")) if name]
    return Handshake(key, subprotocols, _acceptable_deflate(get("HTTP_SEC_WEBSOCKET_EXTENSIONS", "")))


def websocket_scope(http_scope: Scope, handshake: Handshake) -> Scope:
    """Build the ``websocket`` scope of a request from its ``http`` scope.

    Returns:
        A new dictionary with every optional key of the specification. ``spec_version`` 2.4 is a promise: ``send()``
        raises an ``OSError`` once the client is gone.

    Source: ASGI WebSocket specification 2.4, "Websocket Connection Scope"; "Websocket Denial Response" extension.
    """
    scope = {key: value for key, value in http_scope.items() if key != "method"}
    return scope | {
        "type": "websocket",
        "http_version": "1.1",
        "scheme": "wss" if http_scope["scheme"] in ("https", "wss") else "ws",
        "subprotocols": handshake.subprotocols,
        "extensions": {"websocket.http.response": {}},
    }


def switching_protocols(handshake: Handshake, accept: Message, extensions: str | None) -> bytes:
    """Return the head of the answer that makes the connection a WebSocket.

    Args:
        handshake: of the client.
        accept: the application's ``websocket.accept``.
        extensions: the extension that was agreed on, with its parameters.

    Raises:
        ApplicationError: the subprotocol was not offered, or a header is none.

    Source: RFC 6455, 4.2.2; ASGI WebSocket specification, "Accept".
    """
    lines = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {accept_token(handshake.key)}",
    ]
    subprotocol = accept.get("subprotocol")
    if subprotocol is not None:
        if subprotocol not in handshake.subprotocols:
            raise ApplicationError(
                f"websocket.accept has to choose one of the subprotocols {handshake.subprotocols!r} that the client "
                f"offers (RFC 6455, 4.2.2); the application gave {subprotocol!r}"
            )
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    if extensions is not None:
        lines.append(f"Sec-WebSocket-Extensions: {extensions}")
    for name, value in _translate(accept.get("headers")):
        lower = name.lower()
        if lower in _OURS or (lower == "sec-websocket-protocol" and subprotocol is not None):
            log_dropped(name, _named_in_log)
        else:
            lines.append(f"{name}: {value}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _translate(headers: Any) -> list[tuple[str, str]]:
    try:
        translated = [
            (bytes(memoryview(name)).decode("latin-1"), decode_value(bytes(memoryview(value))))
            for name, value in headers or ()
        ]
        for name, _ in translated:
            encode_name(name)
    except ValueError as error:
        raise ApplicationError(f"the application gave websocket.accept a bad header: {error}") from None
    except TypeError as error:
        raise ApplicationError(
            f"websocket.accept takes headers as (name, value) pairs of bytes; the application gave {headers!r}"
        ) from error
    return translated


def _acceptable_deflate(offers: str) -> str | None:
    for offer in _tokens(offers):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name == _DEFLATE and _are_acceptable(parameters):
            return offer
    return None


def _are_acceptable(parameters: list[str]) -> bool:
    """Whether an offer with these parameters may be accepted. Source: RFC 7692, 7.1: any other must be declined."""
    seen: set[str] = set()
    for parameter in parameters:
        name, equals, value = (part.strip() for part in parameter.partition("="))
        has_value = _PARAMETERS.get(name, not equals)
        if name in seen or (has_value is not None and has_value != bool(equals)):
            return False
        if equals and value not in _WINDOW_BITS:
            return False
        seen.add(name)
    return True


def _tokens(value: str) -> list[str]:
    return [token.strip() for token in value.split(",")]

"""The bytes of one connection: handshake, the messages it sends, the echo it must get. Pure; RFC 6455."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

TEXT: Final = 0x81  # FIN and the opcode; 5.2
CLOSE: Final = 0x88
PING: Final = 0x89
PONG: Final = 0x8A

# Bytes of each message: a little JSON, say.
PAYLOAD: Final = 64
# Messages of one connection that differ from each other, so that one that is lost, doubled or out of order is seen.
CYCLE: Final = 32

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # 1.3
_KEY: Final = base64.b64encode(b"sixteen bytes...")
_MASK: Final = b"\x37\xfa\x21\x3d"
_LENGTH: Final = 0x7F  # the bits of the second byte that are no flag

# Of a frame from the server, whose payload is short: two bytes and no mask.
HEAD: Final = 2
ECHO: Final = HEAD + PAYLOAD


def handshake(port: int) -> bytes:
    """Return the request that opens a WebSocket; it offers neither extensions nor subprotocols."""
    return (
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\n\r\n" % (port, _KEY)
    )


def refusal(head: bytes) -> str:
    """Say what is wrong with the answer to the handshake; ``""`` for nothing.

    Args:
        head: status line and headers, without the empty line. Source: 4.1.
    """
    status, *lines = head.split(b"\r\n")
    if not status.startswith(b"HTTP/1.1 101"):
        return f"no WebSockets: the handshake was answered with {status.decode('latin-1')!r}"
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
    if headers.get(b"sec-websocket-accept") != base64.b64encode(hashlib.sha1(_KEY + _GUID).digest()):
        return f"the handshake was answered with the wrong Sec-WebSocket-Accept: {head!r:.300}"
    if b"sec-websocket-extensions" in headers:
        return f"an extension was accepted that was not offered: {head!r:.300}"
    return ""


def masked(kind: int, payload: bytes) -> bytes:
    """Return a frame as a client has to send it.

    Args:
        kind: first byte of the frame.
        payload: at most 125 bytes.
    """
    repeated = (_MASK * (len(payload) // len(_MASK) + 1))[: len(payload)]
    coded = int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")
    return bytes((kind, 0x80 | len(payload))) + _MASK + coded.to_bytes(len(payload), "big")


def payload_length(head: bytes) -> int:
    """Return the length that the first two bytes of a control frame give."""
    return head[1] & _LENGTH


def messages(number: int) -> list[bytes]:
    """Return the payloads that connection *number* sends, over and over: text of PAYLOAD bytes, none twice."""
    return [f"connection {number}, message {index} ".ljust(PAYLOAD, ".").encode() for index in range(CYCLE)]


def echo(payload: bytes) -> bytes:
    """Return the frame in which *payload* must come back."""
    return bytes((TEXT, len(payload))) + payload

"""Rules of RFC 6455 that both directions share: close codes, reasons, messages. Pure; knows no server and no socket."""

from __future__ import annotations

import base64
from typing import Final

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3

# RFC 6455, 7.4.1.
NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_CODE: Final = 1005  # never sent: a close without a code is received as it
ABNORMAL: Final = 1006  # never sent: it stands for a close that never came
POLICY_VIOLATION: Final = 1008
TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011

# What a close frame may carry; 1004 has no meaning, 1005, 1006 and 1015 stand for a close that had no code, or that
# never came. 1012 to 1014 are IANA's, 3000 to 4999 are for libraries and applications (7.4.2).
SENDABLE: Final = frozenset({*range(1000, 1015), *range(3000, 5000)} - {1004, NO_CODE, ABNORMAL})

# A control frame carries 125 bytes, two of which are the code. RFC 6455, 5.5 and 5.5.1.
REASON_LIMIT: Final = 123

# A message is handed on in frames of this size, so that a large one neither holds the event loop nor is copied whole.
FRAME_SIZE: Final = 1 << 16


def accept_token(key: str) -> str:
    """Return the ``Sec-WebSocket-Accept`` that answers a ``Sec-WebSocket-Key``. Source: RFC 6455, 4.2.2."""
    import hashlib  # it loads OpenSSL, which who has no WebSocket need not wait for

    return base64.b64encode(hashlib.sha1(key.strip(" \t").encode("latin-1") + _GUID).digest()).decode("ascii")


def check_close(code: int, reason: str) -> None:
    """Refuse what no close frame can carry.

    Raises:
        ValueError: *code* is none that may be sent, or *reason* is longer than 123 bytes of UTF-8, or is no text.

    Source: RFC 6455, 5.5.1, 7.4.1 and 7.4.2.
    """
    if not isinstance(code, int) or code not in SENDABLE:
        raise ValueError(f"a close code is 1000 to 1014, without 1004 to 1006, or 3000 to 4999; got {code!r}")
    if not isinstance(reason, str) or len(reason.encode("utf-8", "surrogatepass")) > REASON_LIMIT:
        raise ValueError(f"the reason of a close is text of at most {REASON_LIMIT} bytes of UTF-8; got {reason!r:.60}")


def sendable(code: int | None) -> int:
    """Return the code to pass on for one that was received; 1000 for none. Source: RFC 6455, 7.4.1."""
    return NORMAL if code is None or code not in SENDABLE else code


def size_of(message: str | bytes) -> int:
    """Return the bytes of a message's payload.

    Raises:
        UnicodeEncodeError: it is text with a lone surrogate, which UTF-8 does not have.
    """
    return len(message) if isinstance(message, bytes) or message.isascii() else len(message.encode())

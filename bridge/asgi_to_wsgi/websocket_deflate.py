"""permessage-deflate of the server's side, with three of wsproto's mistakes mended. Knows no connection."""

from __future__ import annotations

import zlib
from typing import Any, Final

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits

# Bytes that a message may refer back to, in what came before it (RFC 7692, 7.1.2: of 15 bits).
_WINDOW: Final = 1 << 15


class Deflate(PerMessageDeflate):
    """The extension for one WebSocket. Source: RFC 7692; RFC 6455, 5.4 (control frames between fragments).

    wsproto takes a control frame between the fragments of a message for the message's end, and hands on the other
    fragments as they are. It inflates nothing that follows a final DEFLATE block, not in later messages either, and
    keeps it without a limit.
    """

    def __init__(self) -> None:
        super().__init__()
        self._history = bytearray()  # the end of what was inflated

    def frame_inbound_header(
        self, proto: FrameDecoder | FrameProtocol, opcode: Opcode, rsv: RsvBits, payload_length: int
    ) -> CloseReason | RsvBits:
        """Say which reserved bits are the extension's; none in a control frame, which is no part of a message."""
        if opcode.iscontrol():
            self._inbound_is_compressible = False
            return RsvBits(False, False, False)
        return super().frame_inbound_header(proto, opcode, rsv, payload_length)

    def frame_inbound_payload_data(self, proto: FrameDecoder | FrameProtocol, data: Any) -> bytes | CloseReason:
        """Inflate a piece of a message; one that goes on behind its final block is 1007."""
        inflated = super().frame_inbound_payload_data(proto, data)
        # RFC 7692, 7.2.3.4: behind a final block an empty octet may follow, as the beginning of another block.
        if self._decompressor is not None and self._decompressor.unused_data not in (b"", b"\0"):
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        if self._inbound_compressed:
            self._remember(inflated)
        return inflated

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """Give what is left of a message at its end."""
        if not self._inbound_is_compressible:
            return None
        left = super().frame_inbound_complete(proto, fin)
        self._remember(left)
        if fin and self._decompressor is not None and self._decompressor.eof:
            self._decompressor = zlib.decompressobj(-self.client_max_window_bits, zdict=self._history[-_WINDOW:])
        return left

    def _remember(self, inflated: bytes | CloseReason | None) -> None:
        if isinstance(inflated, bytes):
            self._history += inflated[-_WINDOW:]
            if len(self._history) > 2 * _WINDOW:  # seldom, or small messages would cost a copy of the window each
                del self._history[:-_WINDOW]

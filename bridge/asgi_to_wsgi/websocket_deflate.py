"""permessage-deflate of the server's side, with two of wsproto's mistakes mended. Knows no connection."""

from __future__ import annotations

from typing import Any

from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameDecoder, FrameProtocol, Opcode, RsvBits


class Deflate(PerMessageDeflate):
    """The extension for one WebSocket. Source: RFC 7692; RFC 6455, 5.4 (control frames between fragments).

    wsproto takes a control frame between the fragments of a message for the message's end, and hands on the other
    fragments as they are. And what follows a final DEFLATE block it keeps, without a limit and inflating nothing.
    """

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
        decompressor = self._decompressor
        if decompressor is not None and decompressor.unused_data:
            return CloseReason.INVALID_FRAME_PAYLOAD_DATA
        return inflated

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> bytes | CloseReason | None:
        """Give what is left of a message at its end."""
        return super().frame_inbound_complete(proto, fin) if self._inbound_is_compressible else None

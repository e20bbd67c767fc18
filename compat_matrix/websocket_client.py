"""A WebSocket client that sends the frames it is told to, wrong ones too, and takes no wrong ones. Knows no check."""

from __future__ import annotations

import base64
import hashlib
import os
import struct
import zlib
from dataclasses import dataclass
from typing import Final

from compat_matrix.client import RawClient, Response

CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
"""Opcodes. Source: RFC 6455, 5.2."""

NO_CODE: Final = 1005
"""Stands for a close without a code. Source: RFC 6455, 7.4.1."""

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_FINAL: Final = 0x80
_COMPRESSED: Final = 0x40  # RSV1; RFC 7692, 6
_RESERVED: Final = 0x30  # RSV2 and RSV3
_MASKED: Final = 0x80
_DEFLATE: Final = "permessage-deflate"
_TAIL: Final = b"\x00\x00\xff\xff"  # RFC 7692, 7.2.1: taken away at the end of each message


class BadFrameError(Exception):
    """The server has sent what RFC 6455 does not allow; the message says what."""


class ClosedError(Exception):
    """The server has closed the WebSocket where a message was waited for."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the WebSocket was closed with {code} {reason}".rstrip())
        self.code = code
        """1005 for a close without one."""
        self.reason = reason


@dataclass(frozen=True)
class Frame:
    """What came as one frame. Source: RFC 6455, 5.2."""

    opcode: int
    payload: bytes
    final: bool = True
    compressed: bool = False


class WebSocketClient:
    """One WebSocket over one connection; every wait is the connection's."""

    def __init__(
        self,
        client: RawClient,
        target: str,
        *header_lines: str,
        deflate: bool = False,
        version: int = 13,
    ) -> None:
        """Make the opening handshake and wait for its answer, which may be a refusal: :attr:`open` says.

        Args:
            client: a fresh connection.
            target: path and query, as they are sent.
            header_lines: further ones, latin-1.
            deflate: offer permessage-deflate.
            version: Sec-WebSocket-Version.

        Raises:
            BadFrameError: the server switches to something else.
            EOFError: the connection ended before the answer did.
            TimeoutError: none came.

        Source: RFC 6455, 4.1.
        """
        self.raw = client
        key = base64.b64encode(os.urandom(16)).decode()
        client.get(
            target,
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            f"Sec-WebSocket-Version: {version}",
            *([f"Sec-WebSocket-Extensions: {_DEFLATE}"] if deflate else []),
            *header_lines,
        )
        self.response: Response = client.read_response()
        """To the handshake. One that refuses it has its body."""
        self.open = self.response.status == 101
        """The server has accepted."""
        self.deflated = False
        """Messages may be compressed."""
        self._closing = False
        self._anew = False  # each message is compressed by itself
        self._compress = _compressor()
        self._decompress = zlib.decompressobj(-zlib.MAX_WBITS)
        if self.open:
            self._check_switch(key, deflate)

    # -- what is sent -----------------------------------------------------------------------------------------

    def send(self, opcode: int, payload: bytes = b"", *, final: bool = True, masked: bool = True) -> None:
        """Send one frame, right or wrong."""
        self.raw.send(self.frame(opcode, payload, final=final, masked=masked))

    def frame(
        self, opcode: int, payload: bytes = b"", *, final: bool = True, masked: bool = True, compressed: bool = False
    ) -> bytes:
        """Return one frame as it is sent. Source: RFC 6455, 5.2 and 5.3."""
        size = len(payload)
        if size < 126:
            length = bytes([size])
        elif size < 65_536:
            length = struct.pack("!BH", 126, size)
        else:
            length = struct.pack("!BQ", 127, size)
        first = opcode | (_FINAL if final else 0) | (_COMPRESSED if compressed else 0)
        if not masked:
            return bytes([first]) + length + payload
        mask = os.urandom(4)
        return bytes([first, length[0] | _MASKED]) + length[1:] + mask + _xor(payload, mask)

    def say(self, message: str | bytes) -> None:
        """Send a message in one frame: text or binary; compressed if that was agreed on."""
        opcode, payload = (TEXT, message.encode()) if isinstance(message, str) else (BINARY, message)
        if self.deflated:
            payload = self._compress.compress(payload) + self._compress.flush(zlib.Z_SYNC_FLUSH)
            self.raw.send(self.frame(opcode, payload.removesuffix(_TAIL), compressed=True))
            if self._anew:
                self._compress = _compressor()
        else:
            self.send(opcode, payload)

    def close(self, code: int | None = None, reason: str = "") -> None:
        """Send a close frame; :meth:`closed` waits for the server's."""
        self._closing = True
        self.send(CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())

    # -- what comes -------------------------------------------------------------------------------------------

    def read_frame(self) -> Frame:
        """Wait for the next frame.

        Raises:
            BadFrameError: RFC 6455 does not allow it.
            EOFError: the connection ended.
            TimeoutError: nothing more came.
        """
        first, second = self.raw.read_exactly(2)
        if second & _MASKED:
            raise BadFrameError("a frame of the server's is masked (RFC 6455, 5.1)")
        if first & _RESERVED or (first & _COMPRESSED and not self.deflated):
            raise BadFrameError(f"reserved bits are set in a frame that begins with {first:#x} (RFC 6455, 5.2)")
        opcode, final, size = first & 0x0F, bool(first & _FINAL), second
        if opcode not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
            raise BadFrameError(f"opcode {opcode} means nothing (RFC 6455, 5.2)")
        if opcode >= CLOSE and (not final or size > 125):
            raise BadFrameError("a control frame is in fragments, or has more than 125 bytes (RFC 6455, 5.5)")
        if size == 126:
            (size,) = struct.unpack("!H", self.raw.read_exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.raw.read_exactly(8))
        return Frame(opcode, self.raw.read_exactly(size), final, bool(first & _COMPRESSED))

    def hear(self) -> str | bytes:
        """Wait for the next message, whole; pings are answered, pongs are left out.

        Raises:
            BadFrameError: RFC 6455 does not allow what came.
            ClosedError: the server has closed the WebSocket.
            EOFError: the connection ended without that.
            TimeoutError: nothing more came.
        """
        opcode, payload, compressed = CONTINUATION, bytearray(), False
        while True:
            frame = self.read_frame()
            if frame.opcode == CLOSE:
                raise ClosedError(*_read_close(frame.payload))
            if frame.opcode == PING:
                self.send(PONG, frame.payload)
            elif frame.opcode != PONG:
                if (frame.opcode == CONTINUATION) != (opcode != CONTINUATION):
                    raise BadFrameError(f"a frame of opcode {frame.opcode} after one of {opcode} (RFC 6455, 5.4)")
                if opcode == CONTINUATION:
                    opcode, compressed = frame.opcode, frame.compressed
                payload += frame.payload
                if frame.final:
                    whole = self._decompress.decompress(bytes(payload) + _TAIL) if compressed else bytes(payload)
                    return whole.decode() if opcode == TEXT else whole

    def closed(self) -> tuple[int, str]:
        """Wait for the server's close frame, past messages; return code (1005 for none) and reason.

        Raises:
            EOFError: the connection ended without one.
        """
        while True:
            try:
                self.hear()
            except ClosedError as closed:
                return closed.code, closed.reason

    def ended(self) -> bool:
        """Wait for the end of the connection, once the server has closed; false if something else comes.

        Source: RFC 6455, 7.1.1: the server is the one that ends it, when its close has been answered.
        """
        try:
            if not self._closing:
                self.close()
            return self.raw.ended()
        except ConnectionError:
            return True  # it has not waited for the answer

    def _check_switch(self, key: str, offered: bool) -> None:
        response = self.response
        token = base64.b64encode(hashlib.sha1(key.encode() + _GUID).digest()).decode()
        if response.all("sec-websocket-accept") != [token]:
            raise BadFrameError(f"Sec-WebSocket-Accept is {response.all('sec-websocket-accept')}, not {token!r}")
        if [value.lower() for value in response.all("upgrade")] != ["websocket"]:
            raise BadFrameError(f"Upgrade is {response.all('upgrade')}")
        if not any("upgrade" in value.lower() for value in response.all("connection")):
            raise BadFrameError(f"Connection is {response.all('connection')}")
        if extensions := ", ".join(response.all("sec-websocket-extensions")):
            name, *parameters = (part.strip() for part in extensions.split(";"))
            if name != _DEFLATE or not offered:
                raise BadFrameError(f"the extensions {extensions!r} were not offered (RFC 6455, 4.1)")
            self.deflated = True
            self._anew = "client_no_context_takeover" in parameters


def _compressor() -> zlib._Compress:
    return zlib.compressobj(wbits=-zlib.MAX_WBITS)


def _read_close(payload: bytes) -> tuple[int, str]:
    if not payload:
        return NO_CODE, ""
    if len(payload) == 1:
        raise BadFrameError("a close frame has one byte (RFC 6455, 5.5.1)")
    return struct.unpack("!H", payload[:2])[0], payload[2:].decode()


def _xor(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")

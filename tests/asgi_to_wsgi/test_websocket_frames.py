"""Frames of a client, one rule of RFC 6455 and RFC 7692 after the other. The server is played."""

from __future__ import annotations

import logging
import zlib

import pytest

from tests.asgi_to_wsgi.websocket_applications import Noted, Open, echo, on_request_loop, serving
from tests.asgi_to_wsgi.websocket_server import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    TEXT,
    HandingOut,
    frame,
)

# A fixture.
__all__ = ["serving"]

_RSV1, _RSV2, _RSV3 = 4, 2, 1


def close(code: int, reason: bytes = b"") -> bytes:
    """Build a close frame."""
    return frame(CLOSE, code.to_bytes(2, "big") + reason)


@on_request_loop
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        *(pytest.param(frame(opcode), 1002, id=f"opcode {opcode}") for opcode in (3, 7, 11, 15)),
        pytest.param(frame(TEXT, b"x", reserved=_RSV1), 1002, id="RSV1 that means nothing"),
        pytest.param(frame(BINARY, b"x", reserved=_RSV2), 1002, id="RSV2"),
        pytest.param(frame(PING, b"x", reserved=_RSV3), 1002, id="RSV3"),
        pytest.param(frame(CONTINUATION, b"x"), 1002, id="continues nothing"),
        pytest.param(frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002, id="message within a message"),
        pytest.param(frame(PING, bytes(126)), 1002, id="ping of 126 bytes"),
        pytest.param(frame(PING, b"x", fin=False), 1002, id="ping in fragments"),
        pytest.param(frame(CLOSE, b"\x03\xe8", fin=False), 1002, id="close in fragments"),
        pytest.param(b"\x81\x01x", 1002, id="not masked"),
        pytest.param(b"\x82\xff\x80" + bytes(7), 1002, id="64 bits of length, the first of them set"),
        pytest.param(b"\x82\xfe\x00\x7d", 1002, id="16 bits of length where 7 are enough"),
        pytest.param(b"\x82\xff" + (65535).to_bytes(8, "big"), 1002, id="64 bits of length where 16 are enough"),
        pytest.param(frame(CLOSE, b"\x03"), 1002, id="close with half a code"),
        *(pytest.param(close(code), 1002, id=f"close {code}") for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999)),
        *(pytest.param(close(code), 1002, id=f"close {code}") for code in (5000, 65535)),
        pytest.param(close(1000, b"\xff"), 1007, id="reason that is not UTF-8"),
        pytest.param(frame(TEXT, b"\xed\xa0\x80"), 1007, id="surrogate"),
        pytest.param(frame(TEXT, b"\xf4\x90\x80\x80"), 1007, id="above the last character"),
        pytest.param(frame(TEXT, b"\xc0\xaf"), 1007, id="longer than need be"),
        pytest.param(frame(TEXT, b"\xe2\x82"), 1007, id="cut in a character"),
        # These have no end: the error is found at the byte that is wrong.
        pytest.param(frame(TEXT, b"ok\xff", fin=False), 1007, id="fragment that is not UTF-8"),
        pytest.param(
            frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION, b"x", fin=False), 1007, id="cut by a fragment"
        ),
        pytest.param(frame(TEXT, b"\xff" + bytes(100))[:8], 1007, id="frame that is not all there"),
    ],
)
def test_frame_that_is_not_allowed(serving: Open, frames: bytes, code: int) -> None:
    """RFC 6455, 5.2, 5.4, 5.5, 7.4 and 8.1: client and application are told the code."""
    application = Noted()
    with serving(application) as server:
        server.open()
        server.client_socket.sendall(frames)
        assert server.hear_close()[0] == code
        server.client_socket.close()

    assert [message["code"] for message in application.received] == [code]


@on_request_loop
@pytest.mark.parametrize("code", [1000, 1003, 1007, 1011, 1012, 3000, 4999])
def test_close_code_that_is_allowed(serving: Open, code: int) -> None:
    """RFC 6455, 7.4: it is answered with the same."""
    application = Noted()
    with serving(application) as server:
        server.open()
        server.client_socket.sendall(close(code))
        assert server.hear_close() == (code, "")

    assert [message["code"] for message in application.received] == [code]


# -- compression ----------------------------------------------------------------------------------------------


def agree(server: HandingOut, offer: str) -> str:
    """Make an offer; return what was agreed on, without spaces."""
    server.ask({"Sec-WebSocket-Extensions": offer})
    for line in server.read_head().lower().split("\r\n"):
        name, _, value = line.partition(":")
        if name == "sec-websocket-extensions":
            return value.replace(" ", "")
    return ""


def squeeze(content: bytes, compressor: zlib._Compress | None = None) -> bytes:
    """Compress a message. Source: RFC 7692, 7.2.1."""
    compressor = compressor or zlib.compressobj(wbits=-15)
    return (compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def inflate(squeezed: bytes, decompressor: zlib._Decompress | None = None) -> bytes:
    """Undo it. Source: RFC 7692, 7.2.2."""
    return (decompressor or zlib.decompressobj(wbits=-15)).decompress(squeezed + b"\x00\x00\xff\xff")


# Nothing repeats itself within a kilobyte, all of it within two.
FAR = b"".join(b"%04x" % (number * 7919 % 65536) for number in range(512)) * 4


@on_request_loop
@pytest.mark.parametrize(
    ("offer", "agreed"),
    [
        pytest.param("permessage-deflate", {"permessage-deflate"}, id="plain"),
        pytest.param(
            "permessage-deflate; server_no_context_takeover",
            {"permessage-deflate", "server_no_context_takeover"},
            id="server forgets",
        ),
        pytest.param(
            "permessage-deflate; client_no_context_takeover",
            {"permessage-deflate", "client_no_context_takeover"},
            id="client forgets",
        ),
        pytest.param(
            "permessage-deflate; server_max_window_bits=10",
            {"permessage-deflate", "server_max_window_bits=10"},
            id="small window of the server",
        ),
        pytest.param(
            "permessage-deflate; client_max_window_bits=10",
            {"permessage-deflate", "client_max_window_bits=10"},
            id="small window of the client",
        ),
        pytest.param(
            "permessage-deflate; client_max_window_bits; server_max_window_bits=9; server_no_context_takeover",
            {
                "permessage-deflate",
                "client_max_window_bits=15",
                "server_max_window_bits=9",
                "server_no_context_takeover",
            },
            id="several",
        ),
        pytest.param(
            "permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=10",
            {"permessage-deflate", "server_max_window_bits=10"},
            id="second offer",
        ),
        pytest.param(
            "x-other\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover",
            {"permessage-deflate", "server_no_context_takeover"},
            id="in two headers",
        ),
    ],
)
def test_compression_with_parameters(serving: Open, offer: str, agreed: set[str]) -> None:
    """RFC 7692, 7.1: each is kept to, over several messages, of which each repeats the one before."""
    with serving(Noted(echo)) as server:
        assert set(agree(server, offer).split(";")) == agreed
        client_bits = 10 if "client_max_window_bits=10" in agreed else 15
        server_bits = next((int(name[-2:].strip("=")) for name in agreed if name.startswith("server_max")), 15)
        compressor, decompressor = zlib.compressobj(wbits=-client_bits), zlib.decompressobj(wbits=-server_bits)
        sizes = []
        for _ in range(3):
            if "client_no_context_takeover" in agreed:
                compressor = zlib.compressobj(wbits=-client_bits)
            if "server_no_context_takeover" in agreed:
                decompressor = zlib.decompressobj(wbits=-server_bits)
            server.say(BINARY, squeeze(FAR, compressor), reserved=_RSV1)
            opcode, squeezed = server.hear()
            sizes.append(len(squeezed))
            assert (opcode, inflate(squeezed, decompressor)) == (BINARY, FAR)
        server.say(CLOSE)

    remembers = "server_no_context_takeover" not in agreed and server_bits == 15
    assert (sizes[1] < sizes[0] / 2) is remembers


@on_request_loop
@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
        "permessage-deflate; unknown",
        "permessage-deflate-2",
    ],
)
def test_offer_that_is_not_allowed_is_not_accepted(serving: Open, offer: str) -> None:
    """RFC 7692, 7.1: the WebSocket is opened without, and then RSV1 means nothing."""
    with serving(Noted(echo)) as server:
        assert agree(server, offer) == ""
        server.say(TEXT, b"plain")
        assert server.hear() == (TEXT, b"plain")
        server.say(TEXT, squeeze(b"hello"), reserved=_RSV1)
        assert server.hear_close()[0] == 1002
        server.client_socket.close()


@on_request_loop
def test_compressed_and_other_messages_in_fragments(serving: Open) -> None:
    """RFC 7692, 6: RSV1 of the first fragment is that of the message; cut anywhere, also in an empty one."""
    application = Noted()
    compressor = zlib.compressobj(wbits=-15)
    with serving(application) as server:
        agree(server, "permessage-deflate")
        for content in ("é" * 1000, "", "é" * 1000):
            squeezed = squeeze(content.encode(), compressor)
            server.say(TEXT, squeezed[:1], fin=False, reserved=_RSV1)
            for byte in squeezed[1:]:
                server.say(CONTINUATION, bytes([byte]), fin=False)
            server.say(CONTINUATION)
            server.say(TEXT, b"pl", fin=False)
            server.say(CONTINUATION, b"ain")
        server.say(CLOSE)

    texts = [message.get("text") for message in application.received[:-1]]
    assert texts == ["é" * 1000, "plain", "", "plain", "é" * 1000, "plain"]


@on_request_loop
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        pytest.param(
            frame(TEXT, squeeze(b"hello")[:3], fin=False, reserved=_RSV1) + frame(CONTINUATION, b"x", reserved=_RSV1),
            1002,
            id="RSV1 of a later fragment",
        ),
        pytest.param(frame(PING, b"x", reserved=_RSV1), 1002, id="RSV1 of a ping"),
        pytest.param(frame(TEXT, b"x", reserved=_RSV1 | _RSV2), 1002, id="RSV2 beside it"),
        pytest.param(frame(CONTINUATION, squeeze(b"hello"), reserved=_RSV1), 1002, id="continues nothing"),
        pytest.param(frame(BINARY, b"\xff\xff", reserved=_RSV1), 1007, id="nothing that was compressed"),
        pytest.param(frame(TEXT, squeeze(b"ok\xff"), reserved=_RSV1), 1007, id="not UTF-8"),
        pytest.param(frame(TEXT, squeeze(b"ok\xff"), fin=False, reserved=_RSV1), 1007, id="not UTF-8, without an end"),
    ],
)
def test_compressed_frame_that_is_not_allowed(serving: Open, frames: bytes, code: int) -> None:
    """RFC 7692, 6 and 6.1; RFC 6455, 8.1, of what was compressed."""
    application = Noted()
    with serving(application) as server:
        agree(server, "permessage-deflate")
        server.client_socket.sendall(frames)
        assert server.hear_close()[0] == code
        server.client_socket.close()

    assert [message["code"] for message in application.received] == [code]


@on_request_loop
@pytest.mark.parametrize("fragments", [1, 50])
def test_little_that_inflates_to_much_is_given_up_early(
    serving: Open, fragments: int, bridge_log: list[logging.LogRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """1009, and no more memory than the limit of a message and what one piece inflates to, a megabyte here."""
    from bridge.asgi_to_wsgi.websocket_deflate import Deflate

    inflated = 0
    original = Deflate.frame_inbound_payload_data

    def measure(self: Deflate, proto: object, data: bytes) -> object:
        nonlocal inflated
        piece = original(self, proto, data)  # type: ignore[arg-type]
        inflated += len(piece) if isinstance(piece, bytes) else 0
        return piece

    monkeypatch.setattr(Deflate, "frame_inbound_payload_data", measure)
    squeezed = squeeze(bytes(50_000_000))
    size = -(-len(squeezed) // fragments)
    with serving(Noted(), max_message_size=100_000) as server:
        agree(server, "permessage-deflate")
        server.say(BINARY, squeezed[:size], fin=fragments == 1, reserved=_RSV1)
        assert server.hear_close()[0] == 1009
        seen = inflated
        server.client_socket.close()

    assert len(squeezed) < 60_000
    assert 100_000 < seen < 2_200_000
    assert len(bridge_log) == 1


@on_request_loop
def test_message_that_ends_with_a_final_block(serving: Open) -> None:
    """RFC 7692, 7.2.3.4, with its example, whose last octet may be missing; the window goes on (7.2.3.2)."""
    application = Noted()
    final = bytes.fromhex("f3 48 cd c9 c9 07 00")
    following = zlib.compressobj(wbits=-15, zdict=b"Hello" * 3)
    with serving(application) as server:
        agree(server, "permessage-deflate")
        server.say(TEXT, final + b"\0", reserved=_RSV1)
        server.say(TEXT, final, reserved=_RSV1)
        server.say(TEXT, final[:3], fin=False, reserved=_RSV1)
        server.say(CONTINUATION, final[3:], fin=False)
        server.say(CONTINUATION, b"\0")
        server.say(TEXT, squeeze(b"HelloHelloHello", following), reserved=_RSV1)
        server.say(CLOSE)

    assert [message.get("text") for message in application.received[:-1]] == ["Hello"] * 3 + ["HelloHelloHello"]

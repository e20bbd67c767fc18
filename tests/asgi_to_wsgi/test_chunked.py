"""The chunked coding, against RFC 9112, 7.1: the body whatever way it arrives, and never half of it as all."""

import io
from collections.abc import Iterable
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bridge.asgi_to_wsgi.chunked import ChunkDecoder

WIKI = b"4\r\nWiki\r\n5\r\npedia\r\n0\r\n\r\n"
SIZE = 65536  # bytes asked for


class Connection(io.RawIOBase):
    """A client's socket, as segments arrive. It stays open, so whoever reads on would wait for ever."""

    def __init__(self, segments: Iterable[bytes]) -> None:
        self.segments = [segment for segment in segments if segment]

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if not self.segments:
            raise AssertionError("waits for bytes that never come")
        segment = self.segments.pop(0)
        piece, rest = segment[: len(buffer)], segment[len(buffer) :]
        buffer[: len(piece)] = piece
        if rest:
            self.segments.insert(0, rest)
        return len(piece)


class ClosedConnection(Connection):
    """A client's socket after the client has closed it."""

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        return super().readinto(buffer) if self.segments else 0


def decoder(connection: Connection) -> ChunkDecoder:
    """A decoder of what wsgiref hands out: a BufferedReader on the socket."""
    source = io.BufferedReader(connection)
    return ChunkDecoder(source.readline, source.read1)


def body_of(chunks: ChunkDecoder, size: int = SIZE) -> bytes:
    return b"".join(iter(lambda: chunks.read(size), b""))


def cut(data: bytes, places: Iterable[int]) -> list[bytes]:
    """*data* in segments, cut at *places*."""
    ends = sorted({place % (len(data) + 1) for place in places} | {0, len(data)})
    return [data[start:end] for start, end in pairwise(ends)]


sizes = st.sampled_from([b"%x", b"%X", b"%03x", b"%016X"])
extensions = st.sampled_from([b"", b";a", b" ; a=b", b';a="b;c"', b";\xff"])
trailers = st.lists(st.sampled_from([b"Checksum: 1\r\n", b"A:\r\n", b"0\r\n"]), max_size=3).map(b"".join)
places = st.lists(st.integers(min_value=0, max_value=10_000), max_size=30)


@st.composite
def coded_bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A body, and one of the ways to send it."""
    chunks = draw(st.lists(st.binary(min_size=1, max_size=40) | st.sampled_from([b"\r\n", b"0\r\n\r\n"]), max_size=8))
    coded = b""
    for chunk in [*chunks, b""]:
        coded += draw(sizes) % len(chunk) + draw(extensions) + b"\r\n"
        if chunk:
            coded += chunk + b"\r\n"
    return b"".join(chunks), coded + draw(trailers) + b"\r\n"


@given(coded_bodies(), places, st.integers(min_value=1, max_value=50))
@example((b"Wikipedia", WIKI), range(len(WIKI)), 1)
def test_body_is_the_same_whatever_way_it_is_sent(body: tuple[bytes, bytes], cuts: list[int], size: int) -> None:
    """Any chunks, extensions and trailers, in any segments, read in pieces of any size."""
    plain, coded = body

    assert body_of(decoder(Connection(cut(coded, cuts))), size) == plain


@given(coded_bodies(), places, st.integers(min_value=1, max_value=50), st.data())
def test_truncated_body_never_looks_complete(
    body: tuple[bytes, bytes], cuts: list[int], size: int, data: st.DataObject
) -> None:
    """Wherever the client goes away, the last CRLF included, the read raises."""
    _, coded = body
    coded = coded[: data.draw(st.integers(min_value=0, max_value=len(coded) - 1))]

    with pytest.raises(EOFError):
        body_of(decoder(ClosedConnection(cut(coded, cuts))), size)


@given(coded_bodies(), st.integers(min_value=1, max_value=50))
def test_nothing_of_the_next_request_is_taken(body: tuple[bytes, bytes], size: int) -> None:
    """What follows on the connection is the server's."""
    plain, coded = body
    source = io.BytesIO(coded + b"GET / HTTP/1.1\r\n\r\n")
    chunks = ChunkDecoder(source.readline, source.read1)

    assert (body_of(chunks, size), source.read()) == (plain, b"GET / HTTP/1.1\r\n\r\n")


def test_piece_ends_with_its_chunk() -> None:
    """The second chunk may be hours away, so a read does not wait for it."""
    chunks = decoder(Connection([b"4\r\nWiki"]))

    assert chunks.read(SIZE) == b"Wiki"


def test_piece_is_no_longer_than_asked_for() -> None:
    """The size bounds memory, whatever size a chunk declares."""
    chunks = decoder(Connection([WIKI]))

    assert [chunks.read(3) for _ in range(5)] == [b"Wik", b"i", b"ped", b"ia", b""]


def test_end_is_said_again() -> None:
    """After the end nothing is read, and the connection is not waited for."""
    chunks = decoder(Connection([WIKI]))
    body_of(chunks)

    assert chunks.read(SIZE) == b""


@pytest.mark.parametrize(
    "coded",
    [
        pytest.param(b"\r\n", id="no size"),
        pytest.param(b"xyz\r\n", id="no number"),
        pytest.param(b"0x4\r\nWiki\r\n", id="prefix"),
        pytest.param(b"+4\r\nWiki\r\n", id="sign"),
        pytest.param(b"-4\r\nWiki\r\n", id="negative"),
        pytest.param(b"1_0\r\n", id="underscore"),
        pytest.param(b" 4\r\nWiki\r\n", id="space before"),
        pytest.param(b"4 \r\nWiki\r\n", id="space after"),
        pytest.param(b"4\nWiki\r\n", id="LF alone ends the size"),
        pytest.param(b"4\r\r\nWiki\r\n", id="two CR"),
        pytest.param(b"4;a\rb\r\nWiki\r\n", id="CR in an extension"),
        pytest.param(b"1" + b"0" * 16 + b"\r\n", id="size beyond 64 bits"),
        pytest.param(b"4\r\nWikipedia\r\n", id="more data than declared"),
        pytest.param(b"4\r\nWiki\n0\r\n\r\n", id="LF alone ends the data"),
        pytest.param(b"4\r\nWiki\rx", id="CR without LF ends the data"),
        pytest.param(b"0\r\nA: b\n\r\n", id="LF alone ends a trailer"),
        pytest.param(b"0\r\n\n", id="LF alone ends the trailers"),
        pytest.param(b"4;" + b"a" * 8192, id="endless extension"),
        pytest.param(b"0\r\n" + b"a" * 8192, id="endless trailer"),
        pytest.param(b"0\r\n" + (b"a" * 1022 + b"\r\n") * 65, id="endless trailers"),
    ],
)
def test_malformed_framing_is_refused(coded: bytes) -> None:
    """RFC 9112, 7.1, read strictly: two programs that read it differently are how a request is smuggled."""
    with pytest.raises(ValueError):  # noqa: PT011  # which message is not the point
        body_of(decoder(Connection([coded])))


@pytest.mark.parametrize(
    "coded",
    [
        pytest.param(b"4;" + b"a" * 8188 + b"\r\nWiki\r\n0\r\n\r\n", id="extension"),
        pytest.param(b"4\r\nWiki\r\n0\r\n" + (b"a" * 1022 + b"\r\n") * 64 + b"\r\n", id="trailers"),
    ],
)
def test_framing_up_to_the_limit_is_read(coded: bytes) -> None:
    """8 KiB for a line, 64 KiB for all trailers."""
    assert body_of(decoder(Connection([coded]))) == b"Wiki"

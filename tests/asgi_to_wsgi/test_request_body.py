"""Reading wsgi.input: on every server the bytes of the client, no more and no less, and never half of them as all.

Each fake reads as SERVERS.md 3.1 and the server's source have it. A read that would wait for ever fails the test.
"""

import io
import sys
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.asgi_to_wsgi.request_body import RequestBody, open_body
from bridge.errors import BadRequest, BodyTooLarge, ClientDisconnected, LengthRequired, ServerError
from bridge.protocols import Environ

SIZE = 65536  # bytes asked for
CHUNKED = {"HTTP_TRANSFER_ENCODING": "chunked"}
TERMINATED = {"wsgi.input_terminated": True}
WSGIREF = {"SERVER_SOFTWARE": "WSGIServer/0.2", "CONTENT_TYPE": "text/plain", "CONTENT_LENGTH": ""}
UWSGI = {"uwsgi.version": b"2.0.31", "uwsgi.node": b"host"}


class Socket(io.RawIOBase):
    """A client's socket, as segments arrive. It stays open unless *closed*, so whoever reads on waits for ever."""

    def __init__(self, *segments: bytes, closed: bool = False) -> None:
        self.segments = list(segments)
        self.gone = closed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if not self.segments:
            if self.gone:
                return 0
            raise AssertionError("waits for bytes that never come")
        segment = self.segments.pop(0)
        piece, rest = segment[: len(buffer)], segment[len(buffer) :]
        buffer[: len(piece)] = piece
        if rest:
            self.segments.insert(0, rest)
        return len(piece)


def raw(*segments: bytes, closed: bool = False) -> io.BufferedReader:
    """What wsgiref, and werkzeug for a declared length, hand out: the socket's own file."""
    return io.BufferedReader(Socket(*segments, closed=closed))


class Input:
    """The least that PEP 3333 asks for, of a server that has *body* and ends its input there.

    A read waits for as much as it asks for: one that asks for more than the body holds, and whose server does not
    end the input, is one that hangs.
    """

    ends = True

    def __init__(self, body: bytes, *, truncated: bool = False) -> None:
        self.file = io.BytesIO(body)
        self.truncated = truncated

    def read(self, size: int) -> bytes:
        assert size > 0, "PEP 3333 has no read() without a size on every server"
        piece = self.file.read(size)
        if len(piece) < size and self.truncated:
            return self.cut_short(piece)
        if len(piece) < size and not self.ends:
            raise AssertionError("waits for bytes that never come")
        return piece

    def readline(self, size: int = -1) -> NoReturn:
        raise NotImplementedError

    def cut_short(self, piece: bytes) -> bytes:
        return piece


class EndlessInput(Input):
    """Any server that does not end its input at the declared length."""

    ends = False


class GunicornChunked(Input):
    """Gunicorn, sync, gthread and gevent: NoMoreData is an IOError, and its parser is at its end afterwards."""

    def cut_short(self, piece: bytes) -> bytes:
        self.truncated = False
        raise OSError("No more data after: None")


class ChunkMissingTerminator(Exception):
    """What Gunicorn raises when the client goes away right after the data of a chunk."""


ChunkMissingTerminator.__module__ = "gunicorn.http.errors"


class GunicornChunkEnd(Input):
    """Gunicorn, sync, gthread and gevent, at the end of a chunk."""

    def cut_short(self, piece: bytes) -> bytes:
        self.truncated = False
        raise ChunkMissingTerminator(b"")


class GeventInput(Input):
    """gevent.pywsgi, and uWSGI with a length."""

    def cut_short(self, piece: bytes) -> bytes:
        raise OSError("unexpected end of file while reading request at position 3")


class CherootChunked(Input):
    """cheroot's ChunkedRFile."""

    def cut_short(self, piece: bytes) -> bytes:
        raise ValueError("Bad chunked transfer size: b''")


class CherootLength(Input):
    """cheroot's KnownLengthRFile: what is left when the headers are sent is gone."""

    def send_headers(self) -> None:
        self.file.read()


class EventletChunked(Input):
    """eventlet.wsgi: an OSError or, inside the framing, a ValueError; and after it the end of the input."""

    def cut_short(self, piece: bytes) -> bytes:
        self.truncated = False
        raise ValueError("invalid literal for int() with base 16: b''")


class GranianInput(Input):
    """Granian loses all of a body that ends early, and says nothing."""

    def cut_short(self, piece: bytes) -> bytes:
        return b""


class TwistedInput(Input):
    """twisted.web.wsgi's _InputStream."""


TwistedInput.__module__ = "twisted.web.wsgi"


class Broken:
    """An input whose read raises, or returns, what it is told."""

    def __init__(self, *results: bytes | BaseException | None) -> None:
        self.results = list(results)

    def read(self, size: int) -> bytes | None:
        result = self.results.pop(0)
        if isinstance(result, BaseException):
            raise result
        return result


def environ_of(source: object, *parts: dict[str, Any], **variables: str) -> Environ:
    environ: Environ = {"REQUEST_METHOD": "POST", "wsgi.input": source}
    for part in parts:
        environ.update(part)
    environ.update(variables)
    return environ


def opened(source: object, *parts: dict[str, Any], **variables: str) -> RequestBody:
    body = open_body(environ_of(source, *parts, **variables))
    assert body is not None
    return body


def read_all(body: RequestBody, size: int = SIZE) -> bytes:
    return b"".join(iter(lambda: body.read(size), b""))


@pytest.fixture
def uwsgi(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have a module ``uwsgi`` whose chunked_read gives one chunk after the other, and raises what is no bytes."""

    def have(*chunks: bytes | OSError) -> None:
        left = list(chunks)

        def chunked_read(timeout: int = 0) -> bytes:
            chunk = left.pop(0) if left else b""
            if isinstance(chunk, OSError):
                raise chunk
            return chunk

        monkeypatch.setitem(sys.modules, "uwsgi", SimpleNamespace(chunked_read=chunked_read))

    return have


# -- which body follows -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "variables"),
    [
        pytest.param({}, {}, id="no header"),
        pytest.param({}, {"CONTENT_LENGTH": ""}, id="empty length"),
        pytest.param({}, {"CONTENT_LENGTH": "0"}, id="length 0"),
        pytest.param(TERMINATED, {"CONTENT_LENGTH": "0"}, id="length 0, terminated"),
        pytest.param({}, {"HTTP_TRANSFER_ENCODING": ""}, id="empty transfer coding"),
        pytest.param({"wsgi.input_terminated": False}, {}, id="not terminated"),
        pytest.param(TERMINATED, {"REQUEST_METHOD": "GET"}, id="GET"),
        pytest.param(TERMINATED, {"REQUEST_METHOD": "HEAD"}, id="HEAD"),
        pytest.param(WSGIREF, {}, id="wsgiref"),
        pytest.param(UWSGI, {}, id="uWSGI"),
    ],
)
def test_no_body_can_follow(parts: dict[str, Any], variables: dict[str, str]) -> None:
    """RFC 9112, 6.3: neither a length nor a transfer coding means no body."""
    assert open_body(environ_of(EndlessInput(b""), parts, **variables)) is None


def test_opening_reads_nothing() -> None:
    """A client that waits for 100 Continue sends when the application reads, and the server asks it then."""
    source = raw()

    assert [
        type(open_body(environ_of(source, part)))
        for part in ({"CONTENT_LENGTH": "5"}, TERMINATED, {**WSGIREF, **CHUNKED})
    ] == [RequestBody] * 3


@pytest.mark.parametrize(
    ("parts", "length"),
    [
        pytest.param({"CONTENT_LENGTH": "5"}, 5, id="declared"),
        pytest.param({"CONTENT_LENGTH": "5", **TERMINATED}, 5, id="declared and terminated"),
        pytest.param({"CONTENT_LENGTH": "5, 5"}, 5, id="repeated"),
        pytest.param({**CHUNKED, **TERMINATED}, None, id="chunked"),
        pytest.param({"CONTENT_LENGTH": "5", **CHUNKED, **TERMINATED}, None, id="chunked overrides the length"),
        pytest.param(TERMINATED, None, id="HTTP/2"),
    ],
)
def test_length_is_what_the_client_declared(parts: dict[str, Any], length: int | None) -> None:
    """RFC 9112, 6.3: a transfer coding overrides Content-Length."""
    assert opened(Input(b"hello"), parts).length == length


@pytest.mark.parametrize("length", ["-1", "five", "1e3", "5, 6", "0x10", " "])
def test_length_that_is_no_number_is_refused(length: str) -> None:
    """RFC 9112, 6.3: an invalid Content-Length is an error that cannot be recovered from."""
    with pytest.raises(BadRequest, match="Content-Length"):
        open_body(environ_of(EndlessInput(b""), CONTENT_LENGTH=length))


# -- a declared length --------------------------------------------------------------------------------------------

DECLARED: list[Any] = [
    pytest.param(lambda body: raw(body), id="wsgiref, werkzeug"),
    pytest.param(EndlessInput, id="endless"),
    pytest.param(Input, id="gunicorn"),
    pytest.param(io.BytesIO, id="waitress"),
    pytest.param(CherootLength, id="cheroot"),
    pytest.param(GeventInput, id="gevent"),
    pytest.param(GranianInput, id="granian"),
]


@pytest.mark.parametrize("make", DECLARED)
@pytest.mark.parametrize("size", [1, 2, 5, 6, SIZE])
def test_declared_body_arrives_whole(make: Callable[[bytes], Any], size: int) -> None:
    """Exactly Content-Length bytes, in pieces of any size, on every server."""
    assert read_all(opened(make(b"hello"), CONTENT_LENGTH="5"), size) == b"hello"


@pytest.mark.parametrize("size", [1, 2, 5, SIZE])
def test_declared_length_is_never_exceeded(size: int) -> None:
    """What follows on a raw socket is another request."""
    source = raw(b"helloGET / HTTP/1.1\r\n")

    assert (read_all(opened(source, CONTENT_LENGTH="5"), size), source.peek()[:3]) == (b"hello", b"GET")


def test_end_is_said_again_without_reading() -> None:
    """A raw socket would wait for ever."""
    body = opened(raw(b"hello"), CONTENT_LENGTH="5")
    body.read(SIZE)

    assert [body.read(SIZE) for _ in range(2)] == [b"", b""]


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: raw(b"hel", closed=True), id="wsgiref, werkzeug"),
        pytest.param(lambda: Input(b"hel", truncated=True), id="gunicorn, cheroot, eventlet"),
        pytest.param(lambda: Input(b"", truncated=True), id="nothing arrived"),
        pytest.param(lambda: GeventInput(b"hel", truncated=True), id="gevent, uWSGI"),
        pytest.param(lambda: GranianInput(b"hel", truncated=True), id="granian"),
        pytest.param(lambda: Broken(b"hel", TimeoutError("timed out")), id="timeout"),
        pytest.param(lambda: Broken(b"hel", EOFError()), id="end of file"),
        pytest.param(lambda: Broken(b"hel", ConnectionResetError(104, "Connection reset by peer")), id="reset"),
    ],
)
def test_truncated_declared_body_never_looks_complete(make: Callable[[], object]) -> None:
    """However a server shows that the client went away, the read raises; so does each later one."""
    body = opened(make(), CONTENT_LENGTH="5")

    with pytest.raises(ClientDisconnected, match="of 5 bytes"):
        read_all(body)
    with pytest.raises(ClientDisconnected, match="of 5 bytes"):
        body.read(SIZE)


def test_body_that_cheroot_threw_away_is_not_a_complete_one() -> None:
    """It drains what is unread when it sends the headers: read() then gives b""."""
    source = CherootLength(b"hello")
    body = opened(source, CONTENT_LENGTH="5")
    body.read(2)
    source.send_headers()

    with pytest.raises(ClientDisconnected, match="2 of 5 bytes"):
        body.read(SIZE)


# -- read1 and read -----------------------------------------------------------------------------------------------


def test_piece_does_not_wait_for_the_rest() -> None:
    """The input has read1, so what has arrived is handed over at once."""
    body = opened(raw(b"he"), CONTENT_LENGTH="5")

    assert body.read(SIZE) == b"he"


class NoRead1(io.BytesIO):
    """A read1 that is there by inheritance only."""

    def __init__(self, body: bytes, result: Exception | None) -> None:
        super().__init__(body)
        self.result = result

    def read1(self, size: int | None = -1, /) -> Any:
        if self.result is not None:
            raise self.result


@pytest.mark.parametrize(
    "result",
    [
        pytest.param(None, id="returns None"),
        pytest.param(NotImplementedError(), id="NotImplementedError"),
        pytest.param(io.UnsupportedOperation("read1"), id="UnsupportedOperation"),
    ],
)
def test_read_is_used_where_read1_does_not_work(result: Exception | None) -> None:
    """UnsupportedOperation is an OSError, and yet no client went away."""
    assert read_all(opened(NoRead1(b"hello", result), CONTENT_LENGTH="5"), 2) == b"hello"


def test_middleware_that_wraps_the_input_is_not_passed_by() -> None:
    """Its read() counts, or limits; a read1 that it only passes on is the server's."""

    class Shout:
        def __init__(self, source: Any) -> None:
            self.source = source

        def read(self, size: int) -> bytes:
            piece: bytes = self.source.read(size)
            return piece.upper()

        def __getattr__(self, name: str) -> Any:
            return getattr(self.source, name)

    assert read_all(opened(Shout(io.BytesIO(b"hello")), CONTENT_LENGTH="5")) == b"HELLO"


# -- an input that ends by itself ---------------------------------------------------------------------------------

ENDING: list[Any] = [
    pytest.param(lambda: Input(b"hello"), [CHUNKED, TERMINATED], id="gunicorn, werkzeug, granian"),
    pytest.param(lambda: GeventInput(b"hello"), [CHUNKED, TERMINATED], id="gevent"),
    pytest.param(lambda: CherootChunked(b"hello"), [CHUNKED, TERMINATED], id="cheroot"),
    pytest.param(lambda: Input(b"hello"), [TERMINATED], id="HTTP/2"),
    pytest.param(lambda: Input(b"hello"), [CHUNKED, TERMINATED, {"CONTENT_LENGTH": "3"}], id="chunked and a length"),
    pytest.param(lambda: Input(b"hello"), [CHUNKED, TERMINATED, {"REQUEST_METHOD": "GET"}], id="GET with a body"),
    pytest.param(lambda: EventletChunked(b"hello"), [CHUNKED, {"eventlet.input": None}], id="eventlet"),
    pytest.param(
        lambda: EventletChunked(b"hello"),
        [CHUNKED, {"eventlet.input": None, "CONTENT_LENGTH": "3"}],
        id="eventlet, both",
    ),
    pytest.param(lambda: TwistedInput(b"hello"), [CHUNKED, {"CONTENT_LENGTH": ""}], id="twisted"),
    pytest.param(lambda: io.BytesIO(b"hello"), [CHUNKED], id="tornado, uvicorn, hypercorn"),
    pytest.param(lambda: io.BytesIO(b"hello"), [CHUNKED, WSGIREF], id="collected by a middleware on wsgiref"),
]


@pytest.mark.parametrize(("make", "parts"), ENDING)
def test_body_goes_on_to_the_end_of_the_input(make: Callable[[], object], parts: list[dict[str, Any]]) -> None:
    """Every server that takes the coding off itself, whether it says so or is known to."""
    assert read_all(opened(make(), *parts), 2) == b"hello"


def test_end_of_the_input_is_not_read_again() -> None:
    """Gunicorn and others give b"" again; what a server does then is nothing to rely on."""
    source = Broken(b"hello", b"", AssertionError("read after the end"))
    body = opened(source, CHUNKED, TERMINATED)

    assert [body.read(SIZE) for _ in range(3)] == [b"hello", b"", b""]


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        pytest.param(lambda: GunicornChunked(b"hel", truncated=True), [TERMINATED], id="gunicorn"),
        pytest.param(lambda: GunicornChunkEnd(b"hel", truncated=True), [TERMINATED], id="gunicorn, at a chunk's end"),
        pytest.param(lambda: GeventInput(b"hel", truncated=True), [TERMINATED], id="gevent, werkzeug"),
        pytest.param(lambda: CherootChunked(b"hel", truncated=True), [TERMINATED], id="cheroot"),
        pytest.param(lambda: EventletChunked(b"hel", truncated=True), [{"eventlet.input": None}], id="eventlet"),
    ],
)
def test_truncated_chunked_body_never_looks_complete(make: Callable[[], object], parts: list[dict[str, Any]]) -> None:
    """Gunicorn and eventlet end their input after the error: the next read raises all the same."""
    body = opened(make(), CHUNKED, *parts)

    for _ in range(2):
        with pytest.raises(ClientDisconnected, match="after 0 bytes"):
            body.read(SIZE)


# -- what an input raises -----------------------------------------------------------------------------------------


def test_error_of_the_input_is_the_cause() -> None:
    """Behind WsgiToAsgi it says why: the client, the server, a shutdown."""
    original = ClientDisconnected("a shutdown ran into drain_timeout")
    body = opened(Broken(original), CHUNKED, TERMINATED)

    with pytest.raises(ClientDisconnected, match="drain_timeout") as caught:
        body.read(SIZE)
    assert caught.value.__cause__ is original


@pytest.mark.parametrize("error", [BodyTooLarge("too large"), RuntimeError("a limit"), KeyboardInterrupt()])
def test_any_other_error_goes_up_as_it_is(error: BaseException) -> None:
    """What is no disconnect has somebody who waits for it."""
    with pytest.raises(type(error)) as caught:
        opened(Broken(error), CHUNKED, TERMINATED).read(SIZE)
    assert caught.value is error


def test_nobody_reads_on_after_any_error() -> None:
    """The input may be at its end, or in the middle of something: neither is a complete body."""
    body = opened(Broken(RuntimeError("a limit"), b""), CHUNKED, TERMINATED)
    with pytest.raises(RuntimeError):
        body.read(SIZE)

    with pytest.raises(ClientDisconnected, match="earlier read"):
        body.read(SIZE)


@pytest.mark.parametrize("result", [None, b"hello!"])
def test_input_that_breaks_the_rules_is_named(result: bytes | None) -> None:
    """PEP 3333 has read(size) give bytes, at most as many as it is asked for."""
    with pytest.raises(ServerError, match=r"wsgi\.input\.read"):
        opened(Broken(result), CONTENT_LENGTH="5").read(SIZE)


# -- wsgiref: the framing as it came ------------------------------------------------------------------------------


def test_chunk_framing_of_wsgiref_is_taken_off() -> None:
    """Its input is the socket, which stays open."""
    source = raw(b"5\r\nhe", b"llo\r\n6;a=b\r\n world\r\n0\r\n", b"A: b\r\n\r\n")

    assert read_all(opened(source, WSGIREF, CHUNKED)) == b"hello world"


def test_wsgiref_ignores_the_length_of_a_chunked_body() -> None:
    """RFC 9112, 6.3: the transfer coding overrides it, and the framing is there."""
    source = raw(b"5\r\nhello\r\n0\r\n\r\n")

    assert read_all(opened(source, WSGIREF, CHUNKED, CONTENT_LENGTH="3")) == b"hello"


@pytest.mark.parametrize("coded", [b"", b"5\r\nhel", b"5\r\nhello\r\n", b"5\r\nhello\r\n0\r\n", b"five\r\n"])
def test_truncated_or_malformed_framing_never_looks_complete(coded: bytes) -> None:
    """Whether the client went away or cannot count, the body is not whole."""
    body = opened(raw(coded, closed=True), WSGIREF, CHUNKED)

    with pytest.raises(ClientDisconnected):
        read_all(body)
    with pytest.raises(ClientDisconnected):
        body.read(SIZE)


@pytest.mark.parametrize("coding", ["gzip, chunked", "chunked, gzip", "identity", "chunked, chunked"])
def test_wsgiref_understands_chunked_alone(coding: str) -> None:
    """RFC 9112, 6.1 and 6.3: where another coding ends is not known, or what it holds is not the body."""
    with pytest.raises(BadRequest, match="chunked"):
        open_body(environ_of(raw(), WSGIREF, HTTP_TRANSFER_ENCODING=coding))


def test_coding_is_named_in_any_case() -> None:
    """RFC 9112, 7: names of transfer codings are case-insensitive."""
    source = raw(b"5\r\nhello\r\n0\r\n\r\n")

    assert read_all(opened(source, WSGIREF, HTTP_TRANSFER_ENCODING=" Chunked")) == b"hello"


# -- uWSGI --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 5, SIZE])
def test_chunks_of_uwsgi_are_read_through_its_module(uwsgi: Callable[..., None], size: int) -> None:
    """wsgi.input is empty, and a chunk is as long as the client made it."""
    uwsgi(b"hello", b" world")

    assert read_all(opened(Input(b""), UWSGI, CHUNKED), size) == b"hello world"


@pytest.mark.parametrize(
    ("options", "body"),
    [
        pytest.param({"http-socket": b"127.0.0.1:80"}, b"hello world", id="clients"),
        pytest.param({"socket": b"127.0.0.1:80"}, b"hel", id="a front server"),
        pytest.param({"http-socket": b"127.0.0.1:80", "socket": b"127.0.0.1:81"}, b"hel", id="both"),
        pytest.param({}, b"hel", id="unknown"),
    ],
)
def test_chunks_of_uwsgi_are_read_beside_a_length(
    uwsgi: Callable[..., None], options: dict[str, bytes], body: bytes
) -> None:
    """RFC 9112, 6.3: the coding overrides the length. A front server has taken the coding off and set the length."""
    uwsgi(b"hello", b" world")
    sys.modules["uwsgi"].opt = options  # type: ignore[attr-defined]

    assert read_all(opened(Input(b"hello"), UWSGI, {**CHUNKED, "CONTENT_LENGTH": "3"}), 100) == body


def test_piece_of_uwsgi_is_no_longer_than_asked_for(uwsgi: Callable[..., None]) -> None:
    """The rest of the chunk comes with the next read, and no chunk is waited for in between."""
    uwsgi(b"hello", b"!")
    body = opened(Input(b""), UWSGI, CHUNKED)

    assert [body.read(3) for _ in range(4)] == [b"hel", b"lo", b"!", b""]


def test_truncated_chunks_of_uwsgi_never_look_complete(uwsgi: Callable[..., None]) -> None:
    """chunked_read raises when the client goes away, and when it is silent for --chunked-input-timeout."""
    uwsgi(b"hello", OSError("unable to receive chunked part"))
    body = opened(Input(b""), UWSGI, CHUNKED)
    body.read(SIZE)

    for _ in range(2):
        with pytest.raises(ClientDisconnected, match="after 5 bytes"):
            body.read(SIZE)


def test_only_the_chunks_of_uwsgi_are_bound_to_a_thread(uwsgi: Callable[..., None]) -> None:
    """chunked_read finds its request by the thread that calls it."""
    uwsgi()

    assert [
        opened(Input(b""), UWSGI, CHUNKED).thread_bound,
        opened(Input(b""), UWSGI, CONTENT_LENGTH="5").thread_bound,
        opened(Input(b""), CHUNKED, TERMINATED).thread_bound,
    ] == [True, False, False]


# -- servers that say nothing -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part",
    [
        pytest.param(UWSGI, id="uWSGI behind nginx"),
        pytest.param({"SERVER_SOFTWARE": "nginx/1.27.0"}, id="FastCGI behind nginx"),
    ],
)
def test_length_that_a_front_server_has_set_counts(uwsgi: Callable[..., None], part: dict[str, Any]) -> None:
    """nginx collects a chunked body, sets CONTENT_LENGTH, and passes Transfer-Encoding on: RFC 3875, 4.1.2."""
    uwsgi(OSError("unable to receive chunked part"))

    assert read_all(opened(EndlessInput(b"hello"), part, CHUNKED, CONTENT_LENGTH="5")) == b"hello"


@pytest.mark.parametrize(
    "part",
    [
        pytest.param({}, id="unknown"),
        pytest.param({"wsgi.input_terminated": False}, id="unknown, says it does not end"),
        pytest.param(UWSGI, id="uWSGI without its module"),
    ],
)
def test_body_without_an_end_is_refused(part: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading on might hang for ever; the refusal says what to do."""
    monkeypatch.delitem(sys.modules, "uwsgi", raising=False)

    with pytest.raises(LengthRequired, match=r"Content-Length.*wsgi\.input_terminated") as caught:
        open_body(environ_of(raw(), part, CHUNKED))
    assert caught.value.status == 411


# -- any body, any way --------------------------------------------------------------------------------------------


def frame(chunks: Iterable[bytes]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in [*chunks, b""])


@given(
    segments=st.lists(st.binary(min_size=1, max_size=50), max_size=10),
    lengths=st.lists(st.integers(min_value=1, max_value=60), min_size=1, max_size=5),
    chunked=st.booleans(),
)
def test_any_body_in_any_segments_is_read_whole(segments: list[bytes], lengths: list[int], chunked: bool) -> None:
    """Pieces hold 1 to as many bytes as were asked for, and together they are the body."""
    whole = b"".join(segments)
    if chunked:
        body = open_body(environ_of(raw(frame(segments)), WSGIREF, CHUNKED))
    else:
        body = open_body(environ_of(raw(*segments), WSGIREF, CONTENT_LENGTH=str(len(whole))))
    read = bytearray()
    while body is not None:
        size = lengths[len(read) % len(lengths)]
        piece = body.read(size)
        if not piece:
            break
        assert len(piece) <= size
        read += piece

    assert read == whole


@given(body=st.binary(min_size=1, max_size=60), sent=st.integers(min_value=0, max_value=59), size=st.integers(1, 70))
def test_any_declared_body_cut_short_raises(body: bytes, sent: int, size: int) -> None:
    """Wherever the client goes away, and however little is asked for at a time."""
    source = raw(body[: min(sent, len(body) - 1)], closed=True)

    with pytest.raises(ClientDisconnected):
        read_all(opened(source, CONTENT_LENGTH=str(len(body))), size)

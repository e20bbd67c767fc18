"""wsgi.input over receive(): the bytes of the client, no more and no less, and never half of them as all."""

import asyncio
import io
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.errors import BodyTooLarge, BridgeError, ClientDisconnected, ServerError
from bridge.loop_thread import Crossing, LoopClosed, Signal, Task
from bridge.wsgi_to_asgi import request_body
from bridge.wsgi_to_asgi.request_body import RequestBody, collect
from tests.asgi import TIMEOUT, Message, Receive, request_messages

T = TypeVar("T")

DISCONNECT: Message = {"type": "http.disconnect"}


class HandWaiter:
    """A waiter for a coroutine that the test drives by hand: it waits by yielding itself."""

    def __init__(self) -> None:
        self.released = False

    def done(self) -> bool:
        return self.released

    def set_result(self, result: None, /) -> None:
        self.released = True

    def __await__(self) -> Generator[Any, None, None]:
        if not self.released:
            yield self


class _NoTasks:
    """What RequestBody does not use of a crossing."""

    loop = None

    def start(self, function: Callable[[], Coroutine[Any, Any, None]]) -> Task:
        raise NotImplementedError

    async def finish(self, task: Task) -> None:
        raise NotImplementedError

    def call(self, function: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> T:
        raise NotImplementedError

    def cancel_calls(self, tasks: Sequence[asyncio.Task[Any]]) -> None:
        raise NotImplementedError


class SameThread(_NoTasks):
    """A crossing that leads nowhere: letters are delivered where they are posted, at once."""

    def post(self, letter: Callable[[], object]) -> None:
        letter()

    def waiter(self) -> HandWaiter:
        return HandWaiter()


class ToClosedLoop(SameThread):
    """A crossing whose event loop is gone."""

    def post(self, letter: Callable[[], object]) -> None:
        raise LoopClosed


class ToLoop(_NoTasks):
    """A crossing to an asyncio loop that runs in another thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def post(self, letter: Callable[[], object]) -> None:
        self._loop.call_soon_threadsafe(letter)

    def waiter(self) -> "asyncio.Future[None]":
        return self._loop.create_future()


@pytest.fixture(scope="module")
def other_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """An asyncio loop that runs in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT)
    loop.close()


def make_body(
    length: int | None = None,
    *,
    limit: int = 65536,
    max_size: int | None = None,
    crossing: Crossing | None = None,
    begin: Callable[[], None] | None = None,
) -> RequestBody:
    """A body without messages yet; nothing but *length* matters unless it is said."""
    return RequestBody(length, limit=limit, max_size=max_size, crossing=crossing or SameThread(), begin=begin)


def feed(body: RequestBody, *messages: Message) -> RequestBody:
    """Give *messages* to the body as its exchange does, the disconnect included."""
    run(pump(body, receive_from(messages)))
    return body


async def pump(body: RequestBody, receive: Receive) -> None:
    """Do as the listener of an exchange does."""
    if not await body.pump(receive):
        body.abort(ClientDisconnected("the client disconnected"))


def receive_from(messages: Iterable[Message]) -> Receive:
    """A receive() that gives *messages*, and is not called after the last."""
    left = iter(messages)

    async def receive() -> Message:
        try:
            return next(left)
        except StopIteration:
            raise AssertionError("receive() was called after the last message") from None

    return receive


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive to its end what never has to wait."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("it waits")


def in_thread(function: Callable[[], T]) -> "Future[T]":
    """Call what may block. In a daemon thread: one that never wakes up fails its test and not the whole run."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def within_timeout(function: Callable[[], T]) -> T:
    """Call what blocks only where it is broken."""
    return in_thread(function).result(TIMEOUT)


class AnnouncedSignal(Signal):
    """A signal that tells the test when a thread is about to wait for it."""

    __slots__ = ()

    waiting = threading.Event()

    def wait(self, timeout: float | None = None) -> None:
        self.waiting.set()
        super().wait(timeout)


@pytest.fixture
def reader_waits(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a read has found nothing and waits."""
    monkeypatch.setattr(AnnouncedSignal, "waiting", threading.Event())
    monkeypatch.setattr(request_body, "Signal", AnnouncedSignal)
    return AnnouncedSignal.waiting


# -- bytes in, bytes out --------------------------------------------------------------------------------------

READS: dict[str, Callable[[io.BufferedIOBase, int], object]] = {
    "read(n)": lambda stream, size: stream.read(size),
    "readline()": lambda stream, size: stream.readline(),
    "readline(n)": lambda stream, size: stream.readline(size),
    "readlines(n)": lambda stream, size: stream.readlines(size),
    "next()": lambda stream, size: next(stream, None),
    "readinto(n)": lambda stream, size: read_into(stream, size),
}


def read_into(stream: io.BufferedIOBase, size: int) -> bytes:
    """Read as Werkzeug does where it can."""
    buffer = bytearray(size)
    return bytes(buffer[: stream.readinto(buffer)])


def read_all(stream: io.BufferedIOBase, reads: list[tuple[str, int]]) -> list[object]:
    """Do the *reads*, take what is left, and read on after the end."""
    results = [READS[how](stream, size) for how, size in reads]
    return [*results, stream.readline(), stream.read(), stream.read(), stream.read(1)]


def exhaust(read: Callable[[], object], got: list[Any]) -> None:
    """Read into *got* until there is nothing."""
    while result := read():
        got.append(result)


@settings(deadline=None)
@given(
    chunks=st.lists(st.binary(max_size=9) | st.sampled_from([b"\n", b"line\n", b"x" * 9000]), min_size=1, max_size=8),
    reads=st.lists(st.tuples(st.sampled_from(list(READS)), st.integers(0, 12)), max_size=8),
    declared=st.booleans(),
    limit=st.integers(1, 20),
)
def test_reads_give_the_bytes_that_came(
    other_thread: asyncio.AbstractEventLoop,
    chunks: list[bytes],
    reads: list[tuple[str, int]],
    declared: bool,
    limit: int,
) -> None:
    """PEP 3333, "Input and Error Streams": read as from a file, here one in memory, however the messages were cut."""
    whole = b"".join(chunks)
    body = make_body(len(whole) if declared else None, limit=limit, crossing=ToLoop(other_thread))
    pumped = asyncio.run_coroutine_threadsafe(pump(body, receive_from(request_messages(*chunks))), other_thread)
    results = within_timeout(lambda: read_all(io.BufferedReader(body), reads))

    pumped.result(TIMEOUT)
    assert results == read_all(io.BufferedReader(io.BytesIO(whole)), reads)


def test_iteration_gives_lines() -> None:
    """PEP 3333: ``__iter__`` and ``readlines``."""
    body = feed(make_body(), *request_messages(b"a\nb", b"c\n", b"d"))

    assert list(io.BufferedReader(body)) == [b"a\n", b"bc\n", b"d"]


def test_no_body_is_the_end_at_once() -> None:
    """One empty message; its keys are optional (ASGI HTTP specification, "Request")."""
    body = feed(make_body(), {"type": "http.request"})

    assert (body.complete, body.read(), body.read(1)) == (True, b"", b"")


def test_empty_messages_are_not_the_end() -> None:
    """A read returns b"" only at the end: io.RawIOBase."""
    body = feed(make_body(), *request_messages(b"", b"a", b"", b"b", b""))

    assert [body.read(9) for _ in range(3)] == [b"a", b"b", b""]


def test_body_may_be_none_in_a_message() -> None:
    """Some servers and middleware send what is optional as None."""
    body = feed(make_body(), {"type": "http.request", "body": None, "more_body": True}, *request_messages(b"a"))

    assert body.read() == b"a"


# -- what ends early ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("length", "messages"),
    [
        pytest.param(10, [*request_messages(b"abc\n", b"de"), DISCONNECT], id="last message too early"),
        pytest.param(10, [*request_messages(b"abc\n", b"de", b"x")[:2], DISCONNECT], id="disconnect, length declared"),
        pytest.param(None, [*request_messages(b"abc\n", b"de", b"x")[:2], DISCONNECT], id="disconnect, no length"),
        pytest.param(10, [DISCONNECT], id="nothing came, length declared"),
        pytest.param(None, [DISCONNECT], id="nothing came, no length"),
    ],
)
@pytest.mark.parametrize("read", [*READS.values(), lambda stream, size: stream.read()], ids=[*READS, "read()"])
def test_body_that_breaks_off_never_reads_as_complete(
    length: int | None, messages: list[Message], read: Callable[[io.BufferedIOBase, int], object]
) -> None:
    """DESIGN.md: ClientDisconnected, an OSError, and again at every read after it; never the end."""
    stream = io.BufferedReader(feed(make_body(length), *messages))

    for _ in range(3):
        with pytest.raises(ClientDisconnected):
            exhaust(lambda: read(stream, 20), [])


def test_bytes_before_the_break_can_be_read() -> None:
    """They came; an application that takes them one by one sees them."""
    body = feed(make_body(10), *request_messages(b"abc", b"de"))

    assert [body.read(9), body.read(9)] == [b"abc", b"de"]
    with pytest.raises(ClientDisconnected, match="5 of 10"):
        body.read(9)


def test_first_error_is_the_one_that_is_read() -> None:
    """What follows, like the end of the exchange, is a consequence."""
    body = feed(make_body(10), *request_messages(b"abc"))
    body.abort(ServerError("later"))

    with pytest.raises(ClientDisconnected):
        body.read()


def test_body_that_is_complete_cannot_fail_any_more() -> None:
    """All is there: a client that leaves now has sent it all."""
    body = feed(make_body(3), *request_messages(b"abc"))
    body.abort(ClientDisconnected("gone"))

    assert (body.read(), body.read()) == (b"abc", b"")


# -- what is too long -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [3, 9, -1])
@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"abcde"], id="in one message"),
        pytest.param([b"abc", b"de"], id="after all that was declared"),
        pytest.param([b"ab", b"cde", b""], id="across the border"),
        pytest.param([b"abc", b"", b"de"], id="after an empty message"),
    ],
)
def test_body_longer_than_declared_never_reads_as_complete(chunks: list[bytes], size: int) -> None:
    """RFC 9112, 6.3: the length is where the body ends; a middleware that changed one has not changed the other."""
    stream = io.BufferedReader(feed(make_body(3), *request_messages(*chunks)))

    for _ in range(2):
        with pytest.raises(ServerError, match=r"Content-Length 3 and \d bytes"):
            stream.read(size)


def test_bytes_beyond_the_declared_length_are_never_read() -> None:
    """PEP 3333: reads simulate an end of file at CONTENT_LENGTH, at the latest."""
    body = feed(make_body(3), *request_messages(b"ab", b"cdefgh"))
    got: list[bytes] = []
    with pytest.raises(ServerError):
        exhaust(lambda: body.read(9), got)

    assert b"abc".startswith(b"".join(got))


@pytest.mark.parametrize("chunks", [[b"abc"], [b"a", b"b", b"c", b""]])
def test_body_as_long_as_max_size_is_read(chunks: list[bytes]) -> None:
    """The bound itself is allowed."""
    assert feed(make_body(max_size=3), *request_messages(*chunks)).read() == b"abc"


@pytest.mark.parametrize("chunks", [[b"abcd"], [b"abc", b"d"], [b"abc", b"d", b"e"]])
def test_body_over_max_size_fails(chunks: list[bytes]) -> None:
    """Issue 2: an error from the read if the length was not declared; the message names the option."""
    stream = io.BufferedReader(feed(make_body(max_size=3), *request_messages(*chunks)))

    for _ in range(2):
        with pytest.raises(BodyTooLarge, match="max_body_size, 3 bytes"):
            stream.read()


@pytest.mark.parametrize("wrong", [b"abcd", b"abcdefgh"])
def test_no_message_is_taken_after_the_body_has_failed(wrong: bytes) -> None:
    """The rest of a body that is refused would only fill memory."""
    taken = []

    async def receive() -> Message:
        taken.append(wrong)
        return {"type": "http.request", "body": wrong, "more_body": True}

    run(make_body(max_size=3).pump(receive))

    assert len(taken) == 1


# -- read-ahead -----------------------------------------------------------------------------------------------


class EndlessUpload:
    """A receive() that always has another message; counts the bytes it has given."""

    def __init__(self, size: int) -> None:
        self.given = 0
        self._size = size

    async def __call__(self) -> Message:
        self.given += self._size
        return {"type": "http.request", "body": b"x" * self._size, "more_body": True}


@settings(deadline=None)
@given(
    size=st.integers(1, 50),
    limit=st.integers(1, 100),
    reads=st.lists(st.integers(1, 60), max_size=20),
)
def test_loop_is_never_further_ahead_than_the_limit_and_one_message(size: int, limit: int, reads: list[int]) -> None:
    """DESIGN.md: read-ahead is bounded; and it goes on as soon as there is room, so no reader waits in vain."""
    upload = EndlessUpload(size)
    body = make_body(limit=limit)
    pumping = body.pump(upload)
    waiter: HandWaiter = pumping.send(None)
    consumed = 0
    for wanted in reads:
        assert limit <= upload.given - consumed < limit + size
        assert not waiter.released
        consumed += len(body.read(wanted) or b"")
        assert waiter.released == (upload.given - consumed < limit)
        if waiter.released:
            waiter = pumping.send(None)
    pumping.close()


def test_slow_reader_gets_a_long_body_through_a_small_buffer(other_thread: asyncio.AbstractEventLoop) -> None:
    """Pump and reader take turns a thousand times, on two threads, and neither is forgotten."""
    chunks = [b"%05d" % number for number in range(1000)]
    body = make_body(5000, limit=7, crossing=ToLoop(other_thread))
    pumped = asyncio.run_coroutine_threadsafe(pump(body, receive_from(request_messages(*chunks))), other_thread)
    got = within_timeout(lambda: b"".join(iter(lambda: body.read(3) or b"", b"")))

    pumped.result(TIMEOUT)
    assert got == b"".join(chunks)


# -- the first read -------------------------------------------------------------------------------------------


def test_begin_is_called_at_the_first_read_only() -> None:
    """RFC 9110, 10.1.1: the first receive() sends "100 Continue", so nobody calls it before the application reads."""
    begun: list[int] = []

    def begin() -> None:
        begun.append(len(begun))
        body.feed(b"abc", False)

    body = make_body(3, begin=begin)
    assert begun == []

    assert [body.read(1), body.read(), body.read()] == [b"a", b"bc", b""]
    assert begun == [0]


def test_begin_is_called_on_the_loop(other_thread: asyncio.AbstractEventLoop) -> None:
    """It starts a task there."""
    threads = []

    def begin() -> None:
        threads.append(threading.current_thread())
        body.feed(b"abc", False)

    body = make_body(3, crossing=ToLoop(other_thread), begin=begin)

    assert within_timeout(body.readall) == b"abc"
    loops_thread = asyncio.run_coroutine_threadsafe(current_thread(), other_thread).result(TIMEOUT)
    assert threads == [loops_thread]


async def current_thread() -> threading.Thread:
    """The thread of the event loop."""
    return threading.current_thread()


def test_every_read_fails_when_the_loop_is_gone() -> None:
    """Nothing can come any more; a second read must not wait for it."""
    body = make_body(3, crossing=ToClosedLoop(), begin=lambda: None)

    for _ in range(2):
        with pytest.raises(ClientDisconnected, match="loop was closed"):
            within_timeout(body.readall)


# -- waiting --------------------------------------------------------------------------------------------------


def test_read_waits_for_the_next_message(reader_waits: threading.Event) -> None:
    """A read blocks its worker thread until a byte is there."""
    body = make_body(3)
    read = in_thread(lambda: body.read(9))
    assert reader_waits.wait(TIMEOUT)
    assert not read.done()
    body.feed(b"abc", False)

    assert read.result(TIMEOUT) == b"abc"


def test_end_of_the_body_wakes_the_reader(reader_waits: threading.Event) -> None:
    """The last message may be empty."""
    body = make_body()
    read = in_thread(lambda: body.read(9))
    assert reader_waits.wait(TIMEOUT)
    body.feed(b"", False)

    assert read.result(TIMEOUT) == b""


@pytest.mark.parametrize(
    "error", [ClientDisconnected("the client left"), ServerError("broken"), BodyTooLarge("too large")]
)
def test_abort_wakes_the_reader(error: BridgeError, reader_waits: threading.Event) -> None:
    """Disconnect, cancellation and shutdown reach a read that waits; it raises what they say."""
    body = make_body(3)
    read = in_thread(lambda: body.read(9))
    assert reader_waits.wait(TIMEOUT)
    body.abort(error)

    with pytest.raises(type(error), match=str(error)):
        read.result(TIMEOUT)


def test_each_read_raises_an_error_of_its_own() -> None:
    """One exception raised twice would carry the traceback of both reads, and their frames."""
    body = make_body()
    cause = OSError("socket")
    error = ClientDisconnected("gone")
    error.__cause__ = cause
    body.abort(error)
    raised = []
    for _ in range(2):
        with pytest.raises(ClientDisconnected, match="gone") as caught:
            body.read()
        raised.append(caught.value)

    assert raised[0] is not raised[1]
    assert [again.__cause__ for again in raised] == [cause, cause]


# -- collect --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("messages", "limit", "expected"),
    [
        pytest.param(request_messages(b"abc"), 10, (b"abc", False), id="one message"),
        pytest.param(request_messages(b""), 10, (b"", False), id="empty"),
        pytest.param([{"type": "http.request"}], 10, (b"", False), id="keys left out"),
        pytest.param([{"type": "http.request", "body": None}], 10, (b"", False), id="body is None"),
        pytest.param(request_messages(b"ab", b"c"), 10, (b"abc", False), id="two messages"),
        pytest.param(request_messages(b"abc", b""), 10, (b"abc", False), id="second is empty, as Hypercorn has it"),
        pytest.param(request_messages(b"abc", b""), 3, (b"abc", False), id="as long as the limit"),
        pytest.param(request_messages(b"abcd"), 3, (b"abcd", False), id="one message over the limit"),
        pytest.param(request_messages(b"abcd", b"e")[:1], 3, (b"abcd", True), id="first is over, more to come"),
        pytest.param(request_messages(b"ab", b"cd", b"e")[:2], 3, (b"abcd", True), id="second is over, more to come"),
        pytest.param(request_messages(b"ab", b"cd"), 3, (b"abcd", False), id="second is over, and the last"),
        pytest.param([DISCONNECT], 10, None, id="client left before"),
        pytest.param([*request_messages(b"ab", b"c")[:1], DISCONNECT], 10, None, id="client left in the middle"),
    ],
)
def test_small_body_is_collected(messages: list[Message], limit: int, expected: tuple[bytes, bool] | None) -> None:
    """No message is taken after the last one, nor after the limit is passed: receive_from() would fail."""
    assert run(collect(receive_from(messages), limit)) == expected

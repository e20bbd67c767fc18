"""The request body in a cascade: each application gets it whole, and the server is asked for no more than is read."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import threading
import tracemalloc
from collections.abc import Callable
from typing import IO, Any

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from bridge.errors import ServerError
from bridge.mount.cascade import Cascade
from tests.asgi import (
    TIMEOUT,
    AsgiApplication,
    FakeServer,
    Message,
    Receive,
    Scope,
    Send,
    happened,
    on_asyncio,
    request_messages,
    serve,
    upload_scope,
    wait,
)

GONE = {"type": "http.disconnect"}


async def answer(send: Send, status: int, text: bytes = b"") -> None:
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": text})


async def read(receive: Receive) -> bytes:
    """Read a body to its end, or to where the client left."""
    got = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return bytes(got) + b" gone"
        got += message["body"]
        if not message["more_body"]:
            return bytes(got)


def reading(status: int, log: list[bytes] | None = None) -> AsgiApplication:
    """Make an application that answers with the body that it got."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        got = await read(receive)
        if log is not None:
            log.append(got)
        await answer(send, status, got)

    return application


async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
    """Be an application that reads nothing."""
    await answer(send, 404)


CHUNKS = [b"%04d" % number * 25 for number in range(50)]  # of 100 bytes
BODY = b"".join(CHUNKS)


@pytest.mark.parametrize("memory", [0, 250, 1_000_000])
async def test_body_is_given_to_each_application(memory: int) -> None:
    """Byte for byte, from memory and from the file."""
    log: list[bytes] = []

    server = await serve(
        Cascade([reading(404, log), reading(405, log), reading(200)], replay_memory=memory),
        upload_scope(len(BODY)),
        *request_messages(*CHUNKS),
    )

    assert (server.status, server.body, log) == (200, BODY, [BODY, BODY])
    assert server.receives == len(CHUNKS)


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([{"type": "http.request"}], id="empty"),
        pytest.param([{"type": "http.request", "body": b""}], id="empty too"),
        pytest.param(request_messages(b"a", b"", b"b", b""), id="empty chunks"),
        pytest.param(
            [*request_messages(bytearray(b"a"), memoryview(b"b")), {"type": "http.request", "body": b""}],  # type: ignore[arg-type]
            id="other bytes, and the end said twice",
        ),
    ],
)
async def test_any_form_of_body_is_replayed(messages: list[Message]) -> None:
    """ASGI HTTP specification, "Request": body and more_body may be left out."""
    log: list[bytes] = []

    server = await serve(Cascade([reading(404, log), reading(200)]), upload_scope(None), *messages)

    assert [server.body] == log
    assert server.body in (b"", b"ab")


@pytest.mark.parametrize("count", [0, 2])
async def test_what_is_not_read_is_not_asked_for(count: int) -> None:
    """The next application gets what was read and then the rest as it comes. Expect: 100-continue hangs on this."""
    asked: list[int] = []
    server = FakeServer(*request_messages(b"1", b"2", b"3", b"4"))

    async def reads_some(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(count):
            await receive()
        await answer(send, 404)

    async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(server.receives)
        for _ in range(count):
            await receive()
        asked.append(server.receives)
        await answer(send, 200, b"")

    await server.serve(Cascade([reads_some, reads_all], replay_memory=0), upload_scope(4))

    assert asked[0] == count
    # What stays in memory is handed over as a whole, so a chunk or two may be read live here, but no more than asked.
    assert asked[1] <= 2 * count


async def test_rest_of_the_body_is_read_live() -> None:
    """A chunk at a time, as the server has it."""
    server = FakeServer(*request_messages(b"1", b"2")[:1])
    log: list[Any] = []

    async def reads_one(scope: Scope, receive: Receive, send: Send) -> None:
        log.append(await receive())
        await answer(send, 404)

    async def reads_on(scope: Scope, receive: Receive, send: Send) -> None:
        log.append(await receive())
        log.append(await receive())
        await answer(send, 200)

    async with server.serving(Cascade([reads_one, reads_on]), upload_scope(2)):
        await server.until(lambda: server.receives == 2)
        server.feed({"type": "http.request", "body": b"2", "more_body": False})

    first = {"type": "http.request", "body": b"1", "more_body": True}
    assert log == [first, first, {"type": "http.request", "body": b"2", "more_body": False}]


async def test_receive_waits_for_the_disconnect_after_the_body() -> None:
    """In each application."""
    server = FakeServer(*request_messages(b"a"))
    log: list[Any] = []

    async def watches(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        with anyio.move_on_after(0):
            log.append(await receive())
        await answer(send, 404)

    async def waits(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        log.append(await receive())

    async with server.serving(Cascade([watches, waits]), upload_scope(1)):
        await server.until(lambda: server.sent)
        assert log == []
        server.disconnect()

    assert log == [GONE]


async def test_client_that_leaves_has_left_for_all() -> None:
    """After what came before; a body that broke off looks whole to nobody."""
    server = FakeServer(*request_messages(b"a", b"b")[:1])
    log: list[bytes] = []
    server.disconnect()

    await server.serve(Cascade([reading(404, log), reading(200)]), upload_scope(2))

    assert (log, server.body) == ([b"a gone"], b"a gone")


@pytest.mark.parametrize("early", [False, True], ids=["it waits", "it comes"])
async def test_message_on_its_way_when_an_answer_is_refused_is_not_lost(early: bool) -> None:
    """The refused application waits for it, as a task does that listens for a disconnect; the next one gets it."""
    server = FakeServer(*request_messages(b"1", b"2", b"3")[:1])
    second, go_on = anyio.Event(), anyio.Event()

    async def listens(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, receive)
            await server.until(lambda: server.receives == 2)
            await answer(send, 404)
            tasks.cancel_scope.cancel()

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        second.set()
        await go_on.wait()
        await reading(200)(scope, receive, send)

    async with server.serving(Cascade([listens, reads], replay_memory=0), upload_scope(3)):
        await second.wait()
        if not early:  # the next one has read what there was when the message comes
            go_on.set()
            await anyio.wait_all_tasks_blocked()
        server.feed(*request_messages(b"2", b"3"))
        await anyio.wait_all_tasks_blocked()
        go_on.set()

    assert server.body == b"123"


@pytest.mark.parametrize("others", [[], [refusing]], ids=["first", "last"])
async def test_receive_that_is_cancelled_loses_nothing(others: list[AsgiApplication]) -> None:
    """The message is there at the next call."""
    server = FakeServer()
    cancelled = anyio.Event()

    async def impatient(scope: Scope, receive: Receive, send: Send) -> None:
        with anyio.move_on_after(0):
            await receive()
        cancelled.set()
        await answer(send, 200, await read(receive))

    rest = [] if others else [refusing]
    async with server.serving(Cascade([*others, impatient, *rest]), upload_scope(2)):
        await cancelled.wait()
        server.feed(*request_messages(b"1", b"2"))

    assert server.body == b"12"


async def test_two_calls_of_receive_get_a_message_each() -> None:
    """Whichever is first."""
    server = FakeServer()
    log: list[Any] = []

    async def reads_twice(scope: Scope, receive: Receive, send: Send) -> None:
        async def one() -> None:
            log.append((await receive())["body"])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one)
            tasks.start_soon(one)
        await answer(send, 404)

    async with server.serving(Cascade([reads_twice, reading(200)]), upload_scope(2)):
        await server.until(lambda: server.receives == 1)
        server.feed(*request_messages(b"1", b"2"))

    assert (sorted(log), server.body) == ([b"1", b"2"], b"12")


async def test_error_of_receive_reaches_the_application() -> None:
    """And through it the server. Whoever is asked next gets it as well."""
    server = FakeServer()
    server.fail_receive(RuntimeError("receive() is broken"))
    caught: list[str] = []

    async def catches(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await receive()
        except RuntimeError as error:
            caught.append(str(error))
        await answer(send, 404)

    with pytest.raises(RuntimeError, match=r"receive\(\) is broken"):
        await server.serve(Cascade([catches, reading(200)]), upload_scope(1))

    assert caught == ["receive() is broken"]


async def test_message_that_is_none_of_a_request_is_an_error() -> None:
    """It could not be given again."""
    with pytest.raises(ServerError, match=r"the server sent one|'http\.unheard'"):
        await serve(Cascade([reading(404), reading(200)]), upload_scope(1), {"type": "http.unheard"})


# -- limits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [199, 200])
async def test_body_up_to_the_limit_is_replayed(size: int) -> None:
    """That of the option included."""
    chunks = [b"x" * 100, b"x" * (size - 100), b""]  # the end is asked for as well

    server = await serve(
        Cascade([reading(404), reading(200)], replay_limit=200), upload_scope(size), *request_messages(*chunks)
    )

    assert (server.status, server.body) == (200, b"x" * size)


async def test_longer_body_is_whole_for_the_application_that_accepts_it() -> None:
    """The limit is one of the replay, not of requests."""
    server = await serve(
        Cascade([reading(200), refusing], replay_memory=100, replay_limit=300),
        upload_scope(len(BODY)),
        *request_messages(*CHUNKS),
    )

    assert (server.status, server.body) == (200, BODY)


async def test_longer_body_is_no_matter_to_an_application_that_is_asked_first_to_read_it() -> None:
    """What the first does not read need not be kept."""
    server = await serve(
        Cascade([refusing, reading(200)], replay_memory=100, replay_limit=300),
        upload_scope(len(BODY)),
        *request_messages(*CHUNKS),
    )

    assert (server.status, server.body) == (200, BODY)


async def test_longer_body_that_falls_through_is_413(caplog: pytest.LogCaptureFixture) -> None:
    """RFC 9110, 15.5.14: the refused answer would be a lie. The log names the option."""

    async def never(scope: Scope, receive: Receive, send: Send) -> None:
        raise AssertionError("this application is not to be called")

    with caplog.at_level(logging.WARNING, logger="bridge"):
        server = await serve(
            Cascade([reading(404), never], replay_memory=100, replay_limit=300),
            upload_scope(len(BODY)),
            *request_messages(*CHUNKS),
        )

    assert (server.status, server.body) == (413, b"The request body is too large.\n")
    assert server.header(b"content-length") == [b"%d" % len(server.body)]
    assert "more than 300 bytes of the body of POST /" in caplog.text
    assert "option replay_limit" in caplog.text


class Upload:
    """A server's side of an upload that is made while it is read."""

    piece = bytes(range(256)) * 256  # 64 KiB

    def __init__(self, pieces: int) -> None:
        self.left = pieces
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        await anyio.lowlevel.checkpoint()
        self.left -= 1
        return {"type": "http.request", "body": self.piece, "more_body": self.left > 0}

    async def send(self, message: Message) -> None:
        self.sent.append(message)


def counting(status: int) -> AsgiApplication:
    """Make an application that counts a body, keeps none of it and says whether it was right."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        count, right, more = 0, True, True
        while more:
            message = await receive()
            chunk, more = message["body"], message["more_body"]
            right = right and chunk == Upload.piece[count % 65536 :][: len(chunk)]
            count += len(chunk)
        await answer(send, status, b"%d %r" % (count, right))

    return application


def test_upload_of_64_mib_takes_no_memory() -> None:
    """A few chunks at a time, whoever reads it. replay_memory is 64 KiB."""
    upload = Upload(1024)

    async def main() -> None:
        with anyio.fail_after(3 * TIMEOUT):
            await Cascade([counting(404), counting(404), counting(200)])(
                upload_scope(64 << 20), upload.receive, upload.send
            )

    tracemalloc.start()
    try:
        anyio.run(main)  # not in debug mode, which notes where every task comes from
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert upload.sent[0]["status"] == 200
    assert upload.sent[1]["body"] == b"67108864 True"
    assert peak < 2 << 20


# -- the file -----------------------------------------------------------------------------------------------------


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> list[IO[bytes]]:
    """The temporary files that were made."""
    made: list[IO[bytes]] = []
    original: Callable[..., IO[bytes]] = tempfile.TemporaryFile

    def make(*args: Any, **options: Any) -> IO[bytes]:
        file = original(*args, **options)
        made.append(file)
        return file

    monkeypatch.setattr(tempfile, "TemporaryFile", make)
    return made


class SlowDisk:
    """Makes the temporary files; what is written to them waits while it is held."""

    def __init__(self) -> None:
        self.held = False
        self.writing, self.go_on, self.closed = threading.Event(), threading.Event(), threading.Event()
        self.make_file: Callable[..., IO[bytes]] = tempfile.TemporaryFile

    def make(self, **options: Any) -> Any:
        return SlowFile(self, self.make_file(**options))


class SlowFile:
    def __init__(self, disk: SlowDisk, file: IO[bytes]) -> None:
        self._disk = disk
        self._file = file

    def write(self, data: bytes) -> int:
        if self._disk.held:
            self._disk.writing.set()
            wait(self._disk.go_on)
        return self._file.write(data)

    def close(self) -> None:
        self._file.close()
        self._disk.closed.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> SlowDisk:
    """What the temporary files are on."""
    disk = SlowDisk()
    monkeypatch.setattr(tempfile, "TemporaryFile", disk.make)
    return disk


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    await read(receive)
    raise ValueError("broken")


@pytest.mark.parametrize(
    "applications",
    [
        pytest.param([reading(200), refusing], id="accepted"),
        pytest.param([reading(404), reading(200)], id="fell through and read"),
        pytest.param([reading(404), refusing], id="fell through and not read"),
        pytest.param([fails, refusing], id="error of the first"),
        pytest.param([reading(404), fails], id="error of the last"),
    ],
)
async def test_file_is_closed_in_the_end(applications: list[AsgiApplication], files: list[IO[bytes]]) -> None:
    """On every way out."""
    try:
        await serve(Cascade(applications, replay_memory=100), upload_scope(len(BODY)), *request_messages(*CHUNKS))
    except ValueError as error:
        assert str(error) == "broken"  # noqa: PT017 - whether it comes is not what this is about

    assert [file.closed for file in files] == [True]


@pytest.mark.parametrize("first", [reading(404), None], ids=["while it is replayed", "while it is recorded"])
async def test_file_is_closed_by_a_cancellation(first: AsgiApplication | None, files: list[IO[bytes]]) -> None:
    """And by the client that leaves, which is the same for it."""
    server = FakeServer(*request_messages(*CHUNKS)[: None if first else 40])
    reads = anyio.Event()

    async def hangs(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(1 if first else 10):
            await receive()
        reads.set()
        await anyio.sleep_forever()

    cascade = Cascade([*([first] if first else []), hangs, refusing], replay_memory=100)
    async with server.serving(cascade, upload_scope(len(BODY))):
        await reads.wait()
        server.cancel()

    assert [file.closed for file in files] == [True]


async def test_file_is_closed_when_an_answer_is_accepted(files: list[IO[bytes]]) -> None:
    """A stream that goes on for hours does not keep an upload."""
    seen: list[bool] = []

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        await read(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        seen.extend(file.closed for file in files)
        await send({"type": "http.response.body"})

    await serve(Cascade([streams, refusing], replay_memory=100), upload_scope(len(BODY)), *request_messages(*CHUNKS))

    assert seen == [True]


async def test_longer_body_is_kept_no_longer(files: list[IO[bytes]]) -> None:
    """Beyond the limit the disk has none of it, while it is still being read."""
    seen: list[list[bool]] = []

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in CHUNKS:
            await receive()
            seen.append([file.closed for file in files])
        await answer(send, 200)

    await serve(
        Cascade([reads, refusing], replay_memory=100, replay_limit=300),
        upload_scope(len(BODY)),
        *request_messages(*CHUNKS),
    )

    assert (seen[3], seen[4], seen[-1]) == ([False], [True], [True])


async def test_file_is_closed_when_the_last_has_read_it(disk: SlowDisk) -> None:
    """Its answer may go on for hours too."""

    async def streams(scope: Scope, receive: Receive, send: Send) -> None:
        got = await read(receive)
        await happened(disk.closed)
        await answer(send, 200, got)

    server = await serve(
        Cascade([reading(404), streams], replay_memory=100), upload_scope(len(BODY)), *request_messages(*CHUNKS)
    )

    assert server.body == BODY


async def test_slow_disk_does_not_stop_the_event_loop(disk: SlowDisk) -> None:
    """Other exchanges go on while a thread writes."""
    disk.held = True
    server = FakeServer(*request_messages(*CHUNKS))

    async with server.serving(Cascade([reading(404), reading(200)], replay_memory=100), upload_scope(len(BODY))):
        await happened(disk.writing)
        other = await serve(Cascade([refusing, reading(200)]), upload_scope(1), *request_messages(b"x"))
        assert other.body == b"x"
        disk.go_on.set()

    assert server.body == BODY


async def test_message_that_comes_during_the_replay_goes_behind_it(disk: SlowDisk) -> None:
    """The refused application has asked for it; it is written where the file ends, while another place is read."""
    chunks = [b"%d" % number * 50_000 for number in range(7)]
    server = FakeServer(*request_messages(*chunks)[:5])
    begun, go_on, written = anyio.Event(), anyio.Event(), anyio.Event()

    async def listens(scope: Scope, receive: Receive, send: Send) -> None:
        for _ in range(5):
            await receive()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, receive)
            await server.until(lambda: server.receives == 6)
            await answer(send, 404)
            tasks.cancel_scope.cancel()

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        first = (await receive())["body"]
        begun.set()
        await go_on.wait()
        second = (await receive())["body"]
        await written.wait()
        await answer(send, 200, first + second + await read(receive))

    async with server.serving(Cascade([listens, reads], replay_memory=0), upload_scope(350_000)):
        await begun.wait()
        disk.held = True
        server.feed(*request_messages(*chunks)[5:])
        await happened(disk.writing)
        go_on.set()
        await anyio.wait_all_tasks_blocked()
        disk.go_on.set()
        written.set()

    assert server.body == b"".join(chunks)


@on_asyncio
async def test_read_of_the_file_that_was_left_alone_disturbs_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio's own cancellation does not wait for the thread, as anyio's does."""
    chunks = [b"%d" % number * 70_000 for number in range(8)]
    file = WatchedFile()
    monkeypatch.setattr(tempfile, "TemporaryFile", file.make)

    async def reads(scope: Scope, receive: Receive, send: Send) -> None:
        file.held = True
        left_alone = asyncio.ensure_future(receive())
        await happened(file.reading)
        left_alone.cancel()
        await asyncio.wait([left_alone], timeout=TIMEOUT)
        first = asyncio.ensure_future(receive())
        await asyncio.wait([first], timeout=0.05)  # it waits for the thread that reads
        file.go_on.set()
        await answer(send, 200, (await first)["body"] + await read(receive))

    server = await serve(
        Cascade([reading(404), reads], replay_memory=0), upload_scope(560_000), *request_messages(*chunks)
    )

    assert (server.body, file.disturbed) == (b"".join(chunks), False)


class WatchedFile:
    """A file of which one thread's read is held, and that knows when another thread comes between."""

    def __init__(self) -> None:
        self.held = self.disturbed = False
        self.reading, self.go_on = threading.Event(), threading.Event()
        self._make: Callable[..., IO[bytes]] = tempfile.TemporaryFile
        self._file: IO[bytes]

    def make(self, **options: Any) -> Any:
        self._file = self._make(**options)
        return self

    def seek(self, *position: int) -> int:
        self.disturbed = self.disturbed or (self.reading.is_set() and not self.go_on.is_set())
        return self._file.seek(*position)

    def read(self, size: int) -> bytes:
        if self.held:
            self.held = False
            self.reading.set()
            wait(self.go_on)
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


async def test_full_disk_is_an_error(monkeypatch: pytest.MonkeyPatch, files: list[IO[bytes]]) -> None:
    """Of the application that reads; a body with a hole in it would be worse."""

    def full(**options: Any) -> IO[bytes]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)

    with pytest.raises(OSError, match="No space left"):
        await serve(
            Cascade([reading(404), refusing], replay_memory=100), upload_scope(len(BODY)), *request_messages(*CHUNKS)
        )

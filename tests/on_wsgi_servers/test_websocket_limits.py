"""WebSockets of ASGI applications, once, on Gunicorn: what the server has no part in, and how its processes end."""

import asyncio
import os
import re
import signal
import threading
from collections.abc import Iterator

import pytest
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed

from compat_matrix.client import RawClient
from compat_matrix.servers import RECIPES, RunningServer
from compat_matrix.wire import TIMEOUT

from .conftest import start_server
from .test_websocket import by_hand, close_of, expect_log, get, opened, uri

MIB = 1 << 20


@pytest.fixture(scope="module")
def threaded() -> Iterator[RunningServer]:
    """Gunicorn with a thread for each of a hundred WebSockets."""
    recipe = RECIPES["gunicorn-gthread"]
    if missing := recipe.missing():
        pytest.skip(missing)
    with start_server(recipe, "--threads", "110", module="websocket_applications") as running:
        yield running
    assert not running.killed


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_a_hundred_at_once(threaded: RunningServer, loop: str) -> None:
    """All are open before any is closed, and each gets its own messages."""
    numbers = [str(number) for number in range(100)]

    async def ask() -> list[str | bytes]:
        websockets = await asyncio.gather(
            *(connect_async(uri(threaded, "/echo", loop), compression=None, open_timeout=TIMEOUT) for _ in numbers)
        )
        for number, websocket in zip(numbers, websockets, strict=True):
            await websocket.send(number)
        answers = [await websocket.recv() for websocket in websockets]
        await asyncio.gather(*(websocket.close() for websocket in websockets))
        return answers

    assert asyncio.run(asyncio.wait_for(ask(), TIMEOUT)) == numbers


def test_sixteen_mebibytes(threaded: RunningServer) -> None:
    """As much as max_message_size allows; text, binary, and not a byte more."""
    size = 16 * 1024 * 1024
    with opened(threaded, "/echo", max_size=None, compression=None) as websocket:
        for message in ("x" * size, bytes(size)):
            websocket.send(message)
            assert websocket.recv(TIMEOUT) == message
        websocket.send(bytes(size + 1))
        assert close_of(websocket)[0] == 1009


@pytest.mark.parametrize("loop", ["request", "shared"])
def test_messages_keep_their_order(threaded: RunningServer, loop: str) -> None:
    """Ten thousand of them; both sides speak at once, neither waits for the other's answer."""
    said = [str(number) for number in range(10_000)]

    with opened(threaded, "/echo", loop) as websocket:

        def speak() -> None:
            for one in said:
                websocket.send(one)

        writer = threading.Thread(target=speak)
        writer.start()
        heard = [websocket.recv(TIMEOUT) for _ in said]
        writer.join(TIMEOUT)

    assert heard == said


@pytest.mark.parametrize("code", [1000, 1001, 3000, 4999, None])
def test_clients_close_is_told(threaded: RunningServer, code: int | None) -> None:
    """And answered with the same; 1005 stands for one without a code. RFC 6455, 5.5.1 and 7.1.5."""
    before = len(threaded.log())
    with opened(threaded, "/echo") as websocket:
        if code is None:
            websocket.socket.sendall(b"\x88\x80\x00\x00\x00\x00")
        else:
            websocket.close(code, "bye")
        assert close_of(websocket) == ((1005, "") if code is None else (code, "bye"))
    expect_log(threaded, f"ended with {code or 1005} '{'bye' if code else ''}'", before)


def test_slow_reader_takes_no_memory(threaded: RunningServer) -> None:
    """The application waits: what it has sent lies in the connection's buffers, and nowhere else."""
    before, log_before = int(get(threaded, "/request/memory")), len(threaded.log())
    with by_hand(threaded, "/request/sends") as client:
        client.recv(1)
        grown = int(get(threaded, "/request/memory")) - before
    expect_log(threaded, r"\d+ sent, then ClientDisconnected", log_before)
    sent = re.findall(r"(\d+) sent", threaded.log()[log_before:])[0]
    assert int(sent) * 65_536 < 16_000_000  # Linux: 4 MB to send and 6 MB to receive at most
    assert grown < 8 * MIB


def test_slow_application_takes_no_memory(threaded: RunningServer) -> None:
    """The client can send what the connection's buffers take, and no more; then the application receives all of it."""
    frame = b"\x82\xff" + (65_536).to_bytes(8, "big") + bytes(4 + 65_536)
    before = int(get(threaded, "/shared/memory"))
    with by_hand(threaded, "/shared/drowsy") as client:
        assert client.recv(8) == b"\x81\x06asleep"
        client.settimeout(0.5)
        sent = 0
        try:
            while sent < 128 * MIB:
                sent += client.send(memoryview(frame)[sent % len(frame) :])
        except TimeoutError:
            pass
        grown = int(get(threaded, "/shared/memory")) - before
        client.settimeout(TIMEOUT)
        get(threaded, "/shared/hurry")
        messages = -(-sent // len(frame))
        client.sendall(frame[sent % len(frame) :] if sent % len(frame) else b"")
        client.sendall(b"\x81\x83\x00\x00\x00\x00end")
        answer = client.recv(4096)

    assert (sent < 16 * MIB, grown < 8 * MIB) == (True, True)
    received = b"%d" % (messages * 65_536)
    assert answer.startswith(bytes([0x81, len(received)]) + received)


# What RFC 6455, 7.4.1, has 1007 and 1002 for, all of it masked with zeros but for the first.
_WRONG = {
    "a frame without a mask": (b"\x81\x02hi", 1002),
    "an opcode that is reserved": (b"\x83\x80\x00\x00\x00\x00", 1002),
    "a bit that is reserved": (b"\xa1\x82\x00\x00\x00\x00hi", 1002),
    "compressed, where that was not agreed on": (b"\xc1\x82\x00\x00\x00\x00hi", 1002),
    "a continuation of nothing": (b"\x80\x82\x00\x00\x00\x00hi", 1002),
    "a message inside another": (b"\x01\x82\x00\x00\x00\x00hi\x81\x82\x00\x00\x00\x00hi", 1002),
    "a ping in fragments": (b"\x09\x80\x00\x00\x00\x00", 1002),
    "a ping that is too long": (b"\x89\xfe\x00\x7e" + bytes(4 + 126), 1002),
    "a close of one byte": (b"\x88\x81\x00\x00\x00\x00\x03", 1002),
    "a close with 1005": (b"\x88\x82\x00\x00\x00\x00\x03\xed", 1002),
    "not UTF-8 in two fragments": (b"\x01\x81\x00\x00\x00\x00\xc3\x80\x81\x00\x00\x00\x00(", 1007),
    "a reason that is not UTF-8": (b"\x88\x83\x00\x00\x00\x00\x03\xe8\xff", 1007),
}


@pytest.mark.parametrize("what", _WRONG)
def test_frames_that_are_not_allowed_have_their_code(threaded: RunningServer, what: str) -> None:
    """The client and the application get it."""
    frames, code = _WRONG[what]
    before = len(threaded.log())
    with opened(threaded, "/echo", compression=None) as websocket:
        websocket.socket.sendall(frames)
        assert close_of(websocket)[0] == code
    expect_log(threaded, f"ended with {code}", before)


def test_one_more_than_the_server_has_threads_waits() -> None:
    """A WebSocket holds one of them; a request that comes meanwhile is served when the first has ended."""
    recipe = RECIPES["gunicorn-gthread"]
    if missing := recipe.missing():
        pytest.skip(missing)
    with (
        start_server(recipe, "--threads", "2", module="websocket_applications") as server,
        opened(server, "/echo") as first,
        opened(server, "/echo") as second,
        RawClient(server.host, server.port, TIMEOUT) as client,
    ):
        client.get("/request/")
        for number in range(100):
            second.send(str(number))
            assert second.recv(TIMEOUT) == str(number)
        client.socket.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.socket.recv(1)
        client.socket.settimeout(TIMEOUT)
        first.close()
        assert client.read_response().body == b"hello"


def test_worker_that_is_killed_ends_its_websockets(threaded: RunningServer) -> None:
    """The client hears of it, idle or not, and the next is served by another worker."""
    worker = int(get(threaded, "/request/pid"))
    before = len(threaded.log())
    with opened(threaded, "/echo") as idle, by_hand(threaded, "/request/sends") as sending:
        sending.recv(1)
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(ConnectionClosed) as ended:
            idle.recv(TIMEOUT)
        assert ended.value.rcvd is None
        try:
            while sending.recv(MIB):
                pass
        except ConnectionResetError:
            pass  # FIN or RST, by what the kernel had not read yet
    expect_log(threaded, "Booting worker", before)
    assert get(threaded, "/request/") == b"hello"
    with opened(threaded, "/returns") as websocket:
        assert close_of(websocket) == (1000, "")


def test_shutdown_cuts_websockets_off() -> None:
    """Gunicorn waits for them as for requests, and no longer than --graceful-timeout."""
    recipe = RECIPES["gunicorn-gthread"]
    if missing := recipe.missing():
        pytest.skip(missing)
    with start_server(recipe, "--graceful-timeout", "1", module="websocket_applications") as server:
        with opened(server, "/echo") as websocket:
            server.terminate()
            websocket.send("still served")
            assert websocket.recv(TIMEOUT) == "still served"
            with pytest.raises(ConnectionClosed) as ended:
                websocket.recv(TIMEOUT)
        server.stop()
    assert (ended.value.rcvd, server.killed) == (None, False)

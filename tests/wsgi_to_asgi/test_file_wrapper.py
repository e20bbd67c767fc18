"""wsgi.file_wrapper where the server offers pathsend or zerocopysend: the same bytes, or chunks as everywhere."""

from __future__ import annotations

import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from contextvars import ContextVar
from pathlib import Path
from types import MethodType
from typing import Any
from wsgiref.util import FileWrapper

import anyio
import pytest
from django.core.files import File

from bridge import ApplicationError, WsgiToAsgi
from tests.asgi import Application, Environ, FakeServer, Message, Scope, StartResponse, http_scope, wait

PATHSEND = "http.response.pathsend"
ZEROCOPYSEND = "http.response.zerocopysend"
CONTENT = bytes(range(256)) * 800  # more than the response's buffer

Open = Callable[[Path], Any]


class FileServer(FakeServer):
    """A server that sends files. As Granian it opens a path after send() has returned: here, at the very end."""

    def _check(self, message: Message) -> None:
        if message["type"] == PATHSEND:
            assert [sent["type"] for sent in self.sent] == ["http.response.start"]
            assert os.path.isabs(message["path"])
        elif message["type"] == ZEROCOPYSEND:
            assert not self.complete
        else:
            super()._check(message)

    async def send(self, message: Message) -> None:
        await super().send(message)
        if message["type"] == PATHSEND:
            self.complete = True
        elif message["type"] == ZEROCOPYSEND:
            content = os.pread(message["file"].fileno(), message["count"], message["offset"])
            self.sent[-1] = {**message, "content": content}

    @property
    def types(self) -> list[str]:
        return [message["type"].rpartition(".")[2] for message in self.sent]

    @property
    def body(self) -> bytes:
        parts = []
        for message in self.sent[1:]:
            if message["type"] == PATHSEND:
                parts.append(Path(message["path"]).read_bytes())
            else:
                parts.append(message["content"] if message["type"] == ZEROCOPYSEND else message.get("body", b""))
        return b"".join(parts)


def scope(*extensions: str, method: str = "GET") -> Scope:
    return http_scope(method, extensions={name: {} for name in extensions})


async def serve(application: WsgiToAsgi, scope: Scope) -> FileServer:
    server = FileServer()
    await server.serve(application, scope)
    return server


def sending(opened: Callable[[], Any], length: int | None = len(CONTENT), status: str = "200 OK") -> Application:
    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response(status, [] if length is None else [("Content-Length", str(length))])
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](opened(), 8192)
        return wrapped

    return application


def descriptors_of(path: Path) -> int:
    """How many descriptors of this process are open on the file at *path*."""
    about = path.stat()
    count = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            count += os.path.samestat(os.fstat(int(name)), about)
        except OSError:
            pass  # the directory's own, which is closed by now
    return count


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no /proc to look at descriptors")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


# -- what the server sends --------------------------------------------------------------------------------------------


async def test_file_leaves_by_its_path(path: Path) -> None:
    """ASGI, "Path Send": one message is the whole body."""
    server = await serve(WsgiToAsgi(sending(lambda: path.open("rb"))), scope(PATHSEND))

    assert (server.types, server.sent[1]["path"], server.body == CONTENT) == (["start", "pathsend"], str(path), True)


async def test_path_is_absolute(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ASGI, "Path Send"."""
    monkeypatch.chdir(path.parent)

    server = await serve(WsgiToAsgi(sending(lambda: path.relative_to(path.parent).open("rb"))), scope(PATHSEND))

    assert server.sent[1]["path"] == str(path)


async def test_descriptor_is_preferred(path: Path) -> None:
    """Nobody can put another file in its place. The end is said by itself, when the file is known to be whole."""
    server = await serve(WsgiToAsgi(sending(lambda: path.open("rb"))), scope(PATHSEND, ZEROCOPYSEND))

    assert (server.types, server.body == CONTENT) == (["start", "zerocopysend", "body"], True)
    assert (server.sent[1]["offset"], server.sent[1]["count"]) == (0, len(CONTENT))
    assert ([message["more_body"] for message in server.sent[1:]], server.complete) == ([True, False], True)


def _by_bytes(path: Path) -> Any:
    return open(os.fsencode(path), "rb")


@pytest.mark.parametrize(
    "opened",
    [
        pytest.param(lambda path: path.open("rb", buffering=0), id="unbuffered"),
        pytest.param(lambda path: File(path.open("rb")), id="Django's File"),
        pytest.param(_by_bytes, id="path as bytes"),
    ],
)
async def test_file_behind_the_object_counts(path: Path, opened: Open) -> None:
    """The wrapper would call its read(), so the bytes are the same."""
    server = await serve(WsgiToAsgi(sending(lambda: opened(path))), scope(PATHSEND))

    assert (server.types, server.body == CONTENT) == (["start", "pathsend"], True)


# -- what is sent in chunks -------------------------------------------------------------------------------------------


def _removed(path: Path) -> Any:
    file = path.open("rb")
    path.unlink()
    return file


def _replaced(path: Path) -> Any:
    file = path.open("rb")
    path.with_name("other").write_bytes(b"?" * len(CONTENT))
    path.with_name("other").replace(path)
    return file


def _counted(path: Path) -> Any:
    file: Any = path.open("rb")
    read = file.read
    file.read = lambda size: read(size)
    return file


def _by_lines(path: Path) -> Any:
    file: Any = path.open("rb")
    file.read = file.readline
    return file


def _bound(path: Path) -> Any:
    def read(file: Any, size: int) -> bytes:
        line: bytes = file.readline(size)
        return line

    file: Any = path.open("rb")
    file.read = MethodType(read, file)
    return file


class _Decoded(io.FileIO):
    """What stands in the file is not what it gives."""

    def readinto(self, buffer: Any) -> Any:
        size = super().readinto(buffer)
        buffer[:size] = bytes(byte ^ 1 for byte in buffer[:size])
        return size


def _decoded(path: Path) -> Any:
    path.write_bytes(bytes(byte ^ 1 for byte in CONTENT))
    return io.BufferedReader(_Decoded(str(path)))


def _by_descriptor(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_RDONLY), "rb")


def _no_utf_8(path: Path) -> Any:
    name = os.fsencode(path) + b"\xff"
    os.rename(path, name)
    return open(name, "rb")


def _temporary(path: Path) -> Any:
    file = tempfile.NamedTemporaryFile(dir=path.parent)  # noqa: SIM115 (the wrapper closes it)
    file.write(CONTENT)
    file.seek(0)
    return file


@pytest.mark.parametrize("extension", [PATHSEND, ZEROCOPYSEND])
@pytest.mark.parametrize(
    "opened",
    [
        pytest.param(lambda path: io.BytesIO(CONTENT), id="no file"),
        pytest.param(lambda path: path.open("r+b"), id="writable"),
        pytest.param(_temporary, id="NamedTemporaryFile"),
        pytest.param(_counted, id="a read() of its own"),
        pytest.param(_by_lines, id="another method as read()"),
        pytest.param(_bound, id="a method of its own as read()"),
        pytest.param(_decoded, id="a class of its own"),
        pytest.param(_removed, id="removed"),
        pytest.param(_replaced, id="replaced"),
        pytest.param(_by_descriptor, id="opened by a descriptor"),
        pytest.param(_no_utf_8, id="path that is not UTF-8"),
    ],
)
async def test_what_may_be_another_file_leaves_in_chunks(path: Path, opened: Open, extension: str) -> None:
    """The client gets what iterating gives, whatever the path leads to."""
    server = await serve(WsgiToAsgi(sending(lambda: opened(path))), scope(extension))

    assert (set(server.types), server.body == CONTENT, server.complete) == ({"start", "body"}, True, True)


@pytest.mark.parametrize(
    ("read", "length", "expected"),
    [
        pytest.param(100, len(CONTENT) - 100, CONTENT[100:], id="position"),
        pytest.param(0, 1000, CONTENT[:1000], id="shorter length"),
        pytest.param(0, None, CONTENT, id="no length"),
    ],
)
async def test_part_of_a_file_leaves_in_chunks(
    path: Path,
    read: int,
    length: int | None,
    expected: bytes,
    bridge_log: object,  # that more was produced than declared
) -> None:
    """Iterating gives the rest of the file; PEP 3333: and no more of it than Content-Length says."""

    def opened() -> Any:
        file = path.open("rb")
        file.read(read)
        return file

    server = await serve(WsgiToAsgi(sending(opened, length)), scope(PATHSEND))

    assert (set(server.types), server.body == expected) == ({"start", "body"}, True)


@pytest.mark.parametrize(
    ("method", "status"), [pytest.param("HEAD", "200 OK", id="HEAD"), pytest.param("GET", "304 Not Modified", id="304")]
)
async def test_response_without_a_body_sends_no_file(path: Path, method: str, status: str) -> None:
    """RFC 9110, 6.4.1."""
    application = sending(lambda: path.open("rb"), status=status)

    server = await serve(WsgiToAsgi(application), scope(PATHSEND, method=method))

    assert (server.types, server.body) == (["start", "body"], b"")


@pytest.mark.parametrize("extensions", [(), ("http.response.trailers",)], ids=["none", "others"])
async def test_server_without_the_extension_gets_chunks(path: Path, extensions: tuple[str, ...]) -> None:
    """ASGI, "Extensions": what the scope does not name must not be sent."""
    server = await serve(WsgiToAsgi(sending(lambda: path.open("rb"))), scope(*extensions))

    assert (set(server.types), server.body == CONTENT) == ({"start", "body"}, True)


async def test_rest_of_a_file_that_declares_all_of_it_is_an_error(path: Path) -> None:
    """The server would send what iterating does not give."""

    def opened() -> Any:
        file = path.open("rb")
        file.read(100)
        return file

    with pytest.raises(ApplicationError, match="declared Content-Length 204800 and produced 204700 bytes"):
        await serve(WsgiToAsgi(sending(opened)), scope(PATHSEND))


async def test_written_bytes_come_before_the_file(
    path: Path,
    bridge_log: object,  # that more was produced than declared
) -> None:
    """PEP 3333, "The write() Callable"; the server would send the file and nothing else."""

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(len(CONTENT)))])(b"<")
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](path.open("rb"))
        return wrapped

    server = await serve(WsgiToAsgi(application), scope(PATHSEND))

    assert (set(server.types), server.body == b"<" + CONTENT[:-1]) == ({"start", "body"}, True)


async def test_middleware_in_between_gets_the_chunks(path: Path) -> None:
    """What wraps the wrapper may change what it gives."""
    inner = sending(lambda: path.open("rb"))

    def middleware(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        chunks: Any = inner(environ, start_response)
        with closing(chunks):
            for chunk in chunks:
                yield chunk.swapcase()

    server = await serve(WsgiToAsgi(middleware), scope(PATHSEND))

    assert (set(server.types), server.body == CONTENT.swapcase()) == ({"start", "body"}, True)


async def test_log_says_why_a_file_leaves_in_chunks(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "bridge")

    await serve(WsgiToAsgi(sending(lambda: path.open("rb"), 10)), scope(PATHSEND))

    assert f"{path} has {len(CONTENT)} bytes, and Content-Length says 10" in caplog.text


# -- close() ----------------------------------------------------------------------------------------------------------


def ending(path: Path, close: Callable[[], object]) -> Application:
    """Send the file at *path*, with a ``close()`` as Django's responses have it."""

    def opened() -> Any:
        file: Any = path.open("rb")
        done = file.close

        def end() -> None:
            done()
            close()

        file.close = end
        return file

    return sending(opened)


async def test_close_is_called_once_in_the_exchanges_thread_and_context(path: Path) -> None:
    """PEP 3333; as of any other iterable. The bridge's own descriptor is closed, too."""
    variable: ContextVar[str] = ContextVar("variable", default="")
    calls: list[tuple[str, str]] = []
    inner = ending(path, lambda: calls.append((threading.current_thread().name, variable.get())))
    called_in: list[str] = []

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        variable.set("of this exchange")
        called_in.append(threading.current_thread().name)
        return inner(environ, start_response)

    server = await serve(WsgiToAsgi(application), scope(PATHSEND))

    assert (server.types, calls) == (["start", "pathsend"], [(called_in[0], "of this exchange")])


@needs_proc
@pytest.mark.parametrize("extension", [PATHSEND, ZEROCOPYSEND])
async def test_no_descriptor_stays_open(path: Path, extension: str) -> None:
    server = await serve(WsgiToAsgi(sending(lambda: path.open("rb"))), scope(extension))

    assert (server.complete, descriptors_of(path)) == (True, 0)


@pytest.mark.parametrize("extension", [PATHSEND, ZEROCOPYSEND])
async def test_file_that_close_removes_is_sent(path: Path, extension: str) -> None:
    """An application may remove its file when it is done; Granian opens it after send() has returned."""
    server = await serve(WsgiToAsgi(ending(path, path.unlink)), scope(extension))

    assert (server.body == CONTENT, server.complete) == (True, True)
    assert server.types[1] == ("body" if extension == PATHSEND else "zerocopysend")


async def test_file_that_close_replaces_is_not_sent(path: Path) -> None:
    server = await serve(WsgiToAsgi(ending(path, lambda: _replaced(path).close())), scope(PATHSEND))

    assert (set(server.types), server.body == CONTENT) == ({"start", "body"}, True)


@pytest.mark.parametrize("extension", [PATHSEND, ZEROCOPYSEND])
async def test_file_that_grows_meanwhile_is_not_sent_beyond_its_length(path: Path, extension: str) -> None:
    """PEP 3333: never more than Content-Length says. Granian sends all that it finds."""

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    server = await serve(WsgiToAsgi(ending(path, grow)), scope(extension))

    assert (set(server.types), server.body == CONTENT) == ({"start", "body"}, True)


async def test_error_of_close_leaves_the_response_whole(path: Path) -> None:
    """It is raised out of the coroutine, as after chunks."""

    def fail() -> None:
        raise LookupError("in close()")

    server = FileServer()
    with pytest.raises(LookupError, match=r"in close\(\)"):
        await server.serve(WsgiToAsgi(ending(path, fail)), scope(PATHSEND))

    assert (server.types, server.complete) == (["start", "pathsend"], True)


# -- while the server sends -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extension", [PATHSEND, ZEROCOPYSEND])
async def test_no_thread_waits_while_the_server_sends(path: Path, extension: str) -> None:
    """One thread serves another request while a slow client takes its file."""
    adapter = WsgiToAsgi(sending(lambda: path.open("rb")), threads=1)
    slow = FileServer()
    slow.on_sent = lambda message: slow.hold() if message["type"] == "http.response.start" else None

    async with slow.serving(adapter, scope(extension)):
        await slow.until(lambda: slow.sends == 2)
        other = await serve(adapter, scope(extension))
        slow.release()

    assert (other.body == CONTENT, slow.body == CONTENT) == (True, True)


@needs_proc
@pytest.mark.parametrize("extension", [PATHSEND, ZEROCOPYSEND])
@pytest.mark.parametrize("after", [0, 1], ids=["the head", "the file"])
async def test_error_of_send_ends_the_exchange(path: Path, extension: str, after: int) -> None:
    """It leaves the coroutine as it was, and no descriptor stays."""
    server = FileServer()
    server.fail_send(OSError("gone"), after=after)
    adapter = WsgiToAsgi(sending(lambda: path.open("rb")))
    with pytest.raises(OSError, match="gone"):
        await server.serve(adapter, scope(extension))

    assert (adapter.stats().disconnected, descriptors_of(path)) == (1, 0)


@needs_proc
@pytest.mark.parametrize("extension", [PATHSEND, ZEROCOPYSEND])
async def test_server_that_cancels_while_it_sends_leaves_no_descriptor(path: Path, extension: str) -> None:
    server = FileServer()
    server.on_sent = lambda message: server.hold()
    async with server.serving(WsgiToAsgi(sending(lambda: path.open("rb"))), scope(extension)):
        await server.until(lambda: server.sends == 2)
        server.cancel()

    assert (server.types, descriptors_of(path)) == (["start"], 0)


async def test_file_that_shrinks_while_it_is_sent_never_looks_complete(path: Path) -> None:
    """The server may have stopped at the file's end; the response is cut, and its end never said."""
    server = FileServer()
    server.on_sent = lambda message: os.truncate(path, 1000) if message["type"] == ZEROCOPYSEND else None

    with pytest.raises(ApplicationError, match="became shorter than the 204800 bytes"):
        await server.serve(WsgiToAsgi(sending(lambda: path.open("rb"))), scope(ZEROCOPYSEND))

    assert (server.types, server.complete) == (["start", "zerocopysend"], False)


@needs_proc
async def test_client_that_left_before_is_sent_nothing(path: Path) -> None:
    """The file was found, and nobody is there to get it."""
    left = threading.Event()
    inner = ending(path, lambda: wait(left))

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.input"].read(1)  # starts to listen
        return inner(environ, start_response)

    server = FileServer()
    adapter = WsgiToAsgi(application, request_buffer=1)
    upload = {**scope(PATHSEND, method="POST"), "headers": [(b"content-length", b"2")]}
    async with server.serving(adapter, upload):
        server.feed({"type": "http.request", "body": b"ab", "more_body": False})
        server.disconnect()
        await server.until(lambda: server.told_disconnect)
        await anyio.lowlevel.checkpoint()
        left.set()

    assert (server.types, descriptors_of(path), adapter.stats().disconnected) == ([], 0, 1)


async def test_wrapper_is_wsgirefs() -> None:
    """What middleware knows how to handle."""
    seen: list[object] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        seen.append(environ["wsgi.file_wrapper"])
        start_response("200 OK", [])
        return []

    await serve(WsgiToAsgi(application), scope(PATHSEND))

    assert seen == [FileWrapper]

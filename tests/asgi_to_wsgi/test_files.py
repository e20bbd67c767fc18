"""Files that the server sends itself, and hints before the response: extensions of ASGI, where the server has them."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any
from wsgiref.util import FileWrapper

import anyio
import anyio.lowlevel
import pytest

from bridge import ApplicationError
from tests.asgi import Message, Receive, Scope, Send, happened, wait
from tests.asgi_to_wsgi.kinds import Serve, chunk, last, start
from tests.asgi_to_wsgi.server import request

PATHSEND = "http.response.pathsend"
HINT = "http.response.early_hint"


class Wrapper:
    """A ``wsgi.file_wrapper`` that notes what it wraps."""

    def __init__(self) -> None:
        self.files: list[Any] = []
        self.descriptors: list[int] = []

    def __call__(self, file: Any, block_size: int = 8192) -> FileWrapper:
        self.files.append(file)
        self.descriptors.append(file.fileno())
        return FileWrapper(file, block_size)


def sending(*messages: Message) -> Any:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)

    return application


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(bytes(range(256)) * 1000)
    return path


def pathsend(path: object) -> Message:
    return {"type": PATHSEND, "path": str(path)}


@pytest.mark.parametrize(
    ("variables", "extensions"),
    [
        ({}, set()),
        ({"wsgi.file_wrapper": FileWrapper}, {PATHSEND}),
        ({"wsgi.early_hints": print}, {HINT}),
        ({"wsgi.file_wrapper": FileWrapper, "wsgi.early_hints": print}, {PATHSEND, HINT}),
    ],
    ids=["neither", "files", "hints", "both"],
)
def test_extensions_are_those_of_the_server(serve: Serve, variables: dict[str, Any], extensions: set[str]) -> None:
    """ASGI, "Extensions": an application asks the scope."""
    seen: list[set[str]] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(set(scope["extensions"]))
        await send(start())
        await send(last())

    serve(application).serve(request(variables=variables))

    assert seen == [extensions]


def test_file_leaves_through_the_servers_wrapper(serve: Serve, path: Path) -> None:
    """The wrapper gets a real descriptor, for sendfile()."""
    wrapper = Wrapper()

    response = serve(sending(start(), pathsend(path))).serve(request(variables={"wsgi.file_wrapper": wrapper}))

    assert (response.status, response.body) == ("200 OK", path.read_bytes())
    assert len(wrapper.files) == 1


@pytest.mark.parametrize("difference", [-1, 1], ids=["shorter", "longer"])
def test_file_of_another_length_than_declared_is_an_error(serve: Serve, path: Path, difference: int) -> None:
    """It has changed since the application looked at it. Servers send what they find, and more is the next response."""
    length = str(path.stat().st_size - difference).encode()

    with pytest.raises(ApplicationError, match=r"Content-Length \d+ for a file of 256000 bytes"):
        serve(sending(start(200, (b"content-length", length)), pathsend(path))).serve(
            request(variables={"wsgi.file_wrapper": Wrapper()})
        )


def test_length_of_a_file_is_declared(serve: Serve, path: Path) -> None:
    """RFC 9110, 8.6: known when the headers leave. Without it several servers end the file by the connection's end."""
    variables = {"wsgi.file_wrapper": Wrapper()}

    response = serve(sending(start(), pathsend(path))).serve(request(variables=variables))

    assert ("content-length", "256000") in response.headers


@pytest.mark.parametrize("read", [True, False], ids=["read", "sent by the system, or closed early"])
def test_file_is_closed_with_the_response(serve: Serve, path: Path, read: bool) -> None:
    wrapper = Wrapper()
    response = serve(sending(start(), pathsend(path))).start(request(variables={"wsgi.file_wrapper": wrapper}))
    if read:
        response.read()
    os.fstat(wrapper.descriptors[0])
    response.close()

    with pytest.raises((OSError, ValueError)):
        os.fstat(wrapper.files[0].fileno())


def test_application_goes_on_when_the_file_has_left(serve: Serve, path: Path) -> None:
    """Background tasks follow a file as they follow a body."""
    steps: list[str] = []
    done = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(start())
        await send(pathsend(path))
        steps.append((await receive())["type"])
        await anyio.lowlevel.checkpoint()
        steps.append("background")
        done.set()

    response = serve(application).start(request(variables={"wsgi.file_wrapper": Wrapper()}))
    response.read()
    assert steps == []
    response.close()
    wait(done)

    assert steps == ["http.disconnect", "background"]


@pytest.mark.parametrize("missing", ["nowhere", "."])
def test_file_that_cannot_be_read_is_an_error_before_the_start(serve: Serve, tmp_path: Path, missing: str) -> None:
    """The application may still answer 404; if it does not, the server answers 500."""
    environ = {"wsgi.file_wrapper": Wrapper()}
    server = serve(sending(start(), pathsend(tmp_path / missing)))

    with pytest.raises(OSError, match=r"No such file|Is a directory"):
        server.start(request(variables=environ), start_error=AssertionError("start_response was called"))


def test_application_may_send_a_body_in_place_of_a_missing_file(serve: Serve, tmp_path: Path) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send(start())
        try:
            await send(pathsend(tmp_path / "nowhere"))
        except OSError:
            await send(last(b"sorry"))

    assert serve(application).serve(request(variables={"wsgi.file_wrapper": Wrapper()})).body == b"sorry"


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_response_without_a_body_sends_no_file(serve: Serve, path: Path, method: str, status: int) -> None:
    wrapper = Wrapper()
    application = sending(start(status, content=status == 200), pathsend(path))

    response = serve(application).serve(request(method, variables={"wsgi.file_wrapper": wrapper}))

    assert (response.status[:3], response.body, wrapper.files) == (str(status), b"", [])


@pytest.mark.parametrize(
    "messages",
    [
        [pathsend("/etc/hosts")],
        [start(), chunk(b"x"), pathsend("/etc/hosts")],
        [start(), {"type": PATHSEND}],
        [start(), {"type": PATHSEND, "path": None}],
    ],
    ids=["without a start", "in a body", "without a path", "no path"],
)
def test_file_in_the_wrong_place_is_an_error(serve: Serve, messages: list[Message]) -> None:
    server = serve(sending(*messages, last()))

    with pytest.raises(ApplicationError, match="pathsend"):
        server.serve(request(variables={"wsgi.file_wrapper": Wrapper()}))


def test_file_where_the_server_has_no_wrapper_is_an_error(serve: Serve, path: Path) -> None:
    with pytest.raises(ApplicationError, match=r"'http\.response\.pathsend', which the scope does not offer"):
        serve(sending(start(), pathsend(path))).serve()


def test_wrapper_that_raises_ends_the_exchange(serve: Serve, path: Path) -> None:
    """The server is told, and no file stays open."""
    files: list[Any] = []

    def broken(file: Any, block_size: int) -> None:
        files.append(file)
        raise RuntimeError("no files today")

    with pytest.raises(RuntimeError, match="no files today"):
        serve(sending(start(), pathsend(path))).start(request(variables={"wsgi.file_wrapper": broken}))

    with pytest.raises(ValueError, match="closed"):
        files[0].fileno()


# -- early hints ----------------------------------------------------------------------------------------------


def test_hints_reach_the_server_before_the_response(serve: Serve) -> None:
    """RFC 8297; all of them, in order, as Gunicorn's wsgi.early_hints takes them."""
    got: list[Any] = []
    links = [[b"</a.css>; rel=preload", b"</b.js>; rel=preload"], [b"</c.css>; rel=preload"], [b"</d>"]]
    hints = [{"type": HINT, "links": pair} for pair in links]
    server = serve(sending(*hints, start(), chunk(b"x"), last(b"y")))

    response = server.start(request(variables={"wsgi.early_hints": got.append}))
    seen = list(got)
    response.read().close()

    assert seen == [
        [("Link", "</a.css>; rel=preload"), ("Link", "</b.js>; rel=preload")],
        [("Link", "</c.css>; rel=preload")],
        [("Link", "</d>")],
    ]
    assert (got, response.body) == (seen, b"xy")


def test_hint_leaves_at_once(serve: Serve) -> None:
    """It is of use only while the application still works on the response."""
    hinted = threading.Event()

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": HINT, "links": [b"</a.css>; rel=preload"]})
        await happened(hinted)
        await send(start())
        await send(last(b"x"))

    assert serve(application).serve(request(variables={"wsgi.early_hints": lambda headers: hinted.set()})).body == b"x"


@pytest.mark.parametrize(
    "hint",
    [{"links": [b"</a>\r\nset-cookie: a=b"]}, {"links": ["text"]}, {"links": [3]}, {"links": None}, {}],
    ids=["an injection", "text", "a number", "None", "nothing"],
)
def test_hint_that_is_no_header_is_an_error(serve: Serve, hint: dict[str, Any]) -> None:
    """What goes into a header is checked, here as in the response."""
    got: list[Any] = []

    with pytest.raises(ApplicationError, match="links as header values"):
        serve(sending({"type": HINT, **hint})).serve(request(variables={"wsgi.early_hints": got.append}))

    assert got == []


def test_hint_after_the_start_is_an_error(serve: Serve) -> None:
    with pytest.raises(ApplicationError, match=r"early_hint after http\.response\.start"):
        serve(sending(start(), {"type": HINT, "links": []})).serve(request(variables={"wsgi.early_hints": print}))


def test_client_that_leaves_at_a_hint_ends_the_exchange(serve: Serve) -> None:
    """wsgi.early_hints writes to the socket, and raises what that raises."""
    told: list[str] = []

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": HINT, "links": [b"</a.css>; rel=preload"]})
        told.append((await receive())["type"])

    def broken(headers: object) -> None:
        raise BrokenPipeError("gone")

    with pytest.raises(BrokenPipeError):
        serve(application).start(request(variables={"wsgi.early_hints": broken}))

    assert told == ["http.disconnect"]

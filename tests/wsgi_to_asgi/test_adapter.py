"""WsgiToAsgi: which scope goes where, its options, its environ, and wsgiref's validator over all of it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import Any
from wsgiref.validate import validator

import pytest

from bridge import BridgeError, ConfigurationError, ServerError, WorkerThreads, WsgiToAsgi
from tests.asgi import Environ, Message, Scope, StartResponse, http_scope, request_messages, serve, upload_scope


def ok(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


async def test_unknown_scope_is_an_error_of_the_server() -> None:
    """ASGI, "Applications": an application raises on a scope that it does not understand."""
    with pytest.raises(ServerError, match="smtp"):
        await serve(WsgiToAsgi(ok), {"type": "smtp"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"threads": 0}, "threads is .* 1 or more; got 0", id="no thread"),
        pytest.param({"threads": "4"}, "threads is .*; got '4'", id="threads as text"),
        pytest.param({"max_pending": -1}, "max_pending is .* 0 or more; got -1", id="max_pending below 0"),
        pytest.param({"max_pending": 1.5}, "max_pending is .*; got 1.5", id="max_pending no integer"),
        pytest.param({"request_buffer": 0}, "request_buffer is .*; got 0", id="no request_buffer"),
        pytest.param({"request_buffer": None}, "request_buffer is .*; got None", id="request_buffer None"),
        pytest.param({"response_buffer": 0}, "response_buffer is .*; got 0", id="no response_buffer"),
        pytest.param({"response_buffer": None}, "response_buffer is .*; got None", id="response_buffer None"),
        pytest.param({"max_body_size": -1}, "max_body_size is .*; got -1", id="max_body_size below 0"),
        pytest.param(
            {"unknown_length": "drop"}, "unknown_length is 'spool' or 'stream'; got 'drop'", id="unknown_length"
        ),
        pytest.param({"drain_timeout": -1.0}, "drain_timeout is .*; got -1.0", id="drain_timeout below 0"),
        pytest.param({"drain_timeout": float("nan")}, "drain_timeout is .*; got nan", id="drain_timeout nan"),
        pytest.param({"drain_timeout": None}, "drain_timeout is .*; got None", id="drain_timeout None"),
        pytest.param({"drain_timeout": "30"}, "drain_timeout is .*; got '30'", id="drain_timeout as text"),
    ],
)
def test_option_that_cannot_be_says_what_it_can_be(options: dict[str, Any], message: str) -> None:
    """DESIGN, "Rules that hold everywhere": the option, what it may be, what came instead."""
    with pytest.raises(ConfigurationError, match=message) as raised:
        WsgiToAsgi(ok, **options)

    assert isinstance(raised.value, BridgeError)
    assert isinstance(raised.value, ValueError)


def test_application_that_cannot_be_called_is_refused() -> None:
    """A module instead of its application is the usual mistake."""
    with pytest.raises(ConfigurationError, match="callable; got 'myapp:app'"):
        WsgiToAsgi("myapp:app")  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [0, -1, None, "many"])
def test_worker_threads_need_a_number(size: Any) -> None:
    """The set has the same rule as the option."""
    with pytest.raises(ConfigurationError, match="1 or more"):
        WorkerThreads(size)


@pytest.mark.parametrize("option", ["request_buffer", "response_buffer"])
async def test_buffer_of_one_byte_serves(option: str) -> None:
    """The smallest limit is slow and not wrong."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", [])
        yield from (bytes([byte]) for byte in environ["wsgi.input"].read())

    adapter = WsgiToAsgi(application, **{option: 1})  # type: ignore[arg-type]

    assert (await serve(adapter, upload_scope(6), *request_messages(b"abc", b"def"))).body == b"abcdef"


async def test_environ_has_what_pep_3333_asks_for() -> None:
    """PEP 3333, "environ Variables", with the values of this request."""
    environs: list[Environ] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environs.append(environ)
        return ok(environ, start_response)

    scope = http_scope(
        "GET", "/app/café", query_string=b"a=1", root_path="/app", headers=[(b"x-many", b"1"), (b"x-many", b"2")]
    )
    await serve(WsgiToAsgi(application), scope)

    environ = environs[0]
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/app",
        "PATH_INFO": "/caf\xc3\xa9",
        "QUERY_STRING": "a=1",
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "8000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_HOST": "testserver",
        "HTTP_X_MANY": "1,2",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    assert {key: environ.get(key) for key in expected} == expected
    assert type(environ) is dict


async def test_environs_share_nothing_that_an_application_may_change() -> None:
    """PEP 3333: an application may modify its environ in any way."""
    environs: list[Environ] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        assert "mine" not in environ
        environ["mine"] = True
        environs.append(environ)
        return ok(environ, start_response)

    adapter = WsgiToAsgi(application)
    await serve(adapter)
    await serve(adapter)

    assert environs[0] is not environs[1]


async def test_environ_carries_the_scope_without_showing_header_values() -> None:
    """DESIGN, "Environ": asgi.scope has everything; debug pages print environ, so its repr has no cookies."""
    environs: list[Environ] = []

    def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
        environs.append(environ)
        return ok(environ, start_response)

    scope = http_scope(headers=[(b"cookie", b"session=secret")], state={"pool": 1})
    await serve(WsgiToAsgi(application), scope)

    carried = environs[0]["asgi.scope"]
    assert (carried["state"], carried["headers"]) == ({"pool": 1}, scope["headers"])
    assert isinstance(carried, dict)
    assert "secret" not in repr(carried)
    assert "cookie" in repr(carried)


# -- wsgiref.validate -------------------------------------------------------------------------------------------

TYPE = [("Content-Type", "text/plain")]


def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer with the body, read as the validator wants it: by size."""
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body: bytes = environ["wsgi.input"].read(length)
    start_response("200 OK", TYPE)
    return [body]


def echo_lines(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
    """Answer with the body line by line, while it arrives."""
    start_response("200 OK", TYPE)
    yield from environ["wsgi.input"]


def echo_written(environ: Environ, start_response: StartResponse) -> list[bytes]:
    """Answer through write()."""
    start_response("200 OK", TYPE)(environ["wsgi.input"].readline())
    return [b"".join(environ["wsgi.input"].readlines())]


def echo_file(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with a file."""
    file = io.BytesIO(environ["wsgi.input"].read(65536))
    start_response("200 OK", TYPE)
    chunks: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return chunks


BODY = b"line one\nline two\nline three"


@pytest.mark.parametrize("application", [echo, echo_lines, echo_written, echo_file])
@pytest.mark.parametrize(
    ("scope", "messages"),
    [
        pytest.param(upload_scope(len(BODY)), request_messages(BODY), id="POST"),
        pytest.param(upload_scope(len(BODY)), request_messages(*(bytes([byte]) for byte in BODY)), id="byte by byte"),
        pytest.param(upload_scope(None), request_messages(BODY[:5], BODY[5:]), id="chunked"),
        pytest.param(http_scope("PUT", http_version="2"), request_messages(BODY, b""), id="HTTP/2"),
    ],
)
@pytest.mark.parametrize("buffer", [65536, 4], ids=["small", "larger than the buffers"])
async def test_validator_finds_nothing_in_uploads(
    application: Any, scope: Scope, messages: list[Message], buffer: int
) -> None:
    """wsgiref.validate checks environ, wsgi.input, start_response, write(), iteration and close()."""
    adapter = WsgiToAsgi(validator(application), request_buffer=buffer, response_buffer=buffer)

    server = await serve(adapter, scope, *messages)

    assert (server.status, server.body) == (200, BODY)


@pytest.mark.parametrize("application", [echo, echo_lines, echo_written, echo_file, ok])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS"])
async def test_validator_finds_nothing_in_requests_without_a_body(application: Any, method: str) -> None:
    """The same for requests whose wsgi.input is empty, and for HEAD."""
    server = await serve(WsgiToAsgi(validator(application)), http_scope(method), *request_messages(b""))

    assert (server.status, server.body) == (200, b"ok" if application is ok and method != "HEAD" else b"")


async def test_validator_finds_nothing_in_a_stream() -> None:
    """A generator of many chunks."""

    def application(environ: Environ, start_response: StartResponse) -> Iterator[bytes]:
        start_response("200 OK", TYPE)
        for _ in range(1000):
            yield b"x" * 100

    server = await serve(WsgiToAsgi(validator(application), response_buffer=1000))

    assert server.body == b"x" * 100_000

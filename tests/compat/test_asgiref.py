"""bridge.compat.asgiref: the signature and the documented behaviour of asgiref, which the same tests see there."""

from __future__ import annotations

import importlib
import inspect
import logging
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.wsgi import WsgiToAsgi as Theirs

import bridge
from bridge import ConfigurationError
from bridge.compat.asgiref import WsgiToAsgi
from tests.asgi import (
    Application,
    Environ,
    Scope,
    StartResponse,
    http_scope,
    request_messages,
    serve,
    upload_scope,
)

MODULES = ["asgiref.wsgi", "bridge.compat.asgiref"]
"""The module that a project imports from, before and after."""

PARAMETERS = list(inspect.signature(Theirs).parameters.values())
needs_limit = pytest.mark.skipif(len(PARAMETERS) < 2, reason="asgiref has the limit since 3.11.1")

both = pytest.mark.parametrize("module", MODULES)
one_loop = pytest.mark.parametrize("anyio_backend", [("asyncio", {})], ids=["asyncio"], indirect=True)


def application(environ: Environ, start_response: StartResponse) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "5")])
    return [b"hello"]


@needs_limit
def test_signature_is_the_same() -> None:
    """Names, order, kinds and defaults of the parameters."""
    ours = inspect.signature(WsgiToAsgi).parameters.values()

    assert [(one.name, one.kind, one.default) for one in ours] == [
        (one.name, one.kind, one.default) for one in PARAMETERS
    ]


@both
@one_loop
@pytest.mark.parametrize(
    "code",
    [
        "asgi_application = WsgiToAsgi(wsgi_application)",
        "asgi_application = WsgiToAsgi(wsgi_application=wsgi_application)",
        pytest.param("asgi_application = WsgiToAsgi(wsgi_application, duplicate_header_limit=200)", marks=needs_limit),
        pytest.param("asgi_application = WsgiToAsgi(wsgi_application, None)", marks=needs_limit),
    ],
    ids=["plain", "by name", "limit", "no limit"],
)
async def test_example_of_the_documentation_runs(module: str, code: str) -> None:
    """Each way in which asgiref's README and changelog make one serves requests."""
    names: dict[str, Any] = {"wsgi_application": application}
    exec(f"from {module} import WsgiToAsgi\n{code}", names)
    server = await serve(names["asgi_application"], None, *request_messages(b""))

    assert (server.status, server.body, server.complete) == (200, b"hello", True)


@both
@one_loop
async def test_body_in_several_messages_is_one_input(module: str) -> None:
    """wsgi.input has all of them."""

    def echo(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    adapter = importlib.import_module(module).WsgiToAsgi(echo)
    server = await serve(adapter, upload_scope(6), *request_messages(b"abc", b"def"))

    assert server.body == b"abcdef"


@both
@one_loop
async def test_body_is_clamped_to_its_length(module: str, bridge_log: list[logging.LogRecord]) -> None:
    """More bytes than Content-Length never leave (asgiref 3.3)."""

    def long(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [("Content-Length", "5")])
        return [b"hello, and more"]

    server = await serve(importlib.import_module(module).WsgiToAsgi(long), None, *request_messages(b""))

    assert (server.body, server.complete) == (b"hello", True)


@both
@one_loop
async def test_root_path_becomes_script_name(module: str) -> None:
    """And leaves PATH_INFO (asgiref 3.2.2 and 3.8)."""

    def telling(environ: Environ, start_response: StartResponse) -> list[bytes]:
        start_response("200 OK", [])
        return [f"{environ['SCRIPT_NAME']} {environ['PATH_INFO']}".encode()]

    adapter = importlib.import_module(module).WsgiToAsgi(telling)

    server = await serve(adapter, http_scope(path="/app/a", root_path="/app"), *request_messages(b""))

    assert server.body == b"/app /a"


def repeated(count: int, name: bytes = b"x-many") -> Scope:
    return http_scope(headers=[(name, b"a")] * count)


@both
@one_loop
@needs_limit
@pytest.mark.parametrize(
    ("arguments", "scope", "status"),
    [
        pytest.param([], repeated(100), 200, id="at the default"),
        pytest.param([], repeated(101), 400, id="beyond the default"),
        pytest.param([2], repeated(2), 200, id="at a limit"),
        pytest.param([2], repeated(3), 400, id="beyond a limit"),
        pytest.param([2], http_scope(headers=[(b"x-a", b"1"), (b"x-b", b"2"), (b"x-c", b"3")]), 200, id="different"),
        pytest.param([2], http_scope(headers=[(b"x-a", b"1"), (b"X-A", b"2"), (b"x-a", b"3")]), 400, id="any case"),
        pytest.param([None], repeated(101), 200, id="None"),
        pytest.param([0], repeated(101), 200, id="0"),
    ],
)
async def test_duplicate_headers_have_a_limit(module: str, arguments: list[Any], scope: Scope, status: int) -> None:
    """CVE-2025-14550: a header that is repeated more often than the limit makes the request malformed."""
    called: list[str] = []

    def counting(environ: Environ, start_response: StartResponse) -> list[bytes]:
        called.append(environ["PATH_INFO"])
        return application(environ, start_response)

    adapter = importlib.import_module(module).WsgiToAsgi(counting, *arguments)
    server = await serve(adapter, dict(scope), *request_messages(b""))

    assert (server.status, called, server.complete) == (status, ["/"] if status == 200 else [], True)


@one_loop
async def test_refused_request_is_counted() -> None:
    """It is one that the bridge answered itself; HEAD gets no body."""
    adapter = WsgiToAsgi(application, duplicate_header_limit=1)
    get = await serve(adapter, repeated(2))
    head = await serve(adapter, {**repeated(2), "method": "HEAD"})

    assert (get.body, head.body) == (b"A header is repeated more than 1 times.\n", b"")
    assert get.headers == head.headers
    assert adapter.stats().rejected == 2


@both
@one_loop
async def test_subclass_may_wrap_the_call_and_the_application(module: str) -> None:
    """Projects subclass it to serve some scopes themselves, and to look through to the application."""
    base: Any = importlib.import_module(module).WsgiToAsgi

    class Extended(base):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.seen: list[str] = []

        def __getattr__(self, name: str) -> Any:
            return getattr(self.wsgi_application, name)

        async def __call__(self, scope: Scope, *args: Any, **kwargs: Any) -> None:
            self.seen.append(scope["type"])
            await super().__call__(scope, *args, **kwargs)

    extended = Extended(application)
    server = await serve(extended, None, *request_messages(b""))

    assert (server.body, extended.seen, extended.wsgi_application) == (b"hello", ["http"], application)
    assert extended.__name__ == "application"


def test_attributes_are_there() -> None:
    """What asgiref's has; and it is an adapter of the bridge."""
    adapter = WsgiToAsgi(application, 7)

    assert (adapter.wsgi_application, adapter.duplicate_header_limit) == (application, 7)
    assert isinstance(adapter, bridge.WsgiToAsgi)


@pytest.mark.parametrize(
    "make",
    [
        lambda: WsgiToAsgi("app"),  # type: ignore[arg-type]
        lambda: WsgiToAsgi(application, -1),
        lambda: WsgiToAsgi(application, 1.5),  # type: ignore[arg-type]
    ],
    ids=["app", "-1", "1.5"],
)
def test_bad_argument_is_refused(make: Callable[[], Application]) -> None:
    """At once, and by name."""
    with pytest.raises(ConfigurationError, match=r"^(app|duplicate_header_limit) is "):
        make()


async def test_requests_of_every_loop_are_served() -> None:
    """On trio too, which asgiref's cannot."""
    assert (await serve(WsgiToAsgi(application))).body == b"hello"

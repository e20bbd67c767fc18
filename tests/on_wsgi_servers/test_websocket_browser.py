"""WebSockets of FastAPI and Starlette on WSGI servers; the client is a page in headless Chromium, served beside."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from compat_matrix.servers import RECIPES
from tests.browser import Browser, chromium, in_chromium
from tests.pages.visited import Visited
from tests.server_logs import SERVER

from .conftest import start_server

pytestmark = in_chromium

PAGE = "/pages/websocket.html"
FRAMEWORKS = ("fastapi", "starlette")
# Of the largest messages, in bytes. The first is max_message_size.
SIZES = {"fastapi": 1 << 24, "starlette": 1 << 20}


def installed(name: str) -> Any:
    """The parameter for a recipe, skipped where it is not installed."""
    missing = RECIPES[name].missing()
    return pytest.param(name, id=name, marks=[pytest.mark.skip(missing)] if missing else [])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as browser:
        yield browser


@pytest.fixture(
    scope="module", params=[installed(name) for name in ("gunicorn-gthread", "werkzeug", "gevent", "waitress")]
)
def running(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Visited]:
    """A server and a tab for all tests of this module, one after the other."""
    with start_server(RECIPES[request.param], module="websocket_browser_applications") as server:
        with browser.site("about:blank") as tab:
            yield Visited(server, tab)
        server.stop()
        assert not server.killed
    assert "Traceback" not in server.log()


@pytest.fixture
def visited(request: pytest.FixtureRequest, running: Visited) -> Visited:
    """The framework's page, just loaded: nothing of an earlier test is left in it."""
    test: pytest.Function = request.node
    test.stash[SERVER] = running.server
    framework = test.callspec.params.get("framework", FRAMEWORKS[0])
    running.tab.go(f"{running.server.url}/{framework}{PAGE}")
    return running


both = pytest.mark.parametrize("framework", FRAMEWORKS)


@both
def test_handshake(visited: Visited, framework: str) -> None:
    """The subprotocol is the application's, of those that the page offers; messages are compressed."""
    assert visited.tab.ask("agreed", f"/{framework}/echo", ["other", "chat"]) == {
        "protocol": "chat",
        "extensions": "permessage-deflate",
        "readyState": 1,
    }


@both
def test_messages(visited: Visited, framework: str) -> None:
    """Text, which may be empty, and bytes, as a buffer and as a blob, up to 16 MiB."""
    texts = ["é€😀" * 1000, "\0", ""]

    assert visited.tab.ask("echoes", f"/{framework}/echo", texts, SIZES[framework]) == {
        "texts": texts,
        "buffer": True,
        "blob": ["Blob", True],
        "few": 2,
        "clean": True,
    }


@both
def test_order(visited: Visited, framework: str) -> None:
    """The page sends all of them before it hears the first; ten thousand on one server."""
    count = 10_000 if (visited.name, framework) == ("gunicorn-gthread", "fastapi") else 1_000

    assert visited.tab.ask("ordered", f"/{framework}/echo", count) == count


@both
def test_close_of_the_application(visited: Visited, framework: str) -> None:
    """After what it sent before, with code and reason."""
    assert visited.tab.ask("closedByApplication", f"/{framework}/close") == {
        "last": "last",
        "close": {"code": 4002, "reason": "why", "wasClean": True},
        "readyState": 3,
    }


@both
@pytest.mark.parametrize(("code", "reason"), [(3001, "bye"), (None, "")], ids=["3001", "no code"])
def test_close_of_the_page(visited: Visited, framework: str, code: int | None, reason: str) -> None:
    """The application hears it, and the page gets it back; no code is 1005 (RFC 6455, 7.1.5)."""
    before = len(visited.server.log())

    answer = visited.tab.ask("closedByPage", f"/{framework}/echo", *((code, reason) if code else ()))

    assert answer == {"code": code or 1005, "reason": reason, "wasClean": True}
    visited.expect_log(re.compile(f"{framework} ended with {code or 1005} {reason!r}\n"), before)


@both
def test_refusal(visited: Visited, framework: str) -> None:
    """A route that is not there is an error and a close for the page, which learns no more (RFC 6455, 7.1.5)."""
    assert visited.tab.ask("refused", f"/{framework}/nowhere") == {
        "close": {"code": 1006, "reason": "", "wasClean": False},
        "readyState": 3,
    }


@both
def test_page_that_leaves(visited: Visited, framework: str) -> None:
    """The application hears that it went away, with 1001 (RFC 6455, 7.4.1)."""
    before = len(visited.server.log())
    assert visited.tab.ask("left", f"/{framework}/echo") == "here"

    visited.tab.go("about:blank")

    visited.expect_log(re.compile(f"{framework} ended with 1001 ''\n"), before)


def test_tab_that_is_closed(visited: Visited, browser: Browser) -> None:
    """With all its connections, in whatever state they are."""
    with browser.site(f"{visited.server.url}/starlette{PAGE}") as tab:
        assert tab.ask("left", "/starlette/echo") == "here"
        before = len(visited.server.log())

    visited.expect_log(re.compile("starlette ended with "), before)


@both
def test_cookie(visited: Visited, framework: str) -> None:
    """One that a response of HTTP has set comes with the handshake."""
    assert visited.tab.ask("cookie", f"/{framework}/cookie", f"/{framework}/told", framework) == framework


def test_twenty_at_once(visited: Visited) -> None:
    """From one page; HTTP is served beside them."""
    assert visited.tab.ask("together", [f"/{name}/echo" for name in FRAMEWORKS], 20, "/starlette/beside") == {
        "answers": ["beside"] * 4,
        "heard": [[f"before {number}", f"after {number}"] for number in range(20)],
        "clean": True,
    }

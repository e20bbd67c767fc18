"""WebSockets of WSGI applications, on real servers; the client is a page in headless Chromium, served beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import socketio  # type: ignore[import-untyped]

from compat_matrix.servers import RECIPES, start
from tests.browser import Browser, chromium, in_chromium
from tests.pages.socketio_client import CannotDownloadError, script
from tests.pages.visited import TIMEOUT, Visited
from tests.server_logs import SERVER

pytestmark = in_chromium

PAGE = "/pages/websocket.html"
ROOT = Path(__file__).parents[2]

WAYS = ("bridge", "flask-sock")

# Chromium always offers to compress.
COMPRESSING = {"uvicorn-h11", "hypercorn-asyncio"}
# Of the largest messages, in bytes: what Uvicorn and Hypercorn take by default, and a message of many frames.
SIZES = {"bridge": 1 << 24, "flask-sock": 1 << 20}


def installed(name: str) -> Any:
    """The parameter for a recipe, skipped where it is not installed."""
    missing = RECIPES[name].missing()
    return pytest.param(name, id=name, marks=[pytest.mark.skip(missing)] if missing else [])


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as browser:
        yield browser


@pytest.fixture(
    scope="module", params=[installed(name) for name in ("uvicorn-h11", "hypercorn-asyncio", "granian", "daphne")]
)
def running(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Visited]:
    """A server and a tab for all tests of this module, one after the other."""
    target = "tests.end_to_end.websocket_browser_application:served"
    with start(RECIPES[request.param], target, directory=ROOT) as server:
        with browser.site(server.url + PAGE) as tab:
            yield Visited(server, tab)
        server.stop()
        assert not server.killed
    assert "Traceback" not in server.log()


@pytest.fixture
def visited(request: pytest.FixtureRequest, running: Visited) -> Visited:
    """The page, loaded again: nothing of an earlier test is left in it."""
    request.node.stash[SERVER] = running.server
    running.tab.go(running.server.url + PAGE)
    return running


def ended(name: str, way: str, code: int, reason: str = "") -> re.Pattern[str]:
    """What the application writes into the log, as far as its server tells it."""
    if name == "hypercorn-asyncio":
        # simple-websocket has a name of its own for a connection that was lost.
        told = "1006 ''" if way == "bridge" else "1005 None"
    else:
        told = f"{code} {'' if name in ('granian', 'daphne') else reason!r}"
    return re.compile(rf"{way} ended with {told}\n")


@pytest.mark.parametrize("way", WAYS)
def test_handshake(visited: Visited, way: str) -> None:
    """The subprotocol is the application's, of those that the page offers; compressed where the server can."""
    assert visited.tab.ask("agreed", f"/{way}/echo", ["other", "chat"]) == {
        "protocol": "chat",
        "extensions": "permessage-deflate" if visited.name in COMPRESSING else "",
        "readyState": 1,
    }


@pytest.mark.parametrize("way", WAYS)
def test_messages(visited: Visited, way: str) -> None:
    """Text, which may be empty, and bytes, as a buffer and as a blob, up to 16 MiB. Daphne sends none that is empty."""
    texts, size = ["é€😀" * 1000, "\0", ""], SIZES[way]
    if visited.name == "daphne":
        texts, size = texts[:-1], 1_000_000  # what it takes by default

    assert visited.tab.ask("echoes", f"/{way}/echo", texts, size) == {
        "texts": texts,
        "buffer": True,
        "blob": ["Blob", True],
        "few": 2,
        "clean": True,
    }


@pytest.mark.parametrize("way", WAYS)
def test_order(visited: Visited, way: str) -> None:
    """The page sends all of them before it hears the first; ten thousand on one server."""
    count = 10_000 if (visited.name, way) == ("uvicorn-h11", "bridge") else 1_000

    assert visited.tab.ask("ordered", f"/{way}/echo", count) == count


@pytest.mark.parametrize("way", WAYS)
def test_close_of_the_application(visited: Visited, way: str) -> None:
    """After what it sent before, with code and reason. Daphne sends no reason."""
    heard = visited.tab.ask("closedByApplication", f"/{way}/close")

    # Daphne ends the connection without waiting for the page's answer, and so does Granian now and then.
    assert heard["close"].pop("wasClean") or visited.name in ("daphne", "granian")
    assert heard == {
        "last": "last",
        "close": {"code": 4002, "reason": "" if visited.name == "daphne" else "why"},
        "readyState": 3,
    }


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("code", "reason"), [(3001, "bye"), (None, "")], ids=["3001", "no code"])
def test_close_of_the_page(visited: Visited, way: str, code: int | None, reason: str) -> None:
    """The application hears it, and the page gets it back, except from Daphne. No code is 1005 (RFC 6455, 7.1.5)."""
    before = len(visited.server.log())

    answer = visited.tab.ask("closedByPage", f"/{way}/echo", *((code, reason) if code else ()))

    assert answer == (
        {"code": 1000, "reason": "", "wasClean": True}
        if visited.name == "daphne"
        else {"code": code or 1005, "reason": reason, "wasClean": True}
    )
    visited.expect_log(ended(visited.name, way, code or 1005, reason), before)


def test_refusal(visited: Visited) -> None:
    """A route that is not there is an error and a close for the page, which learns no more (RFC 6455, 7.1.5)."""
    assert visited.tab.ask("refused", "/nowhere") == {
        "close": {"code": 1006, "reason": "", "wasClean": False},
        "readyState": 3,
    }


@pytest.mark.parametrize("way", WAYS)
def test_page_that_leaves(visited: Visited, way: str) -> None:
    """The application hears that it went away, with 1001 (RFC 6455, 7.4.1)."""
    before = len(visited.server.log())
    assert visited.tab.ask("left", f"/{way}/echo") == "here"

    visited.tab.go("about:blank")

    visited.expect_log(ended(visited.name, way, 1001), before)


def test_tab_that_is_closed(visited: Visited, browser: Browser) -> None:
    """With all its connections, in whatever state they are."""
    with browser.site(visited.server.url + PAGE) as tab:
        assert tab.ask("left", "/flask-sock/echo") == "here"
        before = len(visited.server.log())

    visited.expect_log(re.compile("flask-sock ended with "), before)


@pytest.mark.parametrize("way", WAYS)
def test_cookie(visited: Visited, way: str) -> None:
    """One that a response of HTTP has set comes with the handshake."""
    assert visited.tab.ask("cookie", "/pages/cookie", f"/{way}/cookie", way) == way


def test_twenty_at_once(visited: Visited) -> None:
    """From one page; HTTP is served beside them."""
    assert visited.tab.ask("together", [f"/{way}/echo" for way in WAYS], 20, "/pages/beside") == {
        "answers": ["beside"] * 4,
        "heard": [[f"before {number}", f"after {number}"] for number in range(20)],
        "clean": True,
    }


# -- Flask-SocketIO, unmodified, with the client that its users have ------------------------------------------


@pytest.fixture(scope="session")
def client_script(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The client of Socket.IO for browsers."""
    cache: pytest.Cache | None = getattr(pytestconfig, "cache", None)  # there is none with -p no:cacheprovider
    folder = tmp_path_factory.mktemp("npm") if cache is None else cache.mkdir("socket.io-client")
    try:
        return script(folder)
    except CannotDownloadError as error:
        pytest.skip(str(error))


@pytest.fixture
def chat(visited: Visited, client_script: str) -> Visited:
    """The page, connected by Socket.IO: by polling first, then upgraded."""
    visited.tab.run(client_script)
    assert visited.tab.ask("connected") == ["polling", "websocket"]
    return visited


on_uvicorn = pytest.mark.parametrize("running", [installed("uvicorn-h11")], indirect=True)


@on_uvicorn
def test_socketio_acknowledges(chat: Visited) -> None:
    """An event with its answer; bytes both ways, in messages and beside them."""
    assert chat.tab.ask("emitted", "join", "room") == "in room"
    assert chat.tab.ask("binary", 100_000) == ["é", "ArrayBuffer", True]


@on_uvicorn
def test_socketio_room(chat: Visited) -> None:
    """The page and a client in Python are in one room; what either says, both hear."""
    assert chat.tab.ask("emitted", "join", "room") == "in room"
    with socketio.SimpleClient() as client:
        client.connect(chat.server.url, wait_timeout=TIMEOUT)
        assert (client.transport, client.call("join", "room", timeout=TIMEOUT)) == ("websocket", "in room")

        client.call("say", ("room", {"é": [1, None]}), timeout=TIMEOUT)
        assert (chat.tab.ask("heard"), client.receive(TIMEOUT)) == ([{"é": [1, None]}], ["said", {"é": [1, None]}])

        chat.tab.ask("emitted", "say", "room", "answer")
        assert (chat.tab.ask("heard"), client.receive(TIMEOUT)) == (["answer"], ["said", "answer"])


@on_uvicorn
@pytest.mark.parametrize(
    ("how", "reason"), [("again", "io client disconnect"), ("lost", "transport close")], ids=["leaves", "loses it"]
)
def test_socketio_connects_again(chat: Visited, how: str, reason: str) -> None:
    """After it has disconnected, and by itself when its WebSocket is gone; the application hears of the end."""
    before = len(chat.server.log())

    assert chat.tab.ask(how) == {"reason": reason, "new": True, "transport": "websocket"}

    chat.expect_log(re.compile("Socket.IO ended: "), before)
    assert chat.tab.ask("emitted", "join", "room") == "in room"

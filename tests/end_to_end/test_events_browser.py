"""The page with live messages of docs/events.md, on real servers; EventSource is headless Chromium's."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from compat_matrix.servers import RECIPES, RunningServer, start
from tests.browser import Browser, Page, chromium, in_chromium
from tests.docs.pages import blocks
from tests.pages.visited import TIMEOUT
from tests.server_logs import SERVER

pytestmark = in_chromium

ROOT = Path(__file__).parents[2]

RETRY = 200  # milliseconds
UNASKED = 3000  # milliseconds that Chromium waits when no event has said how many

# The program of the page is imported, and looked at from around it.
AROUND = f"""
import live
from bridge import WsgiToAsgi
from tests.pages import log

live.RETRY = {RETRY}


def application(environ, start_response):
    events = environ["PATH_INFO"] == "/events"
    if events:
        log(f"events after {{environ.get('HTTP_LAST_EVENT_ID')}}")
    chunks = live.app(environ, start_response)
    try:
        for chunk in chunks:
            yield chunk
            if events and b"data: last\\n" in chunk:
                return
    finally:
        chunks.close()


served = WsgiToAsgi(application)
"""

# Functions of the tab, beside the page's own script.
WATCH = """
let lostAt, awayFor;
events.addEventListener("error", () => { lostAt ??= performance.now(); });
events.addEventListener("open", () => { awayFor = performance.now() - lostAt; });

function shown() {
  return [...document.querySelectorAll("li")].map((item) => item.textContent);
}

/** Wait until the page shows this as its state, or as its last message. */
function seen(text) {
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`${text} was not shown but ${state.textContent}, ${shown()}`)), 20_000);
    const look = () => { if (state.textContent === text || shown().at(-1) === text) resolve(true); };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true });
    look();
  });
}
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as browser:
        yield browser


@pytest.fixture
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    """The program, served by Uvicorn if the test names no server."""
    name = getattr(request, "param", "uvicorn-h11")
    if missing := RECIPES[name].missing():
        pytest.skip(missing)
    (tmp_path / "live.py").write_text(blocks("events.md")["A page with live messages"][0], encoding="utf-8")
    (tmp_path / "around.py").write_text(AROUND, encoding="utf-8")
    with _served(name, tmp_path) as server:
        request.node.stash[SERVER] = server
        yield server


@contextmanager
def _served(name: str, directory: Path, port: int | None = None) -> Iterator[RunningServer]:
    recipe = RECIPES[name]
    if port is not None:
        recipe = replace(recipe, command=lambda target, _: RECIPES[name].command(target, port))
    with start(recipe, "around:served", directory=directory, env={"PYTHONPATH": str(ROOT)}) as server:
        yield server


@pytest.fixture
def tabs(server: RunningServer, browser: Browser) -> Iterator[list[Page]]:
    """Two that show the page and are connected."""
    with ExitStack() as stack:
        tabs = [stack.enter_context(browser.site(server.url)) for _ in range(2)]
        for tab in tabs:
            tab.run(WATCH)
            assert tab.ask("seen", "Connected")
        yield tabs


def post(server: RunningServer, text: str) -> None:
    """Post as another browser would."""
    response = httpx.post(f"{server.url}/messages", data={"text": text}, timeout=TIMEOUT, trust_env=False)
    assert response.status_code == 204


def kill(server: RunningServer) -> None:
    """End it at once, its children too: told to end, servers wait for their streams."""
    os.killpg(server.process.pid, signal.SIGKILL)
    server.stop()


def test_message_is_live_on_every_page(server: RunningServer, tabs: list[Page]) -> None:
    """Posted by the form of one, shown by both, as text and not as markup."""
    tabs[0].click("input")
    tabs[0].type("<b>héllo</b>")
    tabs[0].click("button")

    for tab in tabs:
        assert tab.ask("seen", "<b>héllo</b>")
        assert tab.ask("shown") == ["<b>héllo</b>"]
    assert tabs[0].run("document.querySelector('input').value") == ""


def test_response_that_ends_is_continued(server: RunningServer, tabs: list[Page]) -> None:
    """EventSource connects again after the milliseconds it was told, says what it saw last, and misses nothing."""
    for text in ("first", "last", "missed"):  # "last" is the end of each response, so that the next is not in it
        post(server, text)

    for tab in tabs:
        assert tab.ask("seen", "missed")
        assert tab.ask("shown") == ["first", "last", "missed"]
        assert 0.9 * RETRY <= tab.run("awayFor") < UNASKED
    asked = re.findall(r"^events after (.*)$", server.log(), re.MULTILINE)
    assert asked[:2] == ["None"] * 2
    assert [number.partition("-")[2] for number in asked[2:]] == ["2"] * 2


@pytest.mark.parametrize("server", ["uvicorn-h11", "hypercorn-trio"], indirect=True)
def test_server_that_starts_again_is_found(
    server: RunningServer, tabs: list[Page], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """EventSource tries until it is there; what was posted meanwhile is shown once, and what was shown before stays."""
    post(server, "before")
    for tab in tabs:
        assert tab.ask("seen", "before")

    kill(server)
    for tab in tabs:
        assert tab.ask("seen", "Connecting again")
    with _served(server.recipe.name, tmp_path, server.port) as again:
        request.node.stash[SERVER] = again
        for text in ("meanwhile", "after"):
            post(server, text)

        for tab in tabs:
            assert tab.ask("seen", "after")
            assert tab.ask("shown") == ["before", "meanwhile", "after"]
        post(server, "live")
        for tab in tabs:
            assert tab.ask("seen", "live")
            assert tab.ask("shown") == ["before", "meanwhile", "after", "live"]
        kill(again)

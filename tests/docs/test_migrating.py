"""The guides of docs/migrating.md run: what stands before the change, and what stands after it, serve the same."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import httpx
import pytest

from bridge import AsgiToWsgi
from bridge.mount import as_asgi

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "migrating.md").read_text(encoding="utf-8")
CHANGES = [
    change for change in re.findall(r"^```diff\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL) if "import" in change
]
COMMANDS = re.findall(r"^-uvicorn (.*)\n\+bridge (.*)$", PAGE, re.MULTILINE)

TIMEOUT = 20.0  # seconds


def side(change: str, mark: str) -> str:
    """One side of a change: its code before (``-``) or after it (``+``)."""
    return "\n".join(line[1:] for line in change.splitlines() if line[:1] in ("", " ", mark)) + "\n"


def name_of(change: str) -> str:
    """The import that goes and the one that comes."""
    imports = [re.findall(rf"^[{mark}](?:from|import) (\S+)", change, re.MULTILINE) for mark in "-+"]
    return " to ".join(", ".join(names) or "none" for names in imports)


NAMES = [f"{number} {name_of(change)}" for number, change in enumerate(CHANGES, 1)]


def get(code: str) -> tuple[int, str]:
    """Run *code* and request the start page of its ``app``, by what a server of its interface would call."""
    # On no event loop, which the imports would block.
    names: dict[str, Any] = {"__name__": "shop"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # two of the adapters say that they are deprecated
        exec(compile(code, "migrating.md", "exec"), names)
    app, path = names["app"], "/legacy/" if "/legacy" in code else "/"
    # A module lives as long as its views, and an adapter as long as its module; here it shall be collected.
    names.clear()
    if "ASGIMiddleware(" in code or "AsgiToWsgi(" in code:
        return get_from_wsgi(app, path)
    return asyncio.run(get_from_asgi(as_asgi(app), path))


async def get_from_asgi(app: Any, path: str) -> tuple[int, str]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        response = await client.get(path)
    return response.status_code, response.text


def get_from_wsgi(app: Any, path: str) -> tuple[int, str]:
    with httpx.Client(transport=httpx.WSGITransport(app=app), base_url="http://test") as client:
        response = client.get(path)
    adapter = getattr(app, "_adapter", app)
    if isinstance(adapter, AsgiToWsgi):
        adapter.close()
    return response.status_code, response.text


@pytest.mark.parametrize(
    "change", CHANGES, ids=[f"{number} {name_of(change)}" for number, change in enumerate(CHANGES)]
)
def test_change_changes_no_answer(change: str) -> None:
    """The application answers after the change what it did before."""
    before, after = get(side(change, "-")), get(side(change, "+"))

    assert before == after
    assert before in [(200, "Hello"), (200, '{"Hello":"Gilbert"}')]


def test_every_change_is_tried() -> None:
    """No block of the page escapes the tests: each is a change of code or of a command."""
    assert len(CHANGES) + len(COMMANDS) == PAGE.count("```diff")
    assert PAGE.count("```") == 2 * (PAGE.count("```diff") + PAGE.count("```sh"))


def test_search_finds_what_the_guides_change(tmp_path: Path) -> None:
    """The grep of the page finds each line that a guide takes away, and no import of the bridge's."""
    (command,) = re.findall(r"^grep .*$", PAGE, re.MULTILINE)
    lines = [*CHANGES, "-uvicorn --interface wsgi shop:app", "-uvicorn.run(app, interface='wsgi')"]
    for number, change in enumerate(lines):
        (tmp_path / f"{number}.py").write_text(side(change, "-"))
    (tmp_path / "done.py").write_text("from bridge import WsgiToAsgi\n")
    found = subprocess.run(shlex.split(command), cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT).stdout

    files = set(re.findall(r"^\./(\S+?):", found, re.MULTILINE))
    assert files == {f"{number}.py" for number in range(len(lines))}


SHOP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"shop"]
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The directory of a user with shop.py, an application."""
    (tmp_path / "shop.py").write_text(SHOP)
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(["-m", "uvicorn", *shlex.split(COMMANDS[0][0])], id="uvicorn"),
        pytest.param(["-m", "bridge", *shlex.split(COMMANDS[0][1])], id="bridge"),
    ],
)
def test_command_serves_the_application(command: list[str], shop: Path) -> None:
    """``uvicorn --interface wsgi`` and what takes its place, each on a free port."""
    free = [word.replace("8000", "0") for word in command]
    with subprocess.Popen(
        [sys.executable, *free], cwd=shop, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as server:
        # Ended by it if it says nothing, so that the reads below cannot wait for ever.
        timer = threading.Timer(TIMEOUT, server.kill)
        timer.start()
        try:
            assert server.stdout is not None
            said = ""
            while (address := re.search(r"running on (http://\S+)", said)) is None:
                line = server.stdout.readline().decode()
                assert line, said
                said += line
            text = httpx.get(address[1], timeout=TIMEOUT).text
        finally:
            timer.cancel()
            server.terminate()
            server.communicate(timeout=TIMEOUT)

    assert text == "shop"


def test_links_lead_somewhere() -> None:
    """Files exist, and so do the sections of the page that it names."""
    titles = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title.lower())) for title in titles}
    for file, anchor in re.findall(r"\]\(([^)#]*)#?([^)]*)\)", PAGE):
        assert (DOCS / file).exists()
        assert file or anchor in anchors

"""The examples of docs/ run."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

DOCS = Path(__file__).parent.parent / "docs"


def names_of(page: str) -> dict[str, Any]:
    """Run the Python blocks of a page, one after another, and return what they define."""
    names: dict[str, Any] = {"__name__": "example"}
    for code in re.findall(
        r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        exec(compile(code, page, "exec"), names)
    return names


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        ({"root_path": "", "path": "/a", "raw_path": b"/a"}, ("/a", b"/a")),
        ({"root_path": "/m", "path": "/m/a", "raw_path": b"/m/a"}, ("/a", b"/a")),
        ({"root_path": "/m", "path": "/m", "raw_path": b"/m"}, ("/", b"/")),
        ({"root_path": "/é", "path": "/é/a b", "raw_path": b"/%C3%A9/a%20b"}, ("/a b", b"/a%20b")),
    ],
)
def test_mount_is_taken_away(scope: dict[str, Any], seen: tuple[str, bytes]) -> None:
    """What Sanic and Falcon need: the path without the mount."""
    below_mount: Callable[[Any], Callable[[Any, Any, Any], Awaitable[None]]] = names_of("asgi-frameworks.md")[
        "below_mount"
    ]
    scopes: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(scope)

    asyncio.run(below_mount(application)({"type": "http", **scope}, None, None))  # type: ignore[arg-type]

    assert [(scope["path"], scope["raw_path"]) for scope in scopes] == [seen]

"""docs/asgi-frameworks.md: what its example does to a scope."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tests.docs.programs import run


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
    below_mount: Callable[[Any], Callable[[Any, Any, Any], Awaitable[None]]]
    below_mount = run("asgi-frameworks.md")["below_mount"]
    scopes: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(scope)

    asyncio.run(below_mount(application)({"type": "http", **scope}, None, None))  # type: ignore[arg-type]

    assert [(scope["path"], scope["raw_path"]) for scope in scopes] == [seen]

"""docs/mounting.md: its examples serve what they say."""

from typing import Any

import httpx
import pytest

from tests.docs.programs import run


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    """Not in a test: importing frameworks would block its event loop."""
    return run("mounting.md")


def client(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


async def test_applications_stand_side_by_side(names: dict[str, Any]) -> None:
    """The new one answers, and the old one builds URLs with its prefix."""
    async with client(names["app"]) as http:
        new, old = await http.get("/"), await http.get("/legacy/")

    assert (new.json(), old.text) == ({"Hello": "Gilbert"}, "/legacy/")


async def test_routes_move_one_by_one(names: dict[str, Any]) -> None:
    """What FastAPI refuses, Flask gets with the same form."""
    async with client(names["site"]) as http:
        new, old = await http.get("/users/gilbert"), await http.post("/users/gilbert", data={"name": "g"})

    assert (new.json(), old.text) == ({"name": "gilbert"}, "gilbert is g now")

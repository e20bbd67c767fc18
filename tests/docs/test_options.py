"""The tables of options, and the API page, against the code."""

import inspect
import re
from typing import Any

import pytest

import bridge
from bridge import AsgiToWsgi, WsgiToAsgi
from tests.docs.pages import DOCS

_ROW = re.compile(r"^\| `(?P<option>\w+)` \| (?P<default>[^|]+) \| ", re.MULTILINE)


@pytest.mark.parametrize(
    ("page", "adapter"),
    [pytest.param("wsgi-on-asgi.md", WsgiToAsgi, id="WSGI"), pytest.param("asgi-on-wsgi.md", AsgiToWsgi, id="ASGI")],
)
def test_every_option_has_its_line_and_its_default(page: str, adapter: Any) -> None:
    """All of them, no other, and with the default that they have."""
    rows = {
        row["option"]: row["default"].strip("`") for row in _ROW.finditer((DOCS / page).read_text(encoding="utf-8"))
    }
    parameters = inspect.signature(adapter).parameters.values()
    options = {one.name: one.default for one in parameters if one.kind is one.KEYWORD_ONLY}

    assert rows == {name: f'"{value}"' if isinstance(value, str) else str(value) for name, value in options.items()}


def test_every_public_name_is_on_the_api_page() -> None:
    """Those of bridge by name; those of bridge.mount are found by what is in its ``__all__``."""
    page = (DOCS / "api.md").read_text(encoding="utf-8")

    assert [name for name in bridge.__all__ if not re.search(rf"(::: bridge\.|- ){name}$", page, re.MULTILINE)] == []
    assert "\n::: bridge.mount\n" in page

"""What the shell offers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.shell_completion import ShellComplete

from bridge.cli.commands import bridge

if TYPE_CHECKING:
    from tests.cli.conftest import WriteModule


@pytest.mark.parametrize(
    ("arguments", "incomplete", "offered"),
    [
        pytest.param([], "", ["shop.", "web:api", "web:my_app", "web:create_app()"], id="what may be an application"),
        pytest.param([], "web:my", ["web:my_app"], id="a name"),
        pytest.param([], "shop.", ["shop.wsgi:application"], id="inside a package"),
        pytest.param([], "nothing.", [], id="inside no package"),
        pytest.param([], "src/w", ["src/w"], id="a path, for the shell"),
        pytest.param(["web:api", "--mount"], "/shop=shop.w", ["/shop=shop.wsgi:application"], id="a mount"),
        pytest.param(["web:api", "--server"], "g", ["granian", "gunicorn"], id="a server"),
        pytest.param(["web:api"], "--w", ["--workers"], id="an option"),
    ],
)
def test_values_are_offered(
    write_module: WriteModule, arguments: list[str], incomplete: str, offered: list[str]
) -> None:
    """Nothing is imported for it, and what cannot be read is left out."""
    write_module("web.py", "api: object = 1 / 0\nmy_app = other = 1\n_app = 1\ndef create_app(): ...")
    write_module("broken.py", "app = (")
    write_module("not-a-module.py", "app = 1")
    write_module("shop/__init__.py")
    write_module("shop/wsgi.py", "application = 1")
    completion = ShellComplete(bridge, {}, "bridge", "_BRIDGE_COMPLETE")
    found = completion.get_completions(["serve", *arguments], incomplete)
    assert [item.value for item in found] == offered

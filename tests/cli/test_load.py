"""From MODULE:APP to the object: what is found, and what each mistake is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cli.load import load_application
from bridge.errors import LoadError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import WriteModule


def test_the_module_is_found_in_the_current_directory(write_module: WriteModule) -> None:
    """The directory that bridge is started in is searched, whatever sys.path holds."""
    write_module("web.py", "app = 'the application'")
    sys.path[:] = [entry for entry in sys.path if entry != ""]
    assert load_application("web:app") == "the application"


def test_the_current_directory_comes_before_installed_modules(write_module: WriteModule, tmp_path: Path) -> None:
    """A user's module wins over one of the same name elsewhere on sys.path."""
    write_module("elsewhere/web.py", "app = 'another'")
    write_module("web.py", "app = 'the application'")
    sys.path.insert(0, str(tmp_path / "elsewhere"))
    assert load_application("web:app") == "the application"


def test_both_sides_of_the_colon_may_be_dotted(write_module: WriteModule) -> None:
    """A module in a package and an attribute of an attribute can be named."""
    write_module("site_one/__init__.py")
    write_module("site_one/web.py", "class holder:\n    app = 'the application'")
    assert load_application("site_one.web:holder.app") == "the application"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        pytest.param("web", "not of the form MODULE:APP", id="no colon"),
        pytest.param("web:", "not of the form MODULE:APP", id="no attribute"),
        pytest.param(":app", "not of the form MODULE:APP", id="no module"),
        pytest.param(".web:app", "not of the form MODULE:APP", id="relative module"),
        pytest.param("web:app.", "not of the form MODULE:APP", id="empty part"),
        pytest.param("site_one/web.py:app", "as in site_one.web:app", id="a path"),
        pytest.param("web.py", "as in web:app", id="a file"),
        pytest.param("wbe:app", "there is no module 'wbe'", id="misspelt module"),
        pytest.param("site_two.web:app", "there is no module 'site_two'", id="misspelt package"),
        pytest.param("web.inner:app", "there is no module 'web.inner'", id="no package"),
        pytest.param("web:ap", "did you mean 'app'?", id="misspelt attribute"),
        pytest.param("web:nothing", "module 'web' has no attribute 'nothing'", id="missing attribute"),
        pytest.param("web:app.nothing", "'app' has no attribute 'nothing'", id="missing inner attribute"),
    ],
)
def test_a_wrong_target_is_named_with_what_to_do(write_module: WriteModule, target: str, said: str) -> None:
    """The error says which part is wrong, and blames no code of the application."""
    write_module("web.py", "app = 'the application'")
    with pytest.raises(LoadError) as caught:
        load_application(target)
    assert (said in str(caught.value), caught.value.__cause__) == (True, None)


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        pytest.param("1 / 0", ZeroDivisionError, id="an error"),
        pytest.param("import not_installed", ModuleNotFoundError, id="a missing dependency"),
        pytest.param("import web.inner", ModuleNotFoundError, id="a missing module named like this one"),
        pytest.param("raise ModuleNotFoundError('no name')", ModuleNotFoundError, id="an error without a name"),
        pytest.param("def broken(:", SyntaxError, id="a syntax error"),
        pytest.param("raise SystemExit(0)", SystemExit, id="a script without a guard"),
        pytest.param("def __getattr__(name):\n    1 / 0", ZeroDivisionError, id="an error while reading it"),
    ],
)
def test_an_error_of_the_module_is_kept_as_the_cause(
    write_module: WriteModule, source: str, cause: type[BaseException]
) -> None:
    """Whoever reports the error can show the application's own traceback."""
    write_module("web.py", source)
    with pytest.raises(LoadError) as caught:
        load_application("web:app")
    assert type(caught.value.__cause__) is cause


def test_a_keyboard_interrupt_while_importing_ends_the_command(write_module: WriteModule) -> None:
    """Ctrl-C in a slow import is the user's, not an error of the module."""
    write_module("web.py", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        load_application("web:app")


@settings(deadline=None)
@given(st.text(max_size=20))
def test_any_text_names_something_or_is_refused(text: str) -> None:
    """No target, however odd, ends in anything but a LoadError."""
    with pytest.raises(LoadError):
        load_application(f"no_such_module_{text}")

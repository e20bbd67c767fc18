"""From MODULE:APP to the object: what is found, and what each mistake is told."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.cli.load import load_application, root_of_file
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
        pytest.param("site_one/web:app", "as in site_one.web:app, or its file, as in site_one/web.py", id="a path"),
        pytest.param("wbe.py", "there is no file 'wbe.py'", id="misspelt file"),
        pytest.param(f"{'w' * 300}.py", "there is no way to", id="a file that cannot be looked at"),
        pytest.param("/nowhere/web.py", "there is no file '/nowhere/web.py'; check", id="a path from the root"),
        pytest.param("web.py:", "not of the form MODULE:APP", id="a file, no attribute"),
        pytest.param("web.py:ap", "file 'web.py' has no attribute 'ap'; did you mean 'app'?", id="a file, misspelt"),
        pytest.param("web.old.py", "takes the dot in 'web.old' for a package; rename it", id="a file with a dot"),
        pytest.param("elsewhere/web.py", "as 'web', which is", id="a file with another's name"),
        pytest.param("web:()", "not of the form MODULE:APP", id="a call of nothing"),
        pytest.param("web:create('x')", "has arguments", id="a call with arguments"),
        pytest.param("web:needy()", "cannot be called without arguments", id="a factory with parameters"),
        pytest.param("web:slow()", "is asynchronous", id="an asynchronous factory"),
        pytest.param("web:app()", "'app' cannot be called; leave out the ()", id="a call of the application"),
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
    write_module("web.py", "app = 'the application'\ndef needy(name): ...\nasync def slow(): ...")
    write_module("web.old.py")
    write_module("elsewhere/web.py")
    load_application("web:app")
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


@pytest.mark.parametrize(
    ("target", "where"),
    [
        ("app.py", "app"),
        ("pages/front.py:app", "front"),
        ("shop/web/site.py:app", "shop.web.site"),
        ("shop/web/__init__.py:app", "shop.web"),
        ("pages/front.py:holder.create()", "front"),
        ("shop.web:create()", "shop.web"),
    ],
)
def test_a_file_or_a_factory_is_found(write_module: WriteModule, target: str, where: str) -> None:
    """A file is the module that it is for others, so that its relative imports and those beside it work."""
    write_module("app.py", "app = __name__")
    write_module("pages/beside.py", "name = 'front'")
    write_module(
        "pages/front.py", "from beside import name as app\nclass holder:\n    create = staticmethod(lambda: app)"
    )
    write_module("shop/__init__.py", "import sys\nname = 'shop.web.site'")
    write_module("shop/web/__init__.py", "app = __name__\ndef create(): return app")
    write_module("shop/web/site.py", "from .. import name as app")
    assert load_application(target) == where


def test_an_absolute_path_is_a_file_too(write_module: WriteModule, tmp_path: Path) -> None:
    """Wherever bridge is started."""
    write_module("pages/front.py", "app = 'the application'")
    assert load_application(f"{tmp_path}/pages/front.py") == "the application"


@pytest.mark.parametrize("error", ["ValueError", "TypeError", "SystemExit"])
def test_an_error_of_a_factory_is_kept_as_the_cause(write_module: WriteModule, error: str) -> None:
    """Also a TypeError, which a call with too few arguments would be."""
    write_module("web.py", f"def create():\n    raise {error}('in the factory')")
    with pytest.raises(LoadError, match=f"calling 'create' raised {error}, shown above") as caught:
        load_application("web:create()")
    assert str(caught.value.__cause__) == "in the factory"


@pytest.mark.parametrize(
    ("target", "root"),
    [("web.py:app", "."), ("pages/front.py", "pages"), ("shop/web.py", "."), ("shop.web:app", None)],
)
def test_the_directory_of_a_file_is_known(
    write_module: WriteModule, tmp_path: Path, target: str, root: str | None
) -> None:
    """A server that reloads has to watch it, and not the current one only."""
    write_module("shop/__init__.py")
    assert root_of_file(target) == (None if root is None else tmp_path / root)


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

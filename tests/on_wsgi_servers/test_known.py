"""What is left out here, and why: servers that are not installed, and the list of known failures."""

from pathlib import Path

import pytest

from compat_matrix.servers import RECIPES, Recipe

from .conftest import WSGI_RECIPES
from .known import KNOWN


@pytest.mark.parametrize("server", WSGI_RECIPES, ids=lambda server: server.name)
def test_server_is_installed(server: Recipe) -> None:
    """The other tests do not run on one that is not; this is skipped with the reason instead."""
    if missing := server.missing():
        pytest.skip(missing)


def test_known_failures_are_of_this_folder() -> None:
    """A renamed test must not leave its excuse behind."""
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert [test for test, _ in KNOWN if f"def {test}(" not in source] == []
    assert {name for _, name in KNOWN} <= set(RECIPES)

"""The starter of the servers itself: what it says when something is wrong."""

from dataclasses import replace
from pathlib import Path

import pytest

from compat_matrix.servers import RECIPES, Recipe, ServerFailedError, start


def test_server_that_ends_at_once_is_an_error_with_its_log(recipe: Recipe) -> None:
    """Whoever reads the failure sees what the server said, not only that it timed out."""
    if missing := recipe.missing():
        pytest.skip(missing)
    with (
        pytest.raises(ServerFailedError, match="no_such_module"),
        start(recipe, "no_such_module:application", directory=Path(__file__).parent),
    ):
        pytest.fail("it started")


def test_server_that_is_not_installed_says_what_is_missing() -> None:
    """It is skipped with this reason, not silently."""
    recipe = replace(RECIPES["uvicorn-h11"], also=("no_such_module",))

    assert recipe.missing() == "uvicorn-h11 needs 'no_such_module', which cannot be imported"


@pytest.mark.parametrize("name", RECIPES)
def test_target_is_the_last_argument(name: str) -> None:
    """start() puts further options before it."""
    assert RECIPES[name].command("module:application", 1)[-1] == "module:application"

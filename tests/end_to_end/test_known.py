"""The list of known failures names tests and servers that exist."""

from pathlib import Path

from compat_matrix.servers import RECIPES

from .known import KNOWN


def test_known_failures_are_of_this_folder() -> None:
    """A renamed test must not leave its excuse behind."""
    source = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))

    assert [test for test, _, _ in KNOWN if f"def {test}(" not in source] == []
    assert {name for _, name, _ in KNOWN} <= set(RECIPES)

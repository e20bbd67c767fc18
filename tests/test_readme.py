"""The README's examples run, each on its own."""

from typing import Any

import pytest

from tests.docs.pages import blocks

EXAMPLES = [
    pytest.param(code, id=f"{heading} {number}")
    for heading, codes in blocks("../README.md").items()
    for number, code in enumerate(codes, 1)
]


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """As it stands, and it prints what its comments say."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "README.md", "exec"), names)

    printed = [line.removeprefix("# ") for line in code.splitlines() if line.startswith("# ")]
    assert capsys.readouterr().out.splitlines() == printed

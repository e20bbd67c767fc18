"""The README's examples run, and its commands are those that CI and the tests use."""

import re
from pathlib import Path
from typing import Any

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^## (\w[^\n]*)\n(?:(?!^## ).)*?^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("code", [pytest.param(code, id=title) for title, code in EXAMPLES])
def test_example_runs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each example of the README runs as it stands and prints what its comments say."""
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, "README.md", "exec"), names)

    printed = [line.removeprefix("# ") for line in code.splitlines() if line.startswith("# ")]
    assert capsys.readouterr().out.splitlines() == printed


def test_every_example_is_found() -> None:
    """No Python block of the README escapes the test above."""
    assert len(EXAMPLES) == README.count("```python")

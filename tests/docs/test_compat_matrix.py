"""docs/compat-matrix.md: its commands run, and what it names is there."""

import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

from compat_matrix.command import FAILED, INTERRUPTED, main
from compat_matrix.composition import CHECKED, COMPLAINTS, MOUNT
from compat_matrix.plan import HOMES
from tests.docs.pages import DOCS

SHOP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"shop"]
"""

MATRIX = (DOCS / "compat-matrix.md").read_text(encoding="utf-8")
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```", MATRIX, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]
RUNS = [command for command in COMMANDS if command.startswith("python -m compat_matrix")]


@pytest.mark.parametrize("line", dict.fromkeys(RUNS))
def test_command_of_the_matrix_runs(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that take longer than seconds only say what they would do."""
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "wsgi.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    options = shlex.split(line)[3:]
    quick = any(option in options for option in ("--list", "--check"))

    result = CliRunner().invoke(main, options if quick else [*options, "--list"])

    assert result.exit_code == 0, result.output
    assert (tmp_path / "matrix-report" / "matrix.html").exists() is (quick and "--list" not in options)


def test_workflow_runs_what_the_page_explains() -> None:
    """The commands of the workflow are those that run above, and no command escapes that test."""
    (workflow,) = re.findall(r"^```yaml\n(.*?)^```", MATRIX, re.MULTILINE | re.DOTALL)
    install, run = re.findall(r"- run: (.*)", workflow)

    assert run in RUNS
    assert install in COMMANDS
    assert [command for command in COMMANDS if command not in RUNS] == ["python -m pip install -e '.[matrix]'", install]


def test_page_names_what_there_is() -> None:
    """Extras, servers, files and exit statuses."""
    assert "\nmatrix = [" in (DOCS.parent / "pyproject.toml").read_text(encoding="utf-8")
    for name in (*HOMES.values(), "compat_matrix/known.py", "compat_matrix/apps/README.md", "server.start"):
        assert name in MATRIX
    for own in (MOUNT, CHECKED, COMPLAINTS):
        assert f"`{own}`" in MATRIX
    for status in (0, FAILED, 2, INTERRUPTED):
        assert f"\n| {status} |" in MATRIX
    for target in re.findall(r"\]\(([^)#]+)\)", MATRIX):
        assert (DOCS / target).exists()

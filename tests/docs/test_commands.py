"""The commands of docs/: every option that they name exists, and every application is one of the page's."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.docs.commands import commands
from tests.docs.pages import DOCS
from tests.docs.programs import pages, run

ROOT = DOCS.parent

# How each program tells what it takes.
HELP = {
    "bridge": [["--help"], ["serve", "--help"], ["check", "--help"]],
    "daphne": [["--help"]],
    "granian": [["--help"]],
    "gunicorn": [["--help"]],
    "hypercorn": [["--help"]],
    "mod_wsgi-express": [["start-server", "--help"]],
    "python -m benchmarks": [["--help"]],
    "python -m compat_matrix": [["--help"]],
    "uvicorn": [["--help"]],
    "uwsgi": [["--help"]],
    "waitress-serve": [["--help"]],
}
OF_OTHERS = ("grep", "python -m pip")
COMPILED = ("mod_wsgi-express", "uwsgi")  # no extra of the tests has them
# Those of tests/docs/test_compat_matrix.py, and of what it finds there.
PAGES = [page.name for page in pages() if page.name != "compat-matrix.md" and commands(page.name)]
LINES = [pytest.param(page, line, id=f"{page}: {line}") for page in PAGES for line in dict.fromkeys(commands(page))]


@pytest.mark.parametrize(("page", "line"), LINES)
def test_options_exist(page: str, line: str) -> None:
    """The program's own help has every option, in the spelling of the page."""
    program, words = _program(line)
    if program in OF_OTHERS:
        return
    if program in COMPILED and shutil.which(program, path=str(Path(sys.executable).parent)) is None:
        pytest.skip(f"{program} is not installed")
    options = [word.partition("=")[0] for word in words[: _own(words)] if re.match(r"--?[a-z]", word)]

    assert [option for option in options if not re.search(rf"(?<![\w-]){option}(?![\w-])", _help(program))] == []


@pytest.mark.parametrize("page", [page for page in ("index.md", "deploying.md") if page in PAGES])
def test_applications_are_those_of_the_quick_start(page: str) -> None:
    """MODULE:APP names a file of the quick start and what it defines."""
    text = (DOCS / "index.md").read_text(encoding="utf-8")
    names = run("index.md")
    targets = {word for line in commands(page) for word in shlex.split(line) if re.fullmatch(r"\w+:\w+", word)}

    assert targets
    for module, _, name in (target.partition(":") for target in targets):
        assert f"`{module}.py`:" in text
        assert callable(names[name])


def test_extras_exist() -> None:
    """index.md names extras of pyproject.toml, and every extra that is for users."""
    table = re.findall(r"^\| (`[^|]*) \|", (DOCS / "index.md").read_text(encoding="utf-8"), re.MULTILINE)
    extras = re.findall(r"^([\w-]+) = \[$", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)

    assert {name for row in table for name in re.findall(r"`([\w-]+)`", row)} <= set(extras)


def _program(line: str) -> tuple[str, list[str]]:
    words = shlex.split(line)
    if words[:2] == ["python", "-m"]:
        return " ".join(words[:3]), words[3:]
    return words[0], words[1:]


def _own(words: list[str]) -> int:
    """How many words are the program's: what follows ``--`` is for another."""
    return words.index("--") if "--" in words else len(words)


@cache
def _help(program: str) -> str:
    words = [sys.executable, *program.split()[1:]] if program.startswith("python ") else None
    start = words or [str(Path(sys.executable).with_name(program))]
    texts = [
        subprocess.run([*start, *arguments], capture_output=True, text=True, timeout=30, check=False, cwd=ROOT)
        for arguments in HELP[program]
    ]
    return "\n".join(text.stdout + text.stderr for text in texts)

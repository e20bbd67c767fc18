"""The examples and commands of docs/ run."""

import asyncio
import re
import shlex
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from compat_matrix.command import FAILED, INTERRUPTED, main
from compat_matrix.composition import CHECKED, COMPLAINTS, MOUNT
from compat_matrix.plan import HOMES

DOCS = Path(__file__).parent.parent / "docs"


def names_of(page: str) -> dict[str, Any]:
    """Run the Python blocks of a page, one after another, and return what they define."""
    names: dict[str, Any] = {"__name__": "example"}
    for code in re.findall(
        r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    ):
        exec(compile(code, page, "exec"), names)
    return names


@pytest.mark.parametrize(
    ("scope", "seen"),
    [
        ({"root_path": "", "path": "/a", "raw_path": b"/a"}, ("/a", b"/a")),
        ({"root_path": "/m", "path": "/m/a", "raw_path": b"/m/a"}, ("/a", b"/a")),
        ({"root_path": "/m", "path": "/m", "raw_path": b"/m"}, ("/", b"/")),
        ({"root_path": "/é", "path": "/é/a b", "raw_path": b"/%C3%A9/a%20b"}, ("/a b", b"/a%20b")),
    ],
)
def test_mount_is_taken_away(scope: dict[str, Any], seen: tuple[str, bytes]) -> None:
    """What Sanic and Falcon need: the path without the mount."""
    below_mount: Callable[[Any], Callable[[Any, Any, Any], Awaitable[None]]] = names_of("asgi-frameworks.md")[
        "below_mount"
    ]
    scopes: list[dict[str, Any]] = []

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(scope)

    asyncio.run(below_mount(application)({"type": "http", **scope}, None, None))  # type: ignore[arg-type]

    assert [(scope["path"], scope["raw_path"]) for scope in scopes] == [seen]


# docs/compat-matrix.md

SHOP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"shop"]
"""


async def test_applications_stand_side_by_side() -> None:
    """docs/mounting.md: the new one answers, and the old one builds URLs with its prefix."""
    app = names_of("mounting.md")["app"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        new, old = await client.get("/"), await client.get("/legacy/")

    assert (new.json(), old.text) == ({"Hello": "Gilbert"}, "/legacy/")


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

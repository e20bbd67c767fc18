"""``python -m compat_matrix``: what it takes, what it refuses, its exit status, and what an interruption leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from compat_matrix import command, runner
from compat_matrix.apps import APPS
from compat_matrix.cells import Observation
from compat_matrix.command import main
from compat_matrix.model import NATIVE, Cell, CellState, Outcome, OutcomeName, Place
from compat_matrix.plan import Planned
from compat_matrix.results import Results
from compat_matrix.servers import RECIPES, Recipe

REPOSITORY = Path(__file__).parents[2]
PATIENCE = 50.0  # seconds until a process that does not end is killed
ONE_CELL = ("--app", "flask", "--server", "uvicorn-h11", "--check", "http.response.text")


def invoke(*options: str) -> Result:
    return CliRunner().invoke(main, options, catch_exceptions=False)


def run(directory: Path, *options: str) -> Result:
    return invoke(*options, "--report", str(directory))


def read(directory: Path) -> Results:
    return Results.from_json(json.loads((directory / "matrix.json").read_text(encoding="utf-8")))


# -- help, list, errors -----------------------------------------------------------------------------------------------


def test_help_says_what_each_option_does() -> None:
    said = invoke("--help").output
    for parameter in main.params:
        assert all(name in said for name in parameter.opts)
        assert getattr(parameter, "help", None)


def test_list_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does it leave a report."""
    monkeypatch.chdir(tmp_path)
    result = invoke("--list")

    assert result.exit_code == 0
    for name in ("flask", "django-asgi", "waitress", "bridge", "http.response.text"):
        assert name in result.output
    assert list(tmp_path.iterdir()) == []


def test_list_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not installed is named."""
    monkeypatch.setattr(Recipe, "missing", lambda recipe: f"{recipe.name} is not here")
    result = invoke("--list", "--full")

    assert result.exit_code == 0
    assert all(f"{name} is not here" in result.output for name in RECIPES)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--app", "flusk"], "Invalid value for --app: nothing matches 'flusk'; there are: flask,"),
        (["--server", "*x*y*"], "Invalid value for --server: nothing matches '*x*y*'"),
        (["--adapter", "bridges"], "nothing matches 'bridges'; there are: native, bridge,"),
        (["--check", "path.get[/]"], "nothing matches 'path.get[/]'"),
        (["--jobs", "0"], "Invalid value for '--jobs'"),
        (["--paths", "/"], "--paths goes with --app-under-test"),
        (["--app", "flask", "--app-under-test", "a:b"], "--app is for the applications of the matrix"),
        (["--app", "flask", "--server", "waitress"], "none of these applications needs an adapter on these servers"),
        (["--report", __file__], "is a file"),
    ],
)
def test_wrong_usage_is_status_2(options: list[str], said: str) -> None:
    result = invoke(*options)

    assert result.exit_code == 2
    assert said in result.stderr.splitlines()[-1]


def test_folder_that_cannot_be_made_is_status_2(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run(tmp_path / "file" / "below", *ONE_CELL)

    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: cannot make the folder {tmp_path / 'file' / 'below'}: Not a directory\n",
    )


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [("a.b", ["a.b"]), ("a.*", ["a.b", "a.c[/]", "a.c[/x]"]), ("a.?[/]", ["a.c[/]"]), ("*[/*]", ["a.c[/]", "a.c[/x]"])],
)
def test_brackets_in_a_filter_stand_for_themselves(pattern: str, chosen: list[str]) -> None:
    assert command._choose("--check", [pattern], ["a.b", "a.c[/]", "a.c[/x]", "b"], []) == chosen


# -- exit status ------------------------------------------------------------------------------------------------------


def cell(adapter: str, *outcomes: OutcomeName, not_run: str = "", state: CellState = "run") -> Cell:
    server = "gunicorn-gthread" if adapter == NATIVE else "uvicorn-h11"
    found = tuple(Outcome("http.response.text", one) for one in outcomes)
    return Cell(Place("flask", server, adapter), found, not_run, state)


HOME = cell(NATIVE, "pass")


@pytest.mark.parametrize(
    ("cells", "status", "said"),
    [
        pytest.param([HOME, cell("bridge", "pass")], 0, "1 of 1 checks passed", id="pass"),
        pytest.param([HOME, cell("bridge", "fail")], 1, "1 failed", id="fail, also of a known failure that passes"),
        pytest.param([HOME, cell("bridge", "pass", "known", "n/a")], 0, "1 known", id="known"),
        pytest.param(
            [HOME, cell("bridge", not_run="the server did not start: x", state="not started")],
            1,
            "",
            id="did not start",
        ),
        pytest.param([HOME, cell("bridge", "pass"), cell("a2wsgi", "fail")], 0, "", id="a peer fails"),
        pytest.param([cell(NATIVE, "fail"), cell("bridge", "pass")], 0, "", id="the native run fails"),
        pytest.param(
            [HOME, cell("bridge", not_run="uvicorn is missing", state="missing")],
            1,
            "nothing was checked: no cell could be run",
            id="nothing ran",
        ),
        pytest.param([HOME, cell("bridge", "n/a")], 1, "nothing was checked: no check is applicable", id="n/a"),
        pytest.param(
            [cell(NATIVE, not_run="gunicorn is missing\nmore", state="missing"), cell("bridge", "pass")],
            1,
            "flask could not be compared with its native run on gunicorn-gthread: gunicorn is missing\n",
            id="nothing to compare with",
        ),
    ],
)
def test_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells: list[Cell], status: int, said: str
) -> None:
    def told(
        native: object, others: object, checks: object, jobs: int, on_outcome: object, on_cell: Any, *_: Any
    ) -> bool:
        for one in cells:
            on_cell(one)
        return True

    monkeypatch.setattr(command, "run", told)
    result = run(tmp_path, *ONE_CELL)

    assert result.exit_code == status
    assert said in result.output


def test_one_cell_runs_and_is_reported(tmp_path: Path) -> None:
    result = run(tmp_path, *ONE_CELL)

    assert result.exit_code == 0, result.output
    results = read(tmp_path)
    assert results.complete
    assert [one.place.adapter for one in results.cells] == [NATIVE, "bridge"]
    assert {path.name for path in tmp_path.iterdir()} == {"matrix.json", "matrix.xml", "matrix.html"}


# -- interruption -----------------------------------------------------------------------------------------------------


def test_ctrl_c_keeps_what_was_run_and_leaves_no_server(tmp_path: Path) -> None:
    """A line is printed once a cell is in matrix.json: from then on it is there, whatever happens."""
    mark = f"MATRIX_TEST={uuid.uuid4()}"
    name, _, value = mark.partition("=")
    options = ["--app", "flask", "--app", "django", "--server", "uvicorn-h11", "--check", "http.response.*"]
    with subprocess.Popen(
        [sys.executable, "-m", "compat_matrix", *options, "--jobs", "1", "--report", str(tmp_path)],
        cwd=REPOSITORY,
        env=os.environ | {name: value},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        try:
            assert process.stdout is not None
            first = process.stdout.readline()
            before = read(tmp_path)
            process.send_signal(signal.SIGINT)
            rest = process.stdout.read()
        finally:
            watchdog.cancel()
            watchdog.join()
            process.kill()

    assert process.returncode == 130, rest
    assert first.startswith("[1/4] ok   flask on gunicorn-gthread, native: ")
    assert "interrupted: waiting for the checks that run" in rest
    results = read(tmp_path)
    assert f"interrupted: {tmp_path} has {len(results.cells)} of 4 cells" in rest
    assert "Traceback" not in rest
    assert not results.complete
    assert results.cells[:1] == before.cells
    assert 1 <= len(results.cells) < 4
    assert {path.name for path in tmp_path.iterdir()} == {"matrix.json", "matrix.xml", "matrix.html"}
    assert processes_with(mark) == []


def processes_with(mark: str) -> list[str]:
    """Return the ids of processes that have inherited an environment variable."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if mark.encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append(entry.name)
            except (PermissionError, FileNotFoundError, ProcessLookupError):
                continue  # somebody else's, or ended meanwhile
    return found


PLANNED = [Planned(APPS["flask"], RECIPES[name], None) for name in ("gunicorn-gthread", "waitress", "wsgiref")]


def told_of(
    monkeypatch: pytest.MonkeyPatch,
    on_cell: Callable[[Cell], object],
    on_interruption: Callable[[], object],
    run_cell: Callable[[Planned, Callable[[], bool]], Cell],
) -> bool:
    """Run three cells one after another, as *run_cell* does it."""

    def one(app: object, recipe: Recipe, *rest: Any) -> tuple[Cell, dict[str, Observation]]:
        planned = next(planned for planned in PLANNED if planned.recipe is recipe)
        return run_cell(planned, rest[-1]), {}

    monkeypatch.setattr(runner, "run_cell", one)
    return runner.run(PLANNED[:1], PLANNED[1:], [], 1, lambda planned, outcome: None, on_cell, on_interruption)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_cell_that_is_reported_while_a_signal_comes_is_reported_once(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """The signal comes in the middle of on_cell; so does a second one."""
    began = threading.Event()
    go_on = threading.Event()
    cells: list[str] = []
    events: list[str] = []
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def on_cell(cell: Cell) -> None:
        if not cells:
            assert began.wait(10)
            signal.raise_signal(number)
            signal.raise_signal(number)
            go_on.set()
        cells.append(f"{cell.place.server} {cell.not_run}")

    def run_cell(planned: Planned, stopped: Callable[[], bool]) -> Cell:
        if planned is PLANNED[1]:
            began.set()
            assert go_on.wait(10)
        return Cell(Place("flask", planned.recipe.name, NATIVE), (), "interrupted" if stopped() else "")

    complete = told_of(monkeypatch, on_cell, lambda: events.append("interrupted"), run_cell)

    assert not complete
    assert cells == ["gunicorn-gthread ", "waitress interrupted"]
    assert events == ["interrupted", "interrupted"]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_run_that_cannot_be_reported_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk, for example: no further cell is begun."""
    began = threading.Event()
    ran: list[str] = []

    def on_cell(cell: Cell) -> None:
        assert began.wait(10)
        raise OSError("no space left")

    def run_cell(planned: Planned, stopped: Callable[[], bool]) -> Cell:
        ran.append(planned.recipe.name)
        if planned is PLANNED[1]:
            began.set()
            deadline = time.monotonic() + 10
            while not stopped():  # until the exception has come through
                assert time.monotonic() < deadline
        return Cell(Place("flask", planned.recipe.name, NATIVE), ())

    with pytest.raises(OSError, match="no space left"):
        told_of(monkeypatch, on_cell, lambda: None, run_cell)

    assert ran == ["gunicorn-gthread", "waitress"]


def test_ignored_signals_stay_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run under nohup, or in the background of a shell without job control, is not ended by Ctrl-C."""
    cells: list[Cell] = []
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:

        def on_cell(cell: Cell) -> None:
            signal.raise_signal(signal.SIGINT)
            cells.append(cell)

        def run_cell(planned: Planned, stopped: Callable[[], bool]) -> Cell:
            return Cell(Place("flask", planned.recipe.name, NATIVE), ())

        assert told_of(monkeypatch, on_cell, lambda: None, run_cell)
    finally:
        signal.signal(signal.SIGINT, before)
    assert len(cells) == 3


def test_ctrl_c_before_anything_runs_is_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*args: Sequence[str]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "plan", interrupted)
    result = invoke()

    assert (result.exit_code, result.output) == (130, "interrupted\n")

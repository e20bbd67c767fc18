"""What is written of a run: matrix.json, JUnit XML, the terminal, the README's table."""

from __future__ import annotations

import io
import json
import os
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from rich.console import Console

from compat_matrix import reports
from compat_matrix.adapters import ADAPTERS
from compat_matrix.apps import APPS
from compat_matrix.model import NATIVE, Place
from compat_matrix.plan import Planned
from compat_matrix.reports import junit, markdown, terminal
from compat_matrix.reports.__main__ import main
from compat_matrix.results import START, Results, Tally
from compat_matrix.servers import RECIPES
from tests.compat_matrix import samples


def console(*, interactive: bool = False, width: int = 100, encoding: str = "utf-8") -> tuple[Console, io.BytesIO]:
    """Return a console and what it writes to."""
    written = io.BytesIO()
    file = io.TextIOWrapper(written, encoding=encoding, newline="", write_through=True)
    return Console(file=file, width=width, force_terminal=interactive, force_interactive=interactive), written


def shown(results: Results, *, width: int = 100, encoding: str = "utf-8") -> str:
    """Return what a log of CI has of a run."""
    screen, written = console(width=width, encoding=encoding)
    terminal.show(screen, results)
    return written.getvalue().decode(encoding)


# results.py


def test_run_can_be_read_back_from_its_document() -> None:
    """Only what a check does is lost in matrix.json."""
    results = samples.small(complete=False)
    again = Results.from_json(json.loads(json.dumps(results.to_json())))
    assert again.to_json() == results.to_json()
    assert [cell.place for cell in again.cells] == [cell.place for cell in results.cells]
    assert again.cells[2].outcomes[1].evidence == results.cells[2].outcomes[1].evidence


def test_file_holds_the_document(tmp_path: Path) -> None:
    """What is saved after each cell, a line for each, is what to_json returns."""
    results = samples.small()
    cells = results.cells[:]
    results.cells.clear()
    for cell in cells:
        results.cells.append(cell)
        results.save(tmp_path / "matrix.json")
        assert json.loads((tmp_path / "matrix.json").read_text()) == results.to_json()
    assert [path.name for path in tmp_path.iterdir()] == ["matrix.json"]


def test_document_before_stays_if_the_next_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that dies while it saves leaves what it had saved before, and nothing beside it."""
    results = samples.small()
    results.save(tmp_path / "matrix.json")
    before = (tmp_path / "matrix.json").read_bytes()

    def fail(source: object, target: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    results.cells.clear()
    with pytest.raises(OSError, match="no space left"):
        results.save(tmp_path / "matrix.json")
    assert (tmp_path / "matrix.json").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["matrix.json"]


def test_document_of_another_format_is_refused() -> None:
    """Figures of another meaning are not shown as if they were these."""
    with pytest.raises(ValueError, match="format is 99"):
        Results.from_json({"format": 99})


def test_server_that_did_not_start_is_a_failure() -> None:
    """It is no check, but the run must not be green; what is not installed is no failure."""
    failures = samples.small().failures("bridge")
    assert [(place.app, place.server, outcome.check) for place, outcome in failures] == [
        ("django", "uvicorn-h11", "http.request.headers"),
        ("flask", "hypercorn-trio", START),
    ]
    assert failures[1][1].reason == "the server did not start: hypercorn-trio ended before its log had 'Running'."


def test_known_failure_was_run_and_did_not_pass() -> None:
    """Passed of run would say too much without it."""
    tally = Tally.of([samples.cell("flask", "daphne", "bridge", "pass", "known", "fail", "n/a")])
    assert (tally.passed, tally.run, tally.failed, tally.known, tally.not_applicable) == (1, 3, 1, 1, 1)


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        pytest.param(Place("flask", "daphne", "bridge"), "WSGI on ASGI", id="bridged"),
        pytest.param(Place("flask", "waitress", NATIVE), "WSGI on WSGI", id="native"),
        pytest.param(Place("mine", "waitress", "bridge"), "ASGI on WSGI", id="application of a user"),
        pytest.param(Place("mine", "waitress", NATIVE), "", id="nobody knows"),
    ],
)
def test_direction_is_what_is_served_by_what(place: Place, expected: str) -> None:
    """An adapter takes what its server is not."""
    assert samples.small().direction(place) == expected


# JUnit


def suites(results: Results) -> dict[str, ElementTree.Element]:
    root = ElementTree.fromstring(junit.render(results))
    assert root.tag == "testsuites"
    return {str(suite.get("name")): suite for suite in root}


def test_each_cell_is_a_suite_and_each_check_a_case() -> None:
    """The counts are those of the cases."""
    results = samples.small(complete=False)
    found = suites(results)
    assert len(found) == len(results.cells)
    suite = found["flask on daphne, bridge"]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["4", "0", "0", "2"]
    assert [case.get("name") for case in suite] == [check.id for check in results.checks]
    assert {case.get("classname") for case in suite} == {"flask on daphne, bridge"}
    root = ElementTree.fromstring(junit.render(results))
    for name in ("tests", "failures", "errors", "skipped"):
        assert root.get(name) == str(sum(int(str(one.get(name))) for one in root))


def test_what_did_not_pass_says_why() -> None:
    """A failure has its evidence; what was not judged is skipped with the reason."""
    found = suites(samples.small(complete=False))
    failure = found["django on uvicorn-h11, bridge"].find("testcase/failure")
    assert failure is not None
    assert failure.text is not None
    assert "--- request ---" in failure.text
    assert "--- log of the server ---" in failure.text
    skipped = found["flask on daphne, bridge"].findall("testcase/skipped")
    assert [one.get("message") for one in skipped] == ["known: said known", "not applicable: said n/a"]


@pytest.mark.parametrize(
    ("suite", "tag", "message"),
    [
        ("django on daphne, bridge", "skipped", "daphne needs 'daphne', which cannot be imported"),
        ("starlette on gunicorn-gthread, bridge", "skipped", "interrupted"),
        (
            "flask on hypercorn-trio, bridge",
            "error",
            "the server did not start: hypercorn-trio ended before its log had 'Running'. Log:",
        ),
    ],
    ids=["not installed", "interrupted", "not started"],
)
def test_cell_that_has_not_run_says_why(suite: str, tag: str, message: str) -> None:
    """A server that does not start is an error; what is not there is skipped."""
    found = suites(samples.small(complete=False))[suite].findall(f"testcase/{tag}")
    assert [one.get("message") for one in found] == [message]


def test_no_character_makes_the_document_unreadable() -> None:
    """What XML 1.0 cannot hold is written as Python writes it."""
    failure = suites(samples.small())["django on uvicorn-h11, bridge"].find("testcase/failure")
    assert failure is not None
    expected = samples.HOSTILE
    for character in ("\x00", "\x07", "\x1b", "\ud800", "\ufffe"):
        expected = expected.replace(character, character.encode("unicode_escape").decode())
    expected = expected.replace("\r\nend\rline", "\r\nend\\rline")
    assert failure.get("message") == expected
    assert failure.text is not None
    # A parser of XML reads a carriage return before a line feed as nothing.
    assert expected.replace("\r\n", "\n") in failure.text


# terminal


def planned(app: str, server: str) -> Planned:
    return Planned(APPS[app], RECIPES[server], ADAPTERS[0])


def test_log_has_a_line_for_each_cell() -> None:
    """Without a terminal nothing is drawn over, and the lines are not cut."""
    screen, written = console(width=40)
    results = samples.small(complete=False)
    with terminal.Progress(screen, len(results.cells), 4) as progress:
        for cell in results.cells:
            for outcome in cell.outcomes:
                progress.outcome(planned("flask", "uvicorn-h11"), outcome)
            progress.cell(cell)
    lines = written.getvalue().decode().splitlines()
    assert len(lines) == len(results.cells)
    assert "\x1b" not in written.getvalue().decode()
    assert lines[0] == "[1/9] ok   flask on uvicorn-h11, bridge: 3 of 3 passed, 1 n/a"
    assert lines[2].startswith("[3/9] FAIL django on uvicorn-h11, bridge: 3 of 4 passed, 1 failed (http.request.head")
    assert lines[3] == "[4/9] -    django on daphne, bridge: daphne needs 'daphne', which cannot be imported"
    assert lines[4].startswith("[5/9] FAIL flask on hypercorn-trio, bridge: the server did not start: ")
    assert lines[8] == "[9/9] -    starlette on gunicorn-gthread, bridge: 2 of 2 passed, interrupted"


def test_terminal_shows_what_is_under_way() -> None:
    """The bar counts checks, the lines below say which cells run; only a cell that fails leaves a line of its own."""
    screen, written = console(interactive=True)
    results = samples.small()
    with terminal.Progress(screen, len(results.cells), 4) as progress:
        first, failing = results.cells[0], results.cells[2]
        progress.outcome(planned("flask", "uvicorn-h11"), first.outcomes[0])
        drawing = io.StringIO()
        Console(file=drawing, width=100).print(progress)
        progress.cell(first)
        progress.cell(failing)
    assert "1/32" in drawing.getvalue()
    assert "1 passed, 0 failed" in drawing.getvalue()
    assert "flask on uvicorn-h11, bridge: 1/4 http.request" in drawing.getvalue()
    kept = written.getvalue().decode()
    assert "FAIL django on uvicorn-h11" in kept
    assert "ok   flask" not in kept


def test_cell_that_was_not_asked_everything_is_done_all_the_same() -> None:
    """The bar ends at its end, whatever was not installed."""
    screen, _ = console(interactive=True)
    results = samples.small(complete=False)
    with terminal.Progress(screen, len(results.cells), 4) as progress:
        for cell in results.cells:
            progress.cell(cell)
        drawing = io.StringIO()
        Console(file=drawing, width=100).print(progress)
    assert "36/36" in drawing.getvalue()


def test_end_of_the_run_shows_tables_and_every_failure_of_the_bridge() -> None:
    """Each with its reason; of the peers there are counts only."""
    text = shown(samples.small())
    assert "bridge: WSGI on ASGI" in text
    assert "✗ 3/4" in text
    assert "✗ start" in text
    assert "~ 2/3" in text
    assert "1 cell not run: daphne needs 'daphne'" in text
    assert "✗ http.request.headers  Repeated request headers are joined with a comma." in text
    assert "    django on uvicorn-h11" in text
    assert "✗ server.start  The server starts." in text
    assert "said fail" not in text
    assert "bridge: 12 of 15 checks passed, 2 failed, 1 known" in text


def test_run_without_the_bridge_has_no_verdict_on_it() -> None:
    """Zero of zero would look like a success."""
    results = samples.small()
    results.cells = [cell for cell in results.cells if cell.place.adapter == "a2wsgi"]
    assert "bridge" not in shown(results)


def test_nothing_that_a_server_wrote_moves_the_terminal() -> None:
    """Escape sequences are shown, not obeyed."""
    text = shown(samples.small())
    assert "\x1b" not in text
    assert "\\x1b[31m" in text


def test_output_that_can_hold_ascii_only_gets_ascii() -> None:
    """A log in the C locale is no reason to lose the report."""
    text = shown(samples.small(), encoding="ascii")
    assert "X 3/4" in text


def test_table_is_split_where_the_terminal_is_narrow() -> None:
    """Every application has its column somewhere; none is cut."""
    lines = shown(samples.full(), width=60).splitlines()
    heads = " ".join(line for line in lines if line.startswith(" server"))
    assert all(app in heads.split() for app in ("flask", "falcon-asgi", "django-rest"))
    assert max(len(line) for line in lines if "/58" in line) <= 60


def test_list_shows_what_would_run() -> None:
    """Applications, servers, adapters, checks, and how many cells that makes."""
    screen, written = console(width=160)
    native = [Planned(APPS["flask"], RECIPES["gunicorn-gthread"], None)]
    terminal.show_plan(screen, native, [planned("flask", "uvicorn-h11")], samples.checks(3))
    text = written.getvalue().decode()
    for part in ("Flask", "gunicorn-gthread", "bridge:WsgiToAsgi", "http.request.upload", "RFC 9110, 7.1", "oracle"):
        assert part in text
    assert "2 cells (1 at home to compare with), 3 checks each" in text


# README's table, and the reports again


def test_readme_has_a_row_for_each_adapter() -> None:
    """Checks passed of checks run; the native runs are what the others are compared with."""
    assert markdown.render(samples.small()).splitlines() == [
        "| adapter |      WSGI on ASGI | ASGI on WSGI |",
        "| ------- | ----------------: | -----------: |",
        "| bridge  | 8 of 11 (1 known) |       4 of 4 |",
        "| a2wsgi  |            1 of 3 |            – |",
    ]


def test_reports_can_be_written_again_from_the_document(tmp_path: Path) -> None:
    """The same three files come of it."""
    reports.write(samples.small(), tmp_path)
    result = CliRunner().invoke(main, [str(tmp_path / "matrix.json"), str(tmp_path / "again")])
    assert (result.exit_code, result.output) == (0, "")
    for name in ("matrix.json", "matrix.xml", "matrix.html"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / name).read_bytes()


def test_readme_table_can_be_printed_from_the_document(tmp_path: Path) -> None:
    """``--markdown`` instead of a directory."""
    results = samples.small()
    results.save(tmp_path / "matrix.json")
    result = CliRunner().invoke(main, [str(tmp_path / "matrix.json"), "--markdown"])
    assert (result.exit_code, result.output) == (0, markdown.render(results) + "\n")


@pytest.mark.parametrize(
    "text", ["", "[]", '{"format": 1}', '{"format": 0}'], ids=["nothing", "a list", "no cells", "older"]
)
def test_file_that_is_no_document_is_named(tmp_path: Path, text: str) -> None:
    """An error in one line, not a traceback."""
    (tmp_path / "other.json").write_text(text)
    result = CliRunner().invoke(main, [str(tmp_path / "other.json"), "--markdown"])
    assert result.exit_code == 1
    assert "other.json is not what a run writes" in result.output

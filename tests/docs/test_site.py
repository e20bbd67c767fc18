"""What the site is made of: its navigation, what is generated from figures, and what is kept of a run of the matrix."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from compat_matrix.model import Cell, Check, Outcome, Place
from compat_matrix.results import Results
from docs.site import benchmark_tables, matrix_tables, no_network, record_matrix, repository_links
from tests.docs.pages import DOCS
from tests.docs.programs import pages

SITE = DOCS / "site"
NAVIGATION = re.findall(r"([\w-]+\.md)$", (SITE / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)


def _never(site: object) -> None:
    raise AssertionError("a recorded check is not run")


def results(*cells: Cell, complete: bool = True) -> Results:
    """Make a run of two checks."""
    checks = (
        Check("text", "Text arrives.", "RFC 9110, 6.4", "contract", _never),
        Check("length", "A length is added.", "PEP 3333", "contract", _never),
    )
    return Results(
        checks,
        began="2026-01-02T03:04:05+00:00",
        cells=list(cells),
        complete=complete,
        apps={"flask": "wsgi", "quart": "asgi"},
        servers={"uvicorn-h11": "asgi", "waitress": "wsgi"},
    )


def cell(app: str, server: str, adapter: str, *outcomes: Outcome) -> Cell:
    """Make a cell that was run."""
    return Cell(Place(app, server, adapter), outcomes)


PASSED, ADDED = Outcome("text", "pass"), Outcome("length", "pass")
FAILED = Outcome("length", "fail", "got none\nand a long story")


def test_every_page_is_in_the_navigation() -> None:
    """Once each. That each entry is a page, the strict build says."""
    assert sorted(page.name for page in pages() if page.name not in NAVIGATION) == []
    assert len(NAVIGATION) == len(set(NAVIGATION))


def test_every_hook_is_there() -> None:
    """A hook that is forgotten in the configuration changes no page, and nothing else would say so."""
    named = re.findall(r"- (\w+\.py)$", (SITE / "mkdocs.yml").read_text(encoding="utf-8"), re.MULTILINE)
    tools = ["record_matrix.py"]

    assert sorted([*named, *tools]) == sorted(file.name for file in SITE.glob("*.py"))


def test_link_to_the_repository_becomes_its_path() -> None:
    """Links among pages stay, and so do images."""
    before = "[`tox.ini`](../tox.ini) [its README](../benchmarks/README.md#how) [page](index.md) ![x](../tox.ini)"

    after = repository_links.on_page_markdown(before)

    assert after == "`tox.ini` its README (`benchmarks/README.md`) [page](index.md) ![x](../tox.ini)"


def test_link_that_leads_nowhere_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    """A strict build ends by it: MkDocs counts what is logged below its name."""
    with caplog.at_level(logging.WARNING, "mkdocs"):
        repository_links.on_page_markdown("[gone](../no/such/file.py)")

    (record,) = caplog.records
    assert "no/such/file.py" in record.getMessage()


@pytest.mark.parametrize(
    ("html", "loaded"),
    [
        ('<script src="https://cdn.test/x.js"></script>', ["https://cdn.test/x.js"]),
        ('<link rel="stylesheet" href="//fonts.test/x.css">', ["//fonts.test/x.css"]),
        ('<img alt="" src="http://test/x.png">', ["http://test/x.png"]),
        ('<a href="https://peps.python.org/">PEP</a> <script src="assets/x.js"></script>', []),
    ],
)
def test_what_a_page_loads_from_elsewhere_is_found(html: str, loaded: list[str]) -> None:
    """What a browser fetches by itself, not what a reader follows."""
    assert no_network.loaded_from_elsewhere(html) == loaded


def test_cell_says_how_many_checks_ran_and_passed() -> None:
    """A number alone where all have passed; the failure is below with its reason and place."""
    run = record_matrix.condense(
        results(
            cell("flask", "uvicorn-h11", "bridge", PASSED, ADDED),
            cell("quart", "waitress", "bridge", PASSED, FAILED),
        )
    )

    text = matrix_tables.show(run)

    assert "## WSGI on ASGI\n\n2 of 2 checks passed; 0 did not apply." in text
    assert "| uvicorn-h11 | 2 |" in text
    assert "| waitress | **1 of 2** |" in text
    assert "- `length`: A length is added. (PEP 3333) Got none. quart on waitress." in text


def test_adapters_are_compared_by_their_sums() -> None:
    """A row for each, without the native runs."""
    run = record_matrix.condense(
        results(
            cell("flask", "uvicorn-h11", "bridge", PASSED, ADDED),
            cell("flask", "uvicorn-h11", "a2wsgi", PASSED, FAILED),
            cell("quart", "waitress", "bridge", PASSED, ADDED),
            cell("flask", "waitress", "native", PASSED, ADDED),
        )
    )

    assert matrix_tables.compare(run).splitlines()[2:] == [
        "| bridge | 2 of 2 | 2 of 2 |",
        "| a2wsgi | 1 of 2 | – |",
    ]


def test_failures_of_other_adapters_are_not_listed() -> None:
    """The page is about the bridge; the table says how many there are."""
    run = record_matrix.condense(results(cell("flask", "uvicorn-h11", "a2wsgi", PASSED, FAILED)))

    assert run["failures"] == []


def test_interrupted_run_is_not_kept() -> None:
    """It would look better than it was."""
    with pytest.raises(ValueError, match="interrupted"):
        record_matrix.condense(replace(results(), complete=False))


def test_record_is_written_and_read(tmp_path: Path) -> None:
    """From a report of the matrix to what the page is made of."""
    report, record = tmp_path / "matrix.json", tmp_path / "record.json"
    results(cell("flask", "uvicorn-h11", "bridge", PASSED, ADDED)).save(report)

    record_matrix.main(str(report), str(record))

    run = json.loads(record.read_text())
    assert (run["began"], run["checks"]) == ("2026-01-02T03:04:05+00:00", 2)
    assert "| uvicorn-h11 | 2 |" in matrix_tables.show(run)


@pytest.mark.parametrize("name", ["matrix", "adapters"])
def test_page_has_the_recorded_run(name: str) -> None:
    """The markers of the page are replaced, and the tables say when and with which versions it was."""
    run = json.loads((SITE / f"{name}.json").read_text(encoding="utf-8"))
    page = matrix_tables.on_page_markdown((DOCS / "matrix.md").read_text(encoding="utf-8"))

    assert "<!--" not in page
    assert run["began"][:10] in page
    assert f"uvicorn {run['packages']['uvicorn']}" in page


def test_page_has_every_figure_of_the_benchmarks() -> None:
    """A table for each scenario, a row for each contestant, and the chart."""
    run: dict[str, Any] = json.loads((benchmark_tables.RESULTS / "all.json").read_text(encoding="utf-8"))
    page = benchmark_tables.on_page_markdown((DOCS / "benchmarks.md").read_text(encoding="utf-8"))

    assert benchmark_tables.MARKER not in page
    assert "](benchmarks.svg)" in page
    assert page.count("\n## ") == len(run["results"])
    for result in run["results"]:
        for contestant in result["contestants"]:
            assert f"\n| {contestant['name']}" in page
        for target in result["targets"]:
            assert target["rule"] in page


def test_figures_of_a_scenario_are_those_of_the_run() -> None:
    """Median, spread and ratios in their columns; what missed its target is said, and what failed has its reason."""
    rows: list[dict[str, Any]] = [
        {"name": "bridge", "note": "", "median": 1234.5, "ratios": {"x": 2.0}, "samples": [1000.0, 1234.5, 2000.0]},
        {"name": "x", "note": "slow", "median": None, "ratios": {}, "samples": []},
    ]
    scenario = {
        "title": "calls",
        "unit": "responses/s",
        "higher_is_better": True,
        "rounds": 3,
        "contestants": [{**rows[0], "failure": ""}, {**rows[1], "failure": "did not start"}],
        "targets": [{"contestant": "bridge", "rule": "at least 3 times x", "value": 2.0, "outcome": "missed"}],
    }
    facts = {
        "date": "2026-01-02T03:04:05+00:00",
        "commit": "abc",
        "cpus": 2,
        "processor": "P",
        "memory": 1024,
        "system": "S",
        "python": "CPython 3.12",
        "generator": "wrk",
        "versions": {"flask": "3.1"},
    }

    text = benchmark_tables.render({"facts": facts, "results": [scenario]})

    assert "| bridge | 1,234 | 1,000 to 2,000 | 2.00 |" in text
    assert "| x (slow) | – did not start |  |  |" in text
    assert "- bridge: at least 3 times x was aimed at, and missed (2)" in text
    assert "## Calls\n\n3 rounds; more is better." in text

"""What the site keeps of a run of the matrix: counts and failures, without requests, answers and logs. Runs no check.

python -m compat_matrix --full --adapter bridge --report matrix-report
python -m docs.site.record_matrix matrix-report/matrix.json docs/site/matrix.json
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from compat_matrix.model import NATIVE, Cell, Outcome, Place
from compat_matrix.results import Results, Tally, outcomes

# What a reader of the page has to know; the rest is what those need.
_PACKAGES = (
    *("uvicorn", "hypercorn", "daphne", "granian", "gunicorn", "waitress", "cheroot", "gevent", "eventlet", "twisted"),
    *("werkzeug", "uwsgi", "mod_wsgi", "flask", "django", "bottle", "pyramid", "falcon", "starlette", "fastapi"),
    *("quart", "sanic", "litestar", "channels", "a2wsgi", "asgiref", "anyio"),
    *("flask-sock", "flask-socketio", "simple-websocket", "wsproto"),
)


def condense(results: Results) -> dict[str, Any]:
    """Return what the site keeps of *results*.

    Raises:
        ValueError: the run was not finished: its page would look better than the run was.
    """
    if not results.complete:
        raise ValueError("this run was interrupted: let one run to its end")
    return {
        "began": results.began,
        "python": results.environment.python,
        "platform": results.environment.platform,
        "packages": {name: version for name, version in results.environment.packages.items() if name in _PACKAGES},
        "checks": len(results.checks),
        "adapters": [
            {"name": adapter, "directions": _directions(results, adapter)}
            for adapter in results.adapters()
            if adapter != NATIVE
        ],
        "failures": _failures(results, "fail"),
        "known": _failures(results, "known"),
    }


def _directions(results: Results, adapter: str) -> list[dict[str, Any]]:
    return [
        {
            "name": direction,
            "apps": results.apps_of(cells),
            "servers": results.servers_of(cells),
            "cells": [_cell(cell) for cell in cells],
        }
        for direction, cells in results.groups(adapter).items()
    ]


def _cell(cell: Cell) -> dict[str, Any]:
    tally = Tally.of([cell])
    return {
        "app": cell.place.app,
        "server": cell.place.server,
        "passed": tally.passed,
        "failed": tally.failed,
        "known": tally.known,
        "not_applicable": tally.not_applicable,
    }


def _failures(results: Results, kind: str) -> list[dict[str, Any]]:
    """What the bridge failed, each check and reason once, with the places."""
    checks = {check.id: check for check in results.checks}
    found: dict[tuple[str, str], list[str]] = {}
    for place, outcome in _outcomes(results):
        if place.adapter == "bridge" and outcome.outcome == kind:
            reason = outcome.reason.partition("\n")[0]
            found.setdefault((outcome.check, reason), []).append(f"{place.app} on {place.server}")
    return [
        {
            "check": check,
            "meaning": checks[check].meaning if check in checks else "",
            "clause": checks[check].clause if check in checks else "",
            "reason": reason,
            "places": places,
        }
        for (check, reason), places in found.items()
    ]


def _outcomes(results: Results) -> list[tuple[Place, Outcome]]:
    return [(cell.place, outcome) for cell in results.cells for outcome in outcomes(cell)]


def main(report: str, record: str) -> None:
    """Read *report*, a matrix.json of a run, and write *record*."""
    results = Results.from_json(json.loads(Path(report).read_text(encoding="utf-8")))
    text = json.dumps(condense(results), indent=1)
    Path(record).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])

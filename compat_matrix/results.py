"""matrix.json: everything that a run came to, written anew after each cell so that an interrupted run keeps it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from compat_matrix.model import Cell, Check, Evidence, Outcome, Place

FORMAT = 1

_PACKAGES = (
    *("wsgi-asgi-bridge", "a2wsgi", "asgiref", "anyio", "uvicorn", "hypercorn", "daphne", "granian", "gunicorn"),
    *("waitress", "cheroot", "gevent", "eventlet", "twisted", "werkzeug", "uwsgi", "mod_wsgi", "flask", "django"),
    *("bottle", "pyramid", "falcon", "starlette", "fastapi", "quart", "sanic", "litestar", "channels"),
)


@dataclass
class Results:
    """What a run knows so far."""

    checks: tuple[Check, ...]
    began: str
    """UTC, ISO 8601."""

    cells: list[Cell] = field(default_factory=list)
    complete: bool = False
    """Every planned cell is there."""

    def failures(self, adapter: str) -> list[tuple[Place, Outcome]]:
        """Return what an adapter has failed, cells that could not start included."""
        return [
            (cell.place, outcome)
            for cell in self.cells
            if cell.place.adapter == adapter
            for outcome in cell.outcomes
            if outcome.outcome == "fail"
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document; ``README.md`` describes it."""
        return {
            "format": FORMAT,
            "began": self.began,
            "complete": self.complete,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "packages": _versions(),
            "checks": [
                {"id": check.id, "kind": check.kind, "meaning": check.meaning, "clause": check.clause}
                for check in self.checks
            ],
            "cells": [
                {
                    **asdict(cell.place),
                    "not_run": cell.not_run,
                    "outcomes": [_outcome(outcome) for outcome in cell.outcomes],
                }
                for cell in self.cells
            ],
        }

    def save(self, path: Path) -> None:
        """Write the document; whoever reads meanwhile sees the one before or this one."""
        beside = path.with_name(path.name + ".new")
        beside.write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        os.replace(beside, path)


def cells_of(document: dict[str, Any]) -> Iterable[Cell]:
    """Return the cells of a document that :meth:`Results.to_json` has made."""
    for cell in document["cells"]:
        yield Cell(
            Place(cell["app"], cell["server"], cell["adapter"]),
            tuple(
                Outcome(
                    outcome["check"],
                    outcome["outcome"],
                    outcome["reason"],
                    outcome["seconds"],
                    Evidence(**outcome["evidence"]) if outcome.get("evidence") else None,
                )
                for outcome in cell["outcomes"]
            ),
            cell["not_run"],
        )


def _outcome(outcome: Outcome) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "check": outcome.check,
        "outcome": outcome.outcome,
        "reason": outcome.reason,
        "seconds": round(outcome.seconds, 3),
    }
    if outcome.evidence is not None:
        facts["evidence"] = asdict(outcome.evidence)
    return facts


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions

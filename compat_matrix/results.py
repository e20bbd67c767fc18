"""matrix.json: everything that a run came to, written anew after each cell so that an interrupted run keeps it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from compat_matrix.apps import APPS
from compat_matrix.model import NATIVE, Cell, Check, Evidence, Interface, Outcome, Place
from compat_matrix.servers import RECIPES

FORMAT = 1

SUBJECT = "bridge"
"""The adapter that the matrix is about; the others are there to compare."""

START = "server.start"
"""Stands for a check's id where a server did not start: no check could be asked, and that is a failure."""

START_MEANING = "The server starts."

_PACKAGES = (
    *("wsgi-asgi-bridge", "a2wsgi", "asgiref", "anyio", "uvicorn", "hypercorn", "daphne", "granian", "gunicorn"),
    *("waitress", "cheroot", "gevent", "eventlet", "twisted", "werkzeug", "uwsgi", "mod_wsgi", "flask", "django"),
    *("bottle", "pyramid", "falcon", "starlette", "fastapi", "quart", "sanic", "litestar", "channels"),
    *("asgion", "h11", "h2", "httptools", "trio", "uvloop"),
    *("flask-sock", "flask-socketio", "simple-websocket", "websockets", "wsproto"),
)


def outcomes(cell: Cell) -> tuple[Outcome, ...]:
    """Return the outcomes of a cell; a server that did not start is a failure of :data:`START`."""
    if cell.state != "not started":
        return cell.outcomes
    reason, _, rest = cell.not_run.partition("\n")
    return (
        *cell.outcomes,
        Outcome(START, "fail", reason.removesuffix(" Log:"), evidence=Evidence(log=rest) if rest else None),
    )


@dataclass(frozen=True)
class Tally:
    """How many checks came out how."""

    passed: int = 0
    failed: int = 0
    known: int = 0
    not_applicable: int = 0

    @classmethod
    def of(cls, cells: Iterable[Cell]) -> Tally:
        """Count the outcomes of cells."""
        names = [outcome.outcome for cell in cells for outcome in outcomes(cell)]
        return cls(names.count("pass"), names.count("fail"), names.count("known"), names.count("n/a"))

    @property
    def run(self) -> int:
        """How many checks were run. A known failure was run, and did not pass."""
        return self.passed + self.failed + self.known


@dataclass(frozen=True)
class Environment:
    """What a run ran on."""

    python: str
    platform: str
    packages: Mapping[str, str]
    """Versions of what is installed, by name."""

    @classmethod
    def here(cls) -> Environment:
        """Describe this interpreter."""
        return cls(platform.python_version(), platform.platform(), _versions())


@dataclass
class Results:
    """What a run knows so far."""

    checks: tuple[Check, ...]
    began: str
    """UTC, ISO 8601."""

    cells: list[Cell] = field(default_factory=list)
    complete: bool = False
    """Every planned cell is there."""

    environment: Environment = field(default_factory=Environment.here)
    apps: Mapping[str, Interface] = field(default_factory=lambda: {app.name: app.interface for app in APPS.values()})
    """The interface of each application, by name."""

    servers: Mapping[str, Interface] = field(
        default_factory=lambda: {recipe.name: recipe.interface for recipe in RECIPES.values()}
    )
    """The interface of each server, by name."""

    # Each cell with its line of the document. A cell never changes, and a run saves all of them after each one.
    # Keyed by identity: equality would compare all the evidence. The cell is kept, so its id is not used again.
    _lines: dict[int, tuple[Cell, str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    def adapters(self) -> list[str]:
        """Return the adapters of the cells: the bridge, its peers, and the native runs."""
        names = dict.fromkeys(cell.place.adapter for cell in self.cells)
        return sorted(names, key=lambda name: (name != SUBJECT, name == NATIVE))

    def direction(self, place: Place) -> str:
        """Say which interface is served by which, as in "WSGI on ASGI"; empty where nobody knows."""
        server = self.servers.get(place.server)
        app = self.apps.get(place.app)
        if app is None and server is not None and place.adapter != NATIVE:
            app = "asgi" if server == "wsgi" else "wsgi"
        return f"{app.upper()} on {server.upper()}" if app and server else ""

    def groups(self, adapter: str) -> dict[str, list[Cell]]:
        """Return an adapter's cells by direction."""
        groups: dict[str, list[Cell]] = {}
        for cell in self.cells:
            if cell.place.adapter == adapter:
                groups.setdefault(self.direction(cell.place), []).append(cell)
        return dict(sorted(groups.items(), reverse=True))  # WSGI first

    def apps_of(self, cells: Iterable[Cell]) -> list[str]:
        """Return the applications of cells, in the order in which the matrix lists them."""
        return _in_order((cell.place.app for cell in cells), self.apps)

    def servers_of(self, cells: Iterable[Cell]) -> list[str]:
        """Return the servers of cells, in the order in which the matrix lists them."""
        return _in_order((cell.place.server for cell in cells), self.servers)

    def failures(self, adapter: str) -> list[tuple[Place, Outcome]]:
        """Return what an adapter has failed, servers that did not start included."""
        return [
            (cell.place, outcome)
            for cell in self.cells
            if cell.place.adapter == adapter
            for outcome in outcomes(cell)
            if outcome.outcome == "fail"
        ]

    def to_json(self) -> dict[str, Any]:
        """Return the document; ``README.md`` describes it."""
        return {**self._head(), "cells": [_cell(cell) for cell in self.cells]}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Results:
        """Return the results of a document that :meth:`to_json` has made.

        Their checks can be reported, not run.

        Raises:
            ValueError: the document is of another format.
        """
        if document.get("format") != FORMAT:
            raise ValueError(f"no matrix.json of format {FORMAT}: its format is {document.get('format')!r}")
        return cls(
            checks=tuple(
                Check(check["id"], check["meaning"], check["clause"], check["kind"], _no_check)
                for check in document["checks"]
            ),
            began=document["began"],
            cells=list(cells_of(document)),
            complete=document["complete"],
            environment=Environment(document["python"], document["platform"], document["packages"]),
            apps=document["apps"],
            servers=document["servers"],
        )

    def save(self, path: Path) -> None:
        """Write the document; whoever reads meanwhile sees the one before or this one."""
        replace(path, "".join(self._text()))

    def _head(self) -> dict[str, Any]:
        names = {cell.place.app for cell in self.cells}
        servers = {cell.place.server for cell in self.cells}
        return {
            "format": FORMAT,
            "began": self.began,
            "complete": self.complete,
            "python": self.environment.python,
            "platform": self.environment.platform,
            "packages": dict(self.environment.packages),
            "apps": {name: interface for name, interface in self.apps.items() if name in names},
            "servers": {name: interface for name, interface in self.servers.items() if name in servers},
            "checks": [
                {"id": check.id, "kind": check.kind, "meaning": check.meaning, "clause": check.clause}
                for check in self.checks
            ],
        }

    def _text(self) -> Iterator[str]:
        yield json.dumps(self._head(), indent=1).removesuffix("\n}")
        yield ',\n "cells": ['
        for index, cell in enumerate(self.cells):
            if id(cell) not in self._lines:
                self._lines[id(cell)] = cell, json.dumps(_cell(cell))
            yield (",\n  " if index else "\n  ") + self._lines[id(cell)][1]
        yield "\n ]\n}\n"


def replace(path: Path, text: str) -> None:
    """Write a file; whoever reads meanwhile sees the one before or this one."""
    beside = path.with_name(path.name + ".new")
    try:
        beside.write_text(text, encoding="utf-8")
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def cells_of(document: Mapping[str, Any]) -> Iterable[Cell]:
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
            cell["state"],
        )


def _in_order(names: Iterable[str], order: Iterable[str]) -> list[str]:
    found = dict.fromkeys(names)
    known = [name for name in order if name in found]
    return [*known, *(name for name in found if name not in known)]


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        **asdict(cell.place),
        "state": cell.state,
        "not_run": cell.not_run,
        "outcomes": [_outcome(outcome) for outcome in cell.outcomes],
    }


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


def _no_check(site: object) -> None:
    raise NotImplementedError("a check that was read from matrix.json cannot be run")


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions

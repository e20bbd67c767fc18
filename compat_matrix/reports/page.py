"""The run as one page of HTML that needs no network. Puts data beside the page's script; the script shows it."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import astuple
from hashlib import sha256
from pathlib import Path
from typing import Any

from compat_matrix.model import NATIVE, Cell, Evidence, Outcome
from compat_matrix.results import START, START_MEANING, SUBJECT, Results, outcomes

# Characters of the page that evidence may fill. The bridge's comes first; where a peer's has no room left, the page
# says so, and matrix.json has it. A guess: a browser opens twice as much without being noticed.
EVIDENCE = 8_000_000

_HERE = Path(__file__).parent
_CODES = {"pass": "p", "fail": "f", "known": "k", "n/a": "n"}
_NOT_ASKED = "-"


def render(results: Results, evidence: int = EVIDENCE) -> str:
    """Return the page.

    Whatever a run has seen is data for the page's script, which shows it as text only. The policy of the page allows
    its own script and style and nothing else, so that even markup that got through could load and run nothing.

    Args:
        results: complete or not.
        evidence: characters of evidence to put in at most.
    """
    style = (_HERE / "page.css").read_text(encoding="utf-8")
    script = (_HERE / "page.js").read_text(encoding="utf-8")
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; img-src data:; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'"
    )
    parts = {"policy": policy, "style": style, "data": _embedded(_document(results, evidence)), "script": script}
    template = (_HERE / "page.html").read_text(encoding="utf-8")
    # In one pass: what is put in is not looked through for further places.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)


def _hash(source: str) -> str:
    return f"'sha256-{b64encode(sha256(source.encode()).digest()).decode('ascii')}'"


def _embedded(document: dict[str, Any]) -> str:
    # Nothing in a script element ends it, or hides its end, but these characters; inside JSON they are always
    # part of a string. All others that HTML or UTF-8 cannot hold are escaped by json.
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


class _Texts:
    """Long texts, each once: reasons and answers repeat from cell to cell."""

    def __init__(self) -> None:
        self.all: list[str] = []
        self._numbers: dict[str, int] = {}

    def add(self, text: str) -> int:
        """Return the number of a text."""
        if text not in self._numbers:
            self._numbers[text] = len(self.all)
            self.all.append(text)
        return self._numbers[text]

    def cost(self, texts: Iterable[str]) -> int:
        """Return how many characters these would add to the page."""
        return sum(len(json.dumps(text)) for text in set(texts) if text not in self._numbers)


def _document(results: Results, evidence: int) -> dict[str, Any]:
    texts = _Texts()
    checks = [
        {"id": check.id, "kind": check.kind, "meaning": check.meaning, "clause": check.clause}
        for check in results.checks
    ]
    if any(cell.state == "not started" for cell in results.cells):
        checks.append({"id": START, "kind": "contract", "meaning": START_MEANING, "clause": ""})
    numbers = {check["id"]: number for number, check in enumerate(checks)}
    room = evidence
    adapters = []
    for name in results.adapters():  # the bridge first
        groups = []
        for direction, cells in results.groups(name).items():
            apps, servers = results.apps_of(cells), results.servers_of(cells)
            shown = []
            for cell in cells:
                facts, room = _cell(cell, numbers, texts, room)
                shown.append({"app": apps.index(cell.place.app), "server": servers.index(cell.place.server), **facts})
            groups.append({"direction": direction, "apps": apps, "servers": servers, "cells": shown})
        adapters.append({"name": name, "groups": groups})
    return {
        "run": {
            "began": results.began,
            "complete": results.complete,
            "python": results.environment.python,
            "platform": results.environment.platform,
            "packages": dict(results.environment.packages),
            "cells": len(results.cells),
        },
        "subject": SUBJECT,
        "native": NATIVE,
        "checks": checks,
        "adapters": adapters,
        "texts": texts.all,
    }


def _cell(cell: Cell, numbers: dict[str, int], texts: _Texts, room: int) -> tuple[dict[str, Any], int]:
    """Return what the page has to know about a cell, and the room that is left for evidence."""
    codes = [_NOT_ASKED] * len(numbers)
    times = [0] * len(numbers)
    details: dict[int, dict[str, Any]] = {}
    for outcome in outcomes(cell):
        number = numbers.get(outcome.check)
        if number is None:
            continue  # a document that somebody has edited
        codes[number] = _CODES[outcome.outcome]
        times[number] = round(outcome.seconds * 1000)
        if outcome.outcome != "pass":
            details[number], room = _details(outcome, texts, room)
    facts: dict[str, Any] = {"codes": "".join(codes)}
    if any(times):
        facts["ms"] = times
    if details:
        facts["details"] = details
    if cell.not_run:
        facts["state"] = cell.state
        facts["why"] = texts.add(cell.not_run.partition("\n")[0])
    return facts, room


def _details(outcome: Outcome, texts: _Texts, room: int) -> tuple[dict[str, Any], int]:
    details: dict[str, Any] = {"reason": texts.add(outcome.reason)}
    if outcome.evidence is None or outcome.evidence == Evidence():
        return details, room
    parts: tuple[str, ...] = astuple(outcome.evidence)
    cost = texts.cost(parts)
    if cost > room:
        details["left out"] = True
        return details, room
    details["evidence"] = [texts.add(part) for part in parts]
    return details, room - cost

"""The report as one JSON document, for programs. Its names are stable: docs/command-line.md. Decides nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from bridge import __version__
from bridge.cli.check.checks import CHECKS, LIFESPAN

if TYPE_CHECKING:
    from bridge.cli.check.model import Report

_SCHEMA: Final = 1  # counted up when a name goes or changes its meaning, not when one is added


def document(report: Report) -> dict[str, Any]:
    """Return the report as plain data: dictionaries, lists, text, numbers and None. Times are in seconds."""
    texts = {check.id: (check.meaning, check.clause) for check in CHECKS} | {LIFESPAN[0]: LIFESPAN[1:]}
    return {
        "schema": _SCHEMA,
        "bridge": __version__,
        "application": report.target,
        "kind": report.interface,
        "lifespan": report.lifespan,
        "adapter": report.adapter,
        "loop": report.loop,
        "statuses": report.statuses,
        "ok": not report.reasons,
        "reasons": list(report.reasons),
        "checks": [
            {
                "check": result.check,
                "meaning": texts[result.check][0],
                "clause": texts[result.check][1],
                "path": result.path,
                "native": asdict(result.native),
                "bridged": asdict(result.bridged),
            }
            for result in report.results
        ],
        "differences": [asdict(found) for found in report.differences],
        "not_compared": [asdict(excused) for excused in report.excused],
        "not_asked": [asdict(unasked) for unasked in report.unasked],
        "warnings": [asdict(warning) for warning in report.warnings],
        "times": [
            {
                "path": time.path,
                "native_seconds": time.native,
                "bridged_seconds": time.bridged,
                "requests": time.requests,
            }
            for time in report.times
        ],
    }

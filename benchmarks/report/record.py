"""Results as JSON: every sample of every round, with the facts of the run. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.facts import Facts
from benchmarks.judge import figure, further, ratio, verdicts
from benchmarks.model import Result


def render(facts: Facts, results: Sequence[Result]) -> str:
    """Return the whole run as indented JSON."""
    document = {"facts": asdict(facts), "results": [_entry(result) for result in results]}
    return json.dumps(document, indent=2) + "\n"


def _entry(result: Result) -> dict[str, Any]:
    scenario = result.scenario
    return {
        "scenario": scenario.name,
        "title": scenario.title,
        "unit": scenario.unit,
        "higher_is_better": scenario.higher_is_better,
        "rounds": result.rounds,
        "seconds": result.seconds,
        "contestants": [
            {
                "name": row.name,
                "note": row.note,
                scenario.summary: figure(result, row),
                "ratios": {reference.label: ratio(result, row, reference) for reference in scenario.references},
                "further": further(result, row),
                "samples": row.samples,
                "failure": row.failure,
            }
            for row in result.rows
        ],
        "targets": [asdict(verdict) for verdict in verdicts(result)],
    }

"""One cell of the matrix: a server is started, each check asked, an outcome made of what came. Knows no report."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compat_matrix import composition, known
from compat_matrix.checks.registry import Failed, NotApplicable
from compat_matrix.model import NATIVE, Adapter, App, Cell, Check, Evidence, Outcome, OutcomeName, Place
from compat_matrix.servers import Recipe, ServerFailedError, start
from compat_matrix.site import Site

ROOT = Path(__file__).parents[1]

_KEPT = 4_000  # characters of each part of the evidence


@dataclass(frozen=True)
class Observation:
    """What one run of a check has come to, before it is judged."""

    value: Any = None
    """What an oracle check saw."""

    error: str = ""
    """What was wrong; empty if nothing was."""

    answer: str = ""
    """What the server sent."""

    asked: bool = True
    """False for a check that could not be asked; *error* says why."""


Oracle = Callable[[Check], Observation]
"""What the native run of the same application came to."""


def run_cell(
    app: App,
    recipe: Recipe,
    adapter: Adapter | None,
    checks: Iterable[Check],
    oracle: Oracle | None,
    progress: Callable[[Outcome], object] = lambda outcome: None,
    stopped: Callable[[], bool] = lambda: False,
) -> tuple[Cell, dict[str, Observation]]:
    """Run checks on one application on one server. Blocks.

    Args:
        app: what is served.
        recipe: by which server.
        adapter: through which adapter; None natively.
        checks: in their order.
        oracle: the native run; None if this is the native run.
        progress: is told each outcome.
        stopped: is asked before each check whether the run has been interrupted.

    Returns:
        The cell, and by id what each check observed.
    """
    place = Place(app.name, recipe.name, adapter.name if adapter else NATIVE)
    checks = list(checks)
    missing = app.missing() or recipe.missing() or (adapter.missing() if adapter else None)
    if missing:
        return Cell(place, (), missing, "missing"), {}
    observations: dict[str, Observation] = {}
    outcomes: list[Outcome] = []
    try:
        with start(recipe, composition.TARGET, directory=ROOT, env=composition.variables(app, adapter)) as running:
            site = Site(app, running, bridged=adapter is not None)
            for check in checks:
                if stopped():
                    return Cell(place, tuple(outcomes), "interrupted", "interrupted"), observations
                outcome = _run_check(check, site, place, oracle, observations)
                outcomes.append(outcome)
                progress(outcome)
                if running.ended:
                    break
    except ServerFailedError as error:
        reason = f"the server did not start: {str(error)[:_KEPT]}"
        return Cell(place, tuple(outcomes), reason, "not started"), observations
    gone = f"the server had ended after {outcomes[-1].check}" if outcomes else ""
    # Not silently left out: what a dead server could not be asked has failed.
    for check in checks[len(outcomes) :]:
        outcomes.append(Outcome(check.id, "fail", gone))
        progress(outcomes[-1])
    return Cell(place, tuple(outcomes)), observations


def _run_check(
    check: Check, site: Site, place: Place, oracle: Oracle | None, observations: dict[str, Observation]
) -> Outcome:
    if reason := check.not_applicable(site.app, site.recipe):
        return Outcome(check.id, "n/a", reason)
    began = time.monotonic()
    site.begin()
    observation = observe(check, site)
    observations[check.id] = observation
    if not observation.asked:
        return Outcome(check.id, "n/a", observation.error, time.monotonic() - began)
    at_home = None if oracle is None else oracle(check)
    outcome, reason = judge(check, observation, at_home)
    if outcome != "n/a" and (entry := known.find(check.id, place)) is not None:
        if outcome == "pass":
            outcome, reason = "fail", f"passes, but is listed as known to fail: {entry.reason}"
        else:
            outcome, reason = "known", entry.reason
    seconds = time.monotonic() - began
    if outcome not in ("fail", "known"):
        return Outcome(check.id, outcome, reason, seconds)
    expected = at_home.answer if at_home is not None and check.kind == "oracle" else ""
    evidence = Evidence(site.sent[:_KEPT], site.received[:_KEPT], expected[:_KEPT], site.log()[-_KEPT:])
    return Outcome(check.id, outcome, reason, seconds, evidence)


def observe(check: Check, site: Site) -> Observation:
    """Run a check once; what it raises becomes the observation's error."""
    try:
        value = check.run(site)
    except NotApplicable as error:
        return Observation(error=str(error), answer=site.received, asked=False)
    except Failed as error:
        return Observation(error=str(error), answer=site.received)
    except Exception as error:  # whatever a broken answer makes a check stumble over is a failure of the answer
        return Observation(error=f"{type(error).__name__}: {error}", answer=site.received)
    return Observation(value, answer=site.received)


def judge(check: Check, seen: Observation, at_home: Observation | None) -> tuple[OutcomeName, str]:
    """Return the outcome of a check and the reason, from what was seen here and natively (None: this is native)."""
    if at_home is not None and not at_home.asked:
        if check.kind == "oracle":
            return "n/a", f"nothing to compare with: {at_home.error}"
        at_home = None  # a contract stands by itself; that the home server cannot be asked excuses nothing here
    if at_home is not None and at_home.error:
        if seen.error:
            return "n/a", f"fails natively as well: {at_home.error}"
        if check.kind == "oracle":
            return "n/a", f"nothing to compare with: {at_home.error}"
        return "pass", ""
    if seen.error:
        return "fail", seen.error
    if check.kind == "oracle" and at_home is not None and seen.value != at_home.value:
        return "fail", "differs from the native run: " + difference(at_home.value, seen.value)
    return "pass", ""


def difference(expected: Any, got: Any, path: str = "") -> str:
    """Say where two pieces of plain data first differ."""
    if isinstance(expected, dict) and isinstance(got, dict):
        for key in [*expected, *(key for key in got if key not in expected)]:
            if expected.get(key) != got.get(key) or (key in expected) != (key in got):
                return difference(expected.get(key), got.get(key), f"{path}.{key}" if path else str(key))
    if isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for index, (one, other) in enumerate(zip(expected, got, strict=True)):
            if one != other:
                return difference(one, other, f"{path}[{index}]")
    return f"{path or 'value'}: expected {_short(expected)}, got {_short(got)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 300 else f"{text[:300]}… ({len(text)} characters)"

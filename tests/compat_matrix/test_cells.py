"""How an outcome is made of what a check has seen, here and natively."""

from pathlib import Path
from typing import Any

import pytest

from compat_matrix import cells, known
from compat_matrix.apps import APPS
from compat_matrix.cells import Observation, difference, judge, run_cell
from compat_matrix.checks import CHECKS
from compat_matrix.checks.registry import Failed, NotApplicable
from compat_matrix.known import KNOWN, Known
from compat_matrix.model import App, Check, Outcome, Place
from compat_matrix.plan import plan
from compat_matrix.servers import RECIPES
from compat_matrix.site import Site

SEEN = Observation({"status": 200})
OTHER = Observation({"status": 500})
FAILED = Observation(error="timed out")
UNASKED = Observation(error="uvicorn-h11 cannot", asked=False)


def check(kind: Any = "oracle", **facts: Any) -> Check:
    return Check("http.any", "Anything.", "RFC 9110", kind, lambda site: None, **facts)


@pytest.mark.parametrize(
    ("kind", "seen", "at_home", "outcome", "reason"),
    [
        ("oracle", SEEN, None, "pass", ""),
        ("oracle", SEEN, SEEN, "pass", ""),
        ("oracle", OTHER, SEEN, "fail", "differs from the native run: status: expected 200, got 500"),
        ("oracle", FAILED, SEEN, "fail", "timed out"),
        ("oracle", FAILED, None, "fail", "timed out"),
        ("oracle", FAILED, FAILED, "n/a", "fails natively as well: timed out"),
        ("oracle", SEEN, FAILED, "n/a", "nothing to compare with: timed out"),
        ("oracle", SEEN, UNASKED, "n/a", "nothing to compare with: uvicorn-h11 cannot"),
        ("contract", SEEN, OTHER, "pass", ""),
        ("contract", SEEN, FAILED, "pass", ""),
        ("contract", FAILED, FAILED, "n/a", "fails natively as well: timed out"),
        ("contract", FAILED, SEEN, "fail", "timed out"),
        # That the home server cannot be asked excuses nothing.
        ("contract", FAILED, UNASKED, "fail", "timed out"),
        ("contract", SEEN, UNASKED, "pass", ""),
    ],
)
def test_outcome_is_judged_by_the_native_run(
    kind: str, seen: Observation, at_home: Observation | None, outcome: str, reason: str
) -> None:
    """A cell has to pass what the native run passes."""
    assert judge(check(kind), seen, at_home) == (outcome, reason)


@pytest.mark.parametrize(
    ("expected", "got", "text"),
    [
        ({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3}}, "b.c: expected 2, got 3"),
        ({"a": [1, 2]}, {"a": [1, 3]}, "a[1]: expected 2, got 3"),
        ({"a": [1, 2]}, {"a": [1]}, "a: expected [1, 2], got [1]"),
        ({"a": 1}, {"a": 1, "b": 2}, "b: expected None, got 2"),
        ({"a": 1, "b": None}, {"a": 1}, "b: expected None, got None"),
        (1, "1", "value: expected 1, got '1'"),
        ("x" * 1000, "", f"value: expected '{'x' * 299}\u2026 (1002 characters), got ''"),
    ],
)
def test_difference_is_the_first_one(expected: Any, got: Any, text: str) -> None:
    """Whoever reads the reason has not to look for it."""
    assert difference(expected, got) == text


class Bare(Site):
    """A site without a server, for checks that ask nothing."""

    def __init__(self) -> None:
        self.app = APPS["flask"]
        self.recipe = RECIPES["uvicorn-h11"]
        self._sent = bytearray()
        self._received = bytearray()

    def begin(self) -> None:
        pass

    def log(self) -> str:
        return "log"


PLACE = Place("flask", "uvicorn-h11", "bridge")


def raising(error: Exception) -> Check:
    def run(site: Site) -> None:
        raise error

    return Check("http.any", "Anything.", "RFC 9110", "contract", run)


@pytest.mark.parametrize(
    ("error", "outcome", "reason"),
    [
        (Failed("status: expected 1, got 2"), "fail", "status: expected 1, got 2"),
        (TimeoutError("timed out"), "fail", "TimeoutError: timed out"),
        (KeyError("etag"), "fail", "KeyError: 'etag'"),
        (NotApplicable("no validator"), "n/a", "no validator"),
    ],
)
def test_exception_of_a_check_is_its_outcome(error: Exception, outcome: str, reason: str) -> None:
    """Nothing that a check raises stops the run, and nothing is lost."""
    seen: dict[str, Observation] = {}

    made = cells._run_check(raising(error), Bare(), PLACE, None, seen)

    assert (made.outcome, made.reason) == (outcome, reason)
    assert (made.evidence is not None) == (outcome == "fail")
    assert seen["http.any"].asked == (outcome == "fail")


@pytest.mark.parametrize(
    ("fails", "outcome", "reason"),
    [(True, "known", "a bug of theirs"), (False, "fail", "passes, but is listed as known to fail: a bug of theirs")],
)
def test_known_failure_is_strict(monkeypatch: pytest.MonkeyPatch, fails: bool, outcome: str, reason: str) -> None:
    """An entry that is no longer true makes the matrix fail."""
    monkeypatch.setattr(known, "KNOWN", (Known("http.any", "a bug of theirs", server="uvicorn-h11"),))

    made = cells._run_check(raising(Failed("no")) if fails else check("contract"), Bare(), PLACE, None, {})

    assert (made.outcome, made.reason) == (outcome, reason)


def test_known_failures_are_about_something() -> None:
    """A renamed check, application or server must not leave its excuse behind."""
    for entry in KNOWN:
        assert entry.check in CHECKS
        assert entry.app == "*" or entry.app in APPS
        assert entry.server == "*" or entry.server in RECIPES


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({}, None),
        ({"interface": "asgi"}, "flask is no ASGI application"),
        ({"needs": ("lifespan",)}, APPS["flask"].lacks["lifespan"]),
        ({"where": {"http2": True}}, "uvicorn-h11: http2 is False there"),
        ({"raw": True}, "asked of the applications without a framework"),
    ],
)
def test_check_that_does_not_apply_says_why(facts: dict[str, Any], reason: str | None) -> None:
    """Nothing is skipped silently."""
    assert check(**facts).not_applicable(APPS["flask"], RECIPES["uvicorn-h11"]) == reason


def test_application_without_a_framework_has_checks_of_its_own() -> None:
    """It lacks most of the contract's endpoints, and the others have none of its."""
    recipe = RECIPES["uvicorn-h11"]

    assert check(raw=True).not_applicable(APPS["pep3333"], recipe) is None
    assert check().not_applicable(APPS["pep3333"], recipe) == "needs the contract's endpoints"


def test_application_for_one_feature_has_the_checks_of_this_alone() -> None:
    """It has none of the contract's other endpoints, and the others have none of these."""
    recipe = RECIPES["uvicorn-h11"]
    long_lived = check(needs=("long-lived",))

    assert long_lived.not_applicable(APPS["flask-streams"], recipe) is None
    assert (
        check().not_applicable(APPS["flask-streams"], recipe) == "flask-streams has the endpoints of 'long-lived' alone"
    )
    assert long_lived.not_applicable(APPS["flask"], recipe) == "the application knows nothing of bridge"


def test_features_of_checks_and_applications_are_those_of_the_contract() -> None:
    """A misspelt feature would excuse nothing, or everything."""
    contract = (Path(cells.ROOT) / "compat_matrix/apps/README.md").read_text(encoding="utf-8")
    named = {line.split("|")[1].strip() for line in contract.splitlines() if line.startswith("| ")}
    used = {feature for one in CHECKS.values() for feature in one.needs}
    lacking = {feature for app in APPS.values() for feature in app.lacks}

    # Not of one endpoint: "short" is told in the text of its row, "mount" is all of them below a prefix.
    assert (used | lacking) - {"short", "mount"} <= named


def test_page_says_how_many_checks_are_about_websockets() -> None:
    """Who reads it should not have to count."""
    page = (Path(cells.ROOT) / "docs/compat-matrix.md").read_text(encoding="utf-8")

    assert f"\n{sum(id.startswith('websocket.') for id in CHECKS)} of the {len(CHECKS)} checks, `websocket.*`" in page


def test_facts_of_checks_are_those_of_recipes() -> None:
    """A misspelt fact would raise in the middle of a run."""
    for one in CHECKS.values():
        for app in ("starlette", "asgi3"):
            assert one.not_applicable(APPS[app], RECIPES["uvicorn-h11"]) != ""


def test_server_that_does_not_start_has_its_log_in_the_cell() -> None:
    """Not installed and not started are two things."""
    broken = App("broken", "Broken", "wsgi", "no_such_module:app", ())
    missing = App("missing", "Missing", "wsgi", "json:loads", ("no_such_package",))

    not_started, _ = run_cell(broken, RECIPES["waitress"], None, [check()], None)
    not_installed, _ = run_cell(missing, RECIPES["waitress"], None, [check()], None)

    assert (not_started.state, "no_such_module" in not_started.not_run) == ("not started", True)
    assert (not_installed.state, not_installed.not_run.startswith("missing needs 'no_such_package'")) == (
        "missing",
        True,
    )


def test_server_that_dies_fails_what_it_could_not_be_asked() -> None:
    """A peer that brings its server down must not look as if it had passed the rest."""

    def kill(site: Site) -> None:
        site.running.stop()

    deadly = Check("http.deadly", "Ends the server.", "RFC 9110", "contract", kill)
    outcomes: list[Outcome] = []
    cell, _ = run_cell(APPS["flask"], RECIPES["waitress"], None, [deadly, check("contract")], None, outcomes.append)

    assert [(one.check, one.outcome) for one in cell.outcomes] == [("http.deadly", "pass"), ("http.any", "fail")]
    assert cell.outcomes[1].reason == "the server had ended after http.deadly"
    assert outcomes == list(cell.outcomes)


def test_plan_has_a_native_cell_for_each_standard_once() -> None:
    """flask-asgi is compared with flask; the home servers come first."""
    native, others = plan(["flask", "flask-asgi"], ["uvicorn-h11", "waitress"], ["bridge", "native"])

    assert [(one.app.name, one.recipe.name) for one in native] == [("flask", "gunicorn-gthread")]
    assert [(one.app.name, one.recipe.name, one.adapter and one.adapter.name) for one in others] == [
        ("flask", "uvicorn-h11", "bridge"),
        ("flask", "waitress", None),
        ("flask-asgi", "waitress", "bridge"),
    ]

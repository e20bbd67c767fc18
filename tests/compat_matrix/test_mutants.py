"""The matrix can fail: each adapter that is broken on purpose (mutants.py) is caught by the checks named there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.util import find_spec

import pytest

from compat_matrix import adapters, cells
from compat_matrix.apps import APPS
from compat_matrix.cells import Observation, run_cell
from compat_matrix.checks import CHECKS
from compat_matrix.model import Adapter
from compat_matrix.plan import HOMES
from compat_matrix.servers import RECIPES, running
from compat_matrix.site import Site
from tests.compat_matrix import forking
from tests.compat_matrix.mutants import MUTANTS, Mutant

# Seconds. What a mutant never does has to be waited for. Too short a wait cannot make these tests fail: what is waited
# for with a mutant shall fail.
_PATIENCE = 0.7

# What all mutants can do: one that serves nothing would be caught by any check, and prove nothing.
_ALIVE = {"pep3333": "raw.right", "asgi3": "raw.right", "flask-streams": "stream.plain"}
"""By application; of all others it is ``_ALIVE_OTHERWISE``."""
_ALIVE_OTHERWISE = "http.response.404.right"

_PLACES = sorted({(mutant.app, mutant.server) for mutant in MUTANTS.values()})

# What the servers import, as far as it is the same for many of them.
_IMPORTED = (
    "gunicorn.app.wsgiapp",
    "gunicorn.workers.gthread",
    "uvicorn.main",
    "waitress.runner",
    "compat_matrix.composition",
    "tests.compat_matrix.mutants",
    *sorted({APPS[mutant.app].target.partition(":")[0] for mutant in MUTANTS.values()}),
    *(name for name in ("asgion", "werkzeug.middleware.lint") if find_spec(name)),
)

Standard = Callable[[str], dict[str, Observation]]


class _Impatient(Site):
    """Has the time that any site has for its first check, which shall pass, and ``_PATIENCE`` for the others."""

    _begun = False

    def begin(self) -> None:
        super().begin()
        if self._begun:
            self.timeout = _PATIENCE
        self._begun = True


@pytest.fixture(scope="module", autouse=True)
def forked_servers() -> Iterator[None]:
    """Each application, and each mutant, still has a process of its own."""
    with forking.template(_IMPORTED) as template, pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "subprocess", template)
        yield


@pytest.fixture(scope="module")
def standard() -> Standard:
    """What the oracle checks see of an application at home, by id; each application is started once."""

    @cache
    def at_home(name: str) -> dict[str, Observation]:
        app = APPS[name]
        ids = dict.fromkeys(id for mutant in MUTANTS.values() if mutant.app == name for id in mutant.caught_by)
        oracles = [CHECKS[id] for id in ids if CHECKS[id].kind == "oracle"]
        return run_cell(app, RECIPES[HOMES[app.interface]], None, oracles, None)[1] if oracles else {}

    return at_home


def ask(
    place: tuple[str, str], mutant: str | None, ids: Iterable[str], standard: Standard
) -> dict[str, tuple[str, str]]:
    """Return outcome and reason of each check, of an application on a server, through a mutant or bridge itself."""
    app, recipe = APPS[place[0]], RECIPES[place[1]]
    adapter = adapters.find("bridge", app.interface, recipe.name)
    if mutant is not None:
        adapter = Adapter("mutant", app.interface, f"tests.compat_matrix.mutants:{mutant}", ())
    seen = standard(app.name)
    # No error stands for the contract checks: that they pass without the mutation, test_adapter_passes shows.
    cell, _ = run_cell(
        app,
        recipe,
        adapter,
        [CHECKS[id] for id in dict.fromkeys(ids)],
        lambda check: seen.get(check.id, Observation()),
    )
    assert cell.not_run == ""
    return {outcome.check: (outcome.outcome, outcome.reason) for outcome in cell.outcomes}


@pytest.mark.parametrize("place", _PLACES, ids="-on-".join)
def test_adapter_passes(place: tuple[str, str], standard: Standard) -> None:
    """The checks that catch mutants pass with the adapter as it is, in the same places."""
    caught_by = [id for mutant in MUTANTS.values() if (mutant.app, mutant.server) == place for id in mutant.caught_by]
    outcomes = ask(place, None, caught_by, standard)
    assert {id: outcome for id, outcome in outcomes.items() if outcome != ("pass", "")} == {}


@pytest.mark.parametrize("mutant", MUTANTS.values(), ids=lambda mutant: mutant.name)
def test_mutant_is_caught(mutant: Mutant, standard: Standard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each check that is named for a mutation fails with it, and not because nothing works."""
    if mutant.needs and find_spec(mutant.needs) is None:
        pytest.skip(f"{mutant.needs} is not installed, and only it sees this")
    monkeypatch.setattr(cells, "Site", _Impatient)
    alive = _ALIVE.get(mutant.app, _ALIVE_OTHERWISE)
    outcomes = ask((mutant.app, mutant.server), mutant.name, (alive, *mutant.caught_by), standard)
    expected = {alive: "pass"} | dict.fromkeys(mutant.caught_by, "fail")
    assert {id: outcome for id, (outcome, _) in outcomes.items()} == expected, outcomes

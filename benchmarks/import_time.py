"""The import scenario: what importing the adapter costs next to ``import asyncio``. One process an import."""

from __future__ import annotations

from functools import partial

from benchmarks.model import Contestant, Reference, Scenario, Target
from benchmarks.processes import python_figure

# -E and -s leave out what the user's environment adds; the working directory stays on the path,
# which -I would take away, so that the tree is imported.
_FLAGS = ("-E", "-s")
# Each contestant imports the name that is used, so that none wins by putting its imports off.
_CODE = "import time; start = time.perf_counter(); {}; print(1000 * (time.perf_counter() - start))"
# Imports for each round asked for: single ones vary by a third.
_REPEATS = 5


def _sample(statement: str, seconds: float) -> float:
    # The duration does not apply: an import takes as long as it takes.
    return python_figure([*_FLAGS, "-c", _CODE.format(statement)], seconds)


def _repeated(rounds: int) -> int:
    return _REPEATS * rounds


SCENARIOS = (
    Scenario(
        name="import_time",
        title="import in a fresh interpreter",
        unit="ms",
        subjects=("bridge",),
        contestants=(
            Contestant("bridge", partial(_sample, "from bridge import WsgiToAsgi")),
            Contestant("asyncio", partial(_sample, "import asyncio"), "reference: standard library"),
            Contestant("a2wsgi", partial(_sample, "from a2wsgi import WSGIMiddleware")),
            Contestant("asgiref", partial(_sample, "from asgiref.wsgi import WsgiToAsgi")),
        ),
        references=(Reference("asyncio", ("asyncio",)),),
        targets=(Target("bridge", "asyncio", at_most=1.3),),
        higher_is_better=False,
        rounds=_repeated,
    ),
)

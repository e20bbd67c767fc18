"""The in-process scenarios: names, titles, contestants, targets. Measures through processes of their own."""

from __future__ import annotations

from functools import partial

from benchmarks.model import Contestant, Reference, Scenario, Target
from benchmarks.processes import python_figure
from benchmarks.wrappers import NOTES, WRAPPERS


def _sample(workload: str, wrapper: str, seconds: float) -> float:
    return python_figure(["-m", "benchmarks.in_process", workload, wrapper, str(seconds)], seconds)


def _contestants(workload: str) -> tuple[Contestant, ...]:
    return tuple(Contestant(name, partial(_sample, workload, name), NOTES.get(name, "")) for name in WRAPPERS)


def _scenario(name: str, title: str, *targets: Target) -> Scenario:
    return Scenario(
        name=name,
        title=title,
        unit="responses/s",
        subjects=("bridge",),
        contestants=_contestants(name),
        references=(
            Reference("a2wsgi", ("a2wsgi",)),
            Reference("run_in_executor", ("run_in_executor",)),
        ),
        targets=targets,
    )


SCENARIOS = (
    _scenario(
        "in_process",
        "in process, trivial application, 32 requests at once",
        Target("bridge", "a2wsgi", at_least=10),
        Target("bridge", "run_in_executor", at_least=1.5),
    ),
    _scenario(
        "in_process_sequential",
        "in process, trivial application, one request at a time",
        Target("bridge", "a2wsgi", at_least=5),
    ),
    _scenario(
        "streaming",
        "in process, 100 chunks of 1 KiB from a generator, 8 responses at once",
        Target("bridge", "a2wsgi", at_least=40),
    ),
    _scenario(
        "flask_async_view",
        "in process, Flask async view, 32 requests at once",
        Target("bridge", "a2wsgi", at_least=8),
    ),
)

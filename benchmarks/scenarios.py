"""Every scenario, in the order in which they run."""

from __future__ import annotations

from benchmarks import import_time
from benchmarks.asgi_in_process import scenarios as asgi_in_process
from benchmarks.in_process import scenarios as in_process
from benchmarks.loopback import scenarios as loopback
from benchmarks.memory import scenarios as memory
from benchmarks.model import Scenario
from benchmarks.streams import scenarios as streams
from benchmarks.websocket import scenarios as websocket

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        *in_process.SCENARIOS,
        *asgi_in_process.SCENARIOS,
        *loopback.SCENARIOS,
        *websocket.SCENARIOS,
        *streams.SCENARIOS,
        *memory.SCENARIOS,
        *import_time.SCENARIOS,
    )
}

"""One sample: start a server, echo through it, stop it. Knows no scenario."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.loopback.served_rate import running
from benchmarks.processes import python_figure, python_figures

_CLIENT = ("-m", "benchmarks.websocket.client")


def echo_rate(server: str, module: str, extra: Sequence[str], in_flight: int, seconds: float) -> float:
    """Return messages per second that a server started for this sample has echoed."""
    with running(server, module, extra) as process:
        return python_figure([*_CLIENT, "rate", str(process.port), str(seconds), str(in_flight)], seconds)


def echo_latency(server: str, module: str, extra: Sequence[str], seconds: float) -> tuple[float, ...]:
    """Return the latencies of a server started for this sample, as ``client.Latencies`` has them."""
    with running(server, module, extra) as process:
        return python_figures([*_CLIENT, "latency", str(process.port), str(seconds)], seconds)

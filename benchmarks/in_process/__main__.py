"""One sample in a process of its own: ``python -m benchmarks.in_process WORKLOAD WRAPPER SECONDS``."""

from __future__ import annotations

import asyncio
import sys

from benchmarks.in_process.driver import drive
from benchmarks.in_process.workloads import WORKLOADS
from benchmarks.wrappers import WRAPPERS

# Seconds of warm-up: enough for every thread to have been started and every cache filled.
WARM_UP = 0.3


async def measure(workload_name: str, wrapper_name: str, seconds: float) -> float:
    """Return responses per second of one wrapper on asyncio's own event loop."""
    workload = WORKLOADS[workload_name]
    # On the running loop, since two of the wrappers belong to it.
    application = WRAPPERS[wrapper_name](workload.application())
    await drive(application, workload.load, WARM_UP)
    return await drive(application, workload.load, seconds)


def main() -> None:
    """Print the figure as the last line of standard output."""
    workload_name, wrapper_name, seconds = sys.argv[1:]
    print(asyncio.run(measure(workload_name, wrapper_name, float(seconds))))


if __name__ == "__main__":
    main()

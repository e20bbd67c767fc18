"""One sample in a process of its own: ``python -m benchmarks.asgi_in_process WORKLOAD CONTESTANT SECONDS``."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from benchmarks.asgi_in_process.contestants import CONTESTANTS
from benchmarks.asgi_in_process.driver import drive
from benchmarks.asgi_in_process.workloads import WORKLOADS

# Seconds of warm-up: enough for every thread and loop to have been made and every cache filled.
WARM_UP = 0.3


def measure(workload_name: str, contestant_name: str, seconds: float) -> float:
    """Return responses per second of one contestant."""
    workload = WORKLOADS[workload_name]
    requests = CONTESTANTS[contestant_name](workload.application, workload.load.threads)
    with ThreadPoolExecutor(workload.load.threads) as threads:
        drive(requests, workload.load, WARM_UP, threads)
        return drive(requests, workload.load, seconds, threads)


def main() -> None:
    """Print the figure as the last line of standard output."""
    workload_name, contestant_name, seconds = sys.argv[1:]
    print(measure(workload_name, contestant_name, float(seconds)))


if __name__ == "__main__":
    main()

"""One sample: start a server, open thousands of streams, stop it. Knows no scenario."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.loopback.served_rate import running
from benchmarks.memory.resident import serving
from benchmarks.model import NotMeasured
from benchmarks.processes import python_figures
from benchmarks.streams.client import STREAMS

# One for each stream, and some for all else that a process has open.
_DESCRIPTORS = STREAMS + 200

# It would wait for streams whose clients have left, if a bridge does not end them.
_OPTIONS = ("--timeout-graceful-shutdown", "1")


def sample(kind: str, module: str, target: str, seconds: float) -> tuple[float, ...]:
    """Return the figures of one kind of ``client`` of a server started for this sample.

    Args:
        kind: ``held``, ``events`` or ``latency``.
        module: of ``benchmarks.served``.
        target: the path of the streams.
        seconds: ignored; what is fixed here is the number of streams and of events.

    Raises:
        NotMeasured: also where the system does not allow as many descriptors.
    """
    del seconds
    with _descriptors(), running("uvicorn-httptools", module, _OPTIONS) as process:
        pid = serving(process.process.pid)
        arguments = ["-m", "benchmarks.streams.client", kind, str(process.port), target, str(pid)]
        return python_figures(arguments, 0)


@contextmanager
def _descriptors() -> Iterator[None]:
    """Allow them to this process, whose children, server and client, have the same limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _DESCRIPTORS:
        raise NotMeasured(f"needs {_DESCRIPTORS} descriptors, and the hard limit is {hard} (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _DESCRIPTORS), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

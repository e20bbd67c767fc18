"""One sample over loopback: start a server, warm it up, load it, stop it. Knows no scenario."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks.loopback.load import WARM_UP, rate
from benchmarks.model import NotMeasured
from benchmarks.processes import last_line
from benchmarks.protocols import REPOSITORY
from compat_matrix.servers import RECIPES, RunningServer, ServerFailedError, start

# A hundred times 0.1 seconds: a guess, many times what was seen.
CONNECT_ATTEMPTS = 100
CONNECT_PAUSE = 0.1


@contextmanager
def running(server: str, module: str, extra: Sequence[str] = ()) -> Iterator[RunningServer]:
    """Run a server from ``compat_matrix.servers`` with the application of ``benchmarks.served.<module>``.

    Raises:
        NotMeasured: the server is not installed, or did not start; with the last line of its log.
    """
    recipe = RECIPES[server]
    missing = recipe.missing()
    if missing:
        raise NotMeasured(missing)
    target = f"benchmarks.served.{module}:application"
    try:
        with start(recipe, target, directory=REPOSITORY, extra=(*recipe.quiet, *extra)) as process:
            _wait_until_accepting(process.host, process.port)
            yield process
    except ServerFailedError as error:
        raise NotMeasured(last_line(str(error))) from None


def _wait_until_accepting(host: str, port: int) -> None:
    # Granian logs that it is ready a moment before it listens, and tells nobody when it does.
    for _ in range(CONNECT_ATTEMPTS):
        try:
            socket.create_connection((host, port), CONNECT_PAUSE).close()
            return
        except OSError:
            time.sleep(CONNECT_PAUSE)
    raise NotMeasured(f"refused connections for {CONNECT_ATTEMPTS * CONNECT_PAUSE:g} s after its start")


def served_rate(server: str, module: str, extra: Sequence[str], seconds: float) -> float:
    """Return responses per second of a server started for this sample."""
    with running(server, module, extra) as process:
        rate(process.port, WARM_UP)
        return rate(process.port, seconds)

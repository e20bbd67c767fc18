"""Chooses the load generator and reads its figure. Knows no server."""

from __future__ import annotations

import math
import re
import shutil
import subprocess

from benchmarks.model import NotMeasured
from benchmarks.processes import GRACE, child_environment, last_line, python_figure

CONNECTIONS = 32
# Seconds of warm-up; wrk knows no shorter time.
WARM_UP = 1.0

_RATE = re.compile(r"^Requests/sec: *([\d.]+)", re.MULTILINE)
_TROUBLE = re.compile(r"^ *(Socket errors: .*|Non-2xx.*)$", re.MULTILINE)


def generator_name() -> str:
    """Return the generator that will be used: ``"wrk"`` if it is installed, else ``"bundled"``."""
    return "wrk" if shutil.which("wrk") else "bundled"


def rate(port: int, seconds: float) -> float:
    """Return responses per second from a server on loopback with CONNECTIONS keep-alive connections.

    Raises:
        NotMeasured: the server refused, closed connections, or answered anything but 2xx.
    """
    if generator_name() == "wrk":
        return _wrk(port, seconds)
    arguments = ["-m", "benchmarks.loopback.generator", str(port), str(CONNECTIONS), str(seconds)]
    return python_figure(arguments, seconds)


def _wrk(port: int, seconds: float) -> float:
    # wrk takes whole seconds only.
    length = math.ceil(seconds)
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{length}s", f"http://127.0.0.1:{port}/"]
    try:
        done = subprocess.run(
            command,
            env=child_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=length + GRACE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise NotMeasured(f"wrk did not end within {length + GRACE:g} s") from None
    trouble = _TROUBLE.search(done.stdout)
    if trouble:
        raise NotMeasured(trouble[1])
    found = _RATE.search(done.stdout)
    if done.returncode != 0 or not found:
        raise NotMeasured(last_line(done.stderr) or f"wrk ended with status {done.returncode}")
    return float(found[1])

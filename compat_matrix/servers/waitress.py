"""Waitress: one select loop, a pool of threads, bodies buffered whole."""

import re
import sys

from compat_matrix.servers.recipe import Recipe


def _command(target: str, port: int) -> list[str]:
    # fmt: off
    return [
        sys.executable, "-m", "waitress", f"--listen=127.0.0.1:{port}", "--threads=40", target,
    ]
    # fmt: on


WAITRESS = Recipe(
    name="waitress",
    interface="wsgi",
    package="waitress",
    command=_command,
    ready=re.compile(r"Serving on http://"),
    http2=False,
    lifespan=False,
    event_loop="none",
    streams_body=False,
    lazy_continue=False,
)

"""Waitress: one select loop, a pool of threads, bodies buffered whole."""

import re
import signal
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
    graceful_stop=False,
    raw_target="REQUEST_URI",
    chunked_input="converted",
    ends_before_close=False,
    exits_on=signal.SIGINT,
)

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
    # channel.py, write_soon(): an application waits once outbuf_high_watermark, 16 MiB, lies in a temporary file.
    holds_back=False,
    # task.py, execute(): with the first chunk that is not empty, or after close().
    sends_bare_head=False,
    lazy_continue=False,
    graceful_stop=False,
    raw_target="REQUEST_URI",
    chunked_input="converted",
    ends_before_close=False,
    exits_on=signal.SIGINT,
    joins_cookies=False,
    ends_head=False,
    takes_double_slash=False,
)

"""Gunicorn with its worker of threads."""

import re
import sys

from compat_matrix.servers.recipe import Recipe


def _gthread(target: str, port: int) -> list[str]:
    # Without --no-control-socket version 27 leaves a socket in the home directory.
    # fmt: off
    return [
        sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}",
        "-k", "gthread", "--threads", "40", "--no-control-socket", target,
    ]
    # fmt: on


GUNICORN_GTHREAD = Recipe(
    name="gunicorn-gthread",
    interface="wsgi",
    package="gunicorn",
    command=_gthread,
    ready=re.compile(r"Booting worker with pid"),
    http2=False,
    lifespan=False,
    event_loop="none",
    lazy_continue=False,
)

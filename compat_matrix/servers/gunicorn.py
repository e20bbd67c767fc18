"""Gunicorn: its workers of one thread, of many threads, and of greenlets."""

import re
import sys
from collections.abc import Callable

from compat_matrix.servers.recipe import Recipe


def _command(*options: str) -> Callable[[str, int], list[str]]:
    def command(target: str, port: int) -> list[str]:
        # Without --no-control-socket version 27 leaves a socket in the home directory.
        # fmt: off
        return [
            sys.executable, "-m", "gunicorn", "-b", f"127.0.0.1:{port}", *options, "--no-control-socket", target,
        ]
        # fmt: on

    return command


_READY = re.compile(r"Booting worker with pid")

GUNICORN_SYNC = Recipe(
    name="gunicorn-sync",
    interface="wsgi",
    package="gunicorn",
    command=_command("-k", "sync"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    lazy_continue=False,
    concurrent=False,
    keep_alive=False,
    raw_target="RAW_URI",
    joins_cookies=False,
    # http/wsgi.py, start_response(): process_headers() adds to those that are there.
    replaces_headers=False,
)

GUNICORN_GTHREAD = Recipe(
    name="gunicorn-gthread",
    interface="wsgi",
    package="gunicorn",
    command=_command("-k", "gthread", "--threads", "40"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    lazy_continue=False,
    raw_target="RAW_URI",
    joins_cookies=False,
    replaces_headers=False,
)

GUNICORN_GEVENT = Recipe(
    name="gunicorn-gevent",
    interface="wsgi",
    package="gunicorn",
    command=_command("-k", "gevent"),
    ready=_READY,
    http2=False,
    lifespan=False,
    event_loop="none",
    also=("gevent", "packaging"),
    lazy_continue=False,
    monkey_patched="gevent",
    raw_target="RAW_URI",
    joins_cookies=False,
    replaces_headers=False,
)

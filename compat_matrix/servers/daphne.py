"""Daphne: Twisted on top of an asyncio event loop."""

import re
import sys

from compat_matrix.servers.recipe import Recipe


def _command(target: str, port: int) -> list[str]:
    return [sys.executable, "-m", "daphne", "-b", "127.0.0.1", "-p", str(port), target]


DAPHNE = Recipe(
    name="daphne",
    interface="asgi",
    package="daphne",
    command=_command,
    ready=re.compile(r"Listening on TCP address "),
    http2=False,
    lifespan=False,
    event_loop="asyncio",
    mount_option="--root-path",
    quiet=("--access-log", "/dev/null"),
    streams_body=False,
    lazy_continue=False,
    graceful_stop=False,
)

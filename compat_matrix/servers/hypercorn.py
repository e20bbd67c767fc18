"""Hypercorn: its three kinds of worker."""

import re
import sys
from collections.abc import Callable
from typing import Literal

from compat_matrix.servers.recipe import Recipe


def _command(worker: str) -> Callable[[str, int], list[str]]:
    def command(target: str, port: int) -> list[str]:
        return [sys.executable, "-m", "hypercorn", "-b", f"127.0.0.1:{port}", "-k", worker, target]

    return command


def _recipe(worker: str, event_loop: Literal["asyncio", "trio"], *also: str) -> Recipe:
    return Recipe(
        name=f"hypercorn-{worker}",
        interface="asgi",
        package="hypercorn",
        command=_command(worker),
        ready=re.compile(r"Running on http://"),
        http2=True,
        lifespan=True,
        event_loop=event_loop,
        early_hints=True,
        mount_option="--root-path",
        also=also,
        lazy_continue=False,
        one_date=False,
        tells_close=False,
        says_why_it_closes=False,
    )


HYPERCORN_ASYNCIO = _recipe("asyncio", "asyncio")
HYPERCORN_UVLOOP = _recipe("uvloop", "asyncio", "uvloop")
HYPERCORN_TRIO = _recipe("trio", "trio", "trio")

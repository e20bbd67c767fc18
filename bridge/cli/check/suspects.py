"""Objects of the application's modules that belong to one thread or one event loop. Calls no application."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

from bridge.cli.check.limits import MOST_SAID
from bridge.cli.check.model import Advice

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_FILE: Final = re.compile(r".+?\.py(?=:|$)", re.DOTALL)  # as `load_application` takes it
_OF_ONE_LOOP: Final[tuple[type, ...]] = (
    asyncio.Lock,
    asyncio.Event,
    asyncio.Condition,
    asyncio.Semaphore,
    asyncio.Queue,
)


def suspects(target: str, *, many_loops: bool) -> list[Advice]:
    """Look through the module that *target* names, and through the loaded modules of its package.

    Only values of module-level names are looked at, not what they hold.

    Args:
        target: as `load_application` takes it.
        many_loops: the application's requests run on different event loops.
    """
    found: list[Advice] = []
    for module in _modules(target):
        for name, value in sorted(vars(module).items()):
            text = _suspicion(value, many_loops)
            if text is not None and len(found) < MOST_SAID:
                kind = "thread-bound-object" if _is_connection(value) else "loop-bound-object"
                found.append(Advice(kind, f"{module.__name__}.{name} is {text}"))
    return found


def belongs_to_this_thread(connection: Any) -> bool:
    """Whether a ``sqlite3.Connection``, which this thread made, refuses every other one."""
    if not _can_be_used(connection):  # closed, or of another thread already
        return False
    refused: list[bool] = []
    thread = threading.Thread(target=lambda: refused.append(not _can_be_used(connection)), name="check-sqlite")
    thread.start()
    thread.join()
    return refused == [True]


def _is_connection(value: object) -> bool:
    # Not imported here: some builds of Python have no sqlite3, and then there are no connections either.
    sqlite3 = sys.modules.get("sqlite3")
    return sqlite3 is not None and isinstance(value, sqlite3.Connection)


def _can_be_used(connection: Any) -> bool:
    try:
        connection.cursor().close()
    except sys.modules["sqlite3"].ProgrammingError:
        return False
    return True


def _suspicion(value: object, many_loops: bool) -> str | None:
    if _is_connection(value):
        if belongs_to_this_thread(value):
            return (
                "a sqlite3 connection that only the thread that made it can use: open one for each request, or pass "
                "check_same_thread=False and guard it with a lock"
            )
    elif isinstance(value, asyncio.AbstractEventLoop):
        return (
            "an event loop made at import, which is not the loop that requests run on: use asyncio.get_running_loop()"
        )
    elif many_loops and type(value) in _OF_ONE_LOOP:
        return (
            f"an asyncio.{type(value).__name__}, which belongs to the first loop that waits for it, while each request "
            'has a loop of its own: make it in the lifespan, or pass loop="shared" to AsgiToWsgi'
        )
    return None


def _modules(target: str) -> Iterator[ModuleType]:
    named = _FILE.match(target)
    path = None if named is None else os.path.abspath(named[0])
    package = re.split(r"[.:]", target, maxsplit=1)[0]
    for name, module in sorted(sys.modules.copy().items()):
        file = getattr(module, "__file__", None)
        if path is not None:
            if file is not None and os.path.abspath(file) == path:
                yield module
        elif name == package or name.startswith(package + "."):
            yield module

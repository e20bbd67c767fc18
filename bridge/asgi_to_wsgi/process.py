"""What the process does to adapters: a late patch, a fork, a collection, the exit. Knows no request."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import weakref
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

# How long the exit waits for an adapter that was collected shortly before, in seconds.
_EXIT_GRACE: Final = 5.0


class Adapter(Protocol):
    """What is told of a fork and of the exit."""

    def start_afresh(self) -> None:
        """Forget loops and threads, in a forked child."""
        ...

    def close_at_exit(self) -> None:
        """End loops and threads, in an interpreter that ends."""
        ...


class LateLock:
    """A lock that is made when it is first used: one made before a server patches threading stops its greenlets."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock: threading.Lock | None = None  # under _making

    def __enter__(self) -> None:
        with _making:
            if self._lock is None:
                self._lock = threading.Lock()
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self._lock.release()

    def locked(self) -> bool:
        """Whether somebody holds it."""
        return self._lock is not None and self._lock.locked()


# Held only to make another lock, never while anything waits.
_making = threading.Lock()
_adapters: weakref.WeakSet[Adapter] = weakref.WeakSet()
_closing: set[threading.Thread] = set()
_inherited: list[object] = []


def watch(adapter: Adapter) -> None:
    """Tell *adapter* of a fork and of the exit, as long as it lives."""
    _adapters.add(adapter)


def keep(inherited: object) -> None:
    """Never collect the loops of a forked child's parent: to close them would act on descriptors that both share."""
    _inherited.append(inherited)


def close_collected(close: Callable[[], object]) -> None:
    """Call *close* for something that was collected: anywhere, where nothing may block."""

    def run() -> None:
        try:
            close()
        finally:
            _closing.discard(thread)

    thread = threading.Thread(target=run, name="bridge-close", daemon=True)
    _closing.add(thread)
    try:
        thread.start()
    except RuntimeError:  # at exit, with threads of the server still running: no thread can be started any more
        _closing.discard(thread)


def close_dropped(close: Callable[[], object]) -> None:
    """Call *close* for something that a server dropped: here, unless that was in the middle of an event loop."""
    if asyncio._get_running_loop() is None:
        close()
    else:
        close_collected(close)


def _after_fork() -> None:
    global _making
    _making = threading.Lock()
    _closing.clear()
    for adapter in list(_adapters):
        adapter.start_afresh()


def _at_exit() -> None:
    for adapter in list(_adapters):
        adapter.close_at_exit()
    for thread in list(_closing):
        thread.join(_EXIT_GRACE)


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)

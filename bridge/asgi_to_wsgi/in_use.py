"""What exchanges use at the moment, and how a shutdown waits for them. Knows nothing of what that is."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from bridge.asgi_to_wsgi.green import make_signal

if TYPE_CHECKING:
    from bridge.asgi_to_wsgi.green import Wakeable

T = TypeVar("T")


class InUse(set[T]):
    """A set that can be waited for until it is empty. Any thread: add and discard are atomic."""

    def __init__(self) -> None:
        super().__init__()
        self._watchers: tuple[Wakeable, ...] = ()

    def discard(self, member: object, /) -> None:
        """Remove a member, if it is one."""
        super().discard(member)
        for watcher in self._watchers:
            watcher.wake()

    def drain(self, timeout: float) -> None:
        """Wait until there is no member, *timeout* seconds at most. Blocks."""
        deadline = time.monotonic() + timeout
        changed = make_signal()
        self._watchers = (*self._watchers, changed)  # before the first look: who leaves after it wakes this
        while self and (left := deadline - time.monotonic()) > 0:
            changed.wait(left)

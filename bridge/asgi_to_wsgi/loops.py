"""Which event loop an exchange runs on, and what lives between startup and close. Knows no request."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import TYPE_CHECKING, Any

from bridge.asgi_to_wsgi.green import patched_by
from bridge.asgi_to_wsgi.hosts import Beside

if TYPE_CHECKING:
    from bridge.asgi_to_wsgi.hosts import Host
    from bridge.asgi_to_wsgi.lifespan import Lifespan
    from bridge.asgi_to_wsgi.loop_threads import LoopThread, LoopThreads
    from bridge.asgi_to_wsgi.request_loops import RequestLoops


class Loops:
    """What an adapter has between startup and close."""

    def __init__(
        self,
        thread: LoopThread | None,
        lifespan: Lifespan | None,
        shared: bool,
        threads: LoopThreads,
        loops: RequestLoops | None,
        shutdown_timeout: float,
    ) -> None:
        self.state = None if lifespan is None else lifespan.state
        self._thread = thread
        self._lifespan = lifespan
        self._shared = thread if shared else None
        self._threads = threads
        self._loops = loops
        self._shutdown_timeout = shutdown_timeout
        # uWSGI forks without Python's hooks, so a child has to find out by itself.
        self._process = os.getpid() if "uwsgi" in sys.modules else 0

    def is_inherited(self) -> bool:
        """Whether this is a child that was forked without notice, and these loops are its parent's."""
        return self._process != 0 and self._process != os.getpid()

    def host(self) -> Host:
        """Choose where one exchange runs."""
        if self._shared is not None:
            return Beside(self._shared)
        # A thread runs one loop at a time. Greenlets share theirs, and so do the caller and its own loop.
        if self._loops is None or asyncio._get_running_loop() is not None:
            return self._threads.take()
        modules = sys.modules
        may_share = "gevent.monkey" in modules or "eventlet.patcher" in modules or "trio.lowlevel" in modules
        if may_share and (patched_by() is not None or _in_trio()):
            return self._threads.take()
        return self._loops.take()

    def close(self, drain_timeout: float) -> None:
        """Wait for exchanges, *drain_timeout* seconds at most; shut the application down; end all loops. Blocks."""
        deadline = time.monotonic() + drain_timeout
        for running in (self._thread, self._threads, self._loops):
            if running is not None:
                running.drain(max(0.0, deadline - time.monotonic()))
        if self._thread is not None:
            if self._lifespan is not None:
                self._lifespan.shutdown(self._shutdown_timeout)
            self._thread.stop()
        self._threads.close()
        if self._loops is not None:
            self._loops.close()


def _in_trio() -> bool:
    lowlevel: Any = sys.modules.get("trio.lowlevel")
    return lowlevel is not None and getattr(lowlevel, "in_trio_run", bool)()

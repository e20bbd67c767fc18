"""Which event loop an exchange runs on, and what lives between startup and close. Knows no request."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

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

    def host(self) -> Host:
        """Choose where one exchange runs."""
        if self._shared is not None:
            return Beside(self._shared)
        # A thread runs one loop at a time. Greenlets share theirs, and so do the caller and its own loop.
        if self._loops is None or asyncio._get_running_loop() is not None or patched_by() is not None:
            return self._threads.take()
        return self._loops.take()

    def close(self, drain_timeout: float) -> None:
        deadline = time.monotonic() + self._shutdown_timeout
        if self._thread is not None:
            self._thread.drain(drain_timeout)
            if self._lifespan is not None:
                self._lifespan.shutdown(max(0.0, deadline - time.monotonic()))
            self._thread.stop()
        self._threads.close()
        if self._loops is not None:
            self._loops.close()

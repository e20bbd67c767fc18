"""What environ holds as the connection's socket. Knows no protocol and no event loop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class LazySocket:
    """What libraries find in environ as the connection's socket: the application's end of a pair, once it is used.

    Most WebSockets do not need it, and a pair is two descriptors and a task. Any thread.
    """

    def __init__(self, make: Callable[[], socket.socket]) -> None:
        self._bridge_make = make
        self._bridge_lock = threading.Lock()
        self._bridge_socket: socket.socket | None = None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what Python and debug pages ask of any object
            raise AttributeError(name)
        with self._bridge_lock:
            if self._bridge_socket is None:
                self._bridge_socket = self._bridge_make()
        return getattr(self._bridge_socket, name)

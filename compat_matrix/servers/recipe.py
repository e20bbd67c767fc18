"""What has to be known about a server before it is started. Starts nothing and imports no server."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """How one server is started, and what it does by itself, whatever it serves.

    The facts after *lifespan* were observed; each says where a test may not ask the
    bridge for more than the server lets through.
    """

    name: str
    """Unique; the name in test ids and in the tables."""

    interface: Literal["asgi", "wsgi"]
    """What the target must be."""

    package: str
    """The import name that must be there for the server to start."""

    command: Callable[[str, int], list[str]]
    """Target ("module:attribute") and port to argv. The target is the last item, so that more
    options can be put before it."""

    ready: re.Pattern[str]
    """Matches the log line that is written once connections are accepted."""

    http2: bool
    """HTTP/2 with prior knowledge over cleartext works."""

    lifespan: bool
    """The application is told about startup and shutdown."""

    event_loop: Literal["asyncio", "trio", "none"]
    """The kind of event loop that the application runs on; "none" for WSGI."""

    mount_option: str | None = None
    """The option that takes the path below which a proxy has mounted the application."""

    listens_late: bool = False
    """The ready line comes a moment before connections are accepted, and no line comes after."""

    also: tuple[str, ...] = ()
    """Further import names that the command line asks for."""

    quiet: tuple[str, ...] = ()
    """Options that stop the line per request in the log, for measurements."""

    streams_body: bool = True
    """The application is called before the request's body has arrived as a whole."""

    lazy_continue: bool = True
    """``100 Continue`` is sent when the body is first asked for, not before."""

    messages_ahead: int = 0
    """How many messages ``send()`` takes in beyond what the connection's buffers hold."""

    graceful_stop: bool = True
    """After SIGTERM, exchanges that run are allowed to finish."""

    def missing(self) -> str | None:
        """Say which import name is missing in this interpreter; None when the server can start."""
        for name in (self.package, *self.also):
            if find_spec(name) is None:
                return f"{self.name} needs {name!r}, which cannot be imported"
        return None

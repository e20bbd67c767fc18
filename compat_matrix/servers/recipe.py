"""What has to be known about a server before it is started. Starts nothing and imports no server."""

import re
import signal
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
    """The import name that must be there for the server to start, or that comes with it."""

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

    target_option: str | None = None
    """The option that takes the target, where it does not stand alone; put right before it."""

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

    installed_by: str = "matrix"
    """The extra of pyproject.toml that installs the package."""

    # What follows was observed of WSGI servers only.

    concurrent: bool = True
    """One process serves several requests at once, in threads or greenlets."""

    processes: int = 1
    """How many processes serve requests."""

    monkey_patched: Literal["gevent", "eventlet"] | None = None
    """Who has replaced threads, locks and sockets by its own in the server's process."""

    keep_alive: bool = True
    """A connection serves several requests."""

    raw_target: Literal["RAW_URI", "REQUEST_URI", "RAW_PATH_INFO"] | None = None
    """The key of environ that has the target, or its path, as it was sent; None when it is lost."""

    sends_continue: bool = True
    """``100 Continue`` is sent, sooner or later, to a client that asks for it."""

    chunked_input: Literal["terminated", "converted", "unsaid", "own", "never"] = "terminated"
    """Where a chunked request body ends for the application: ``terminated``: ``wsgi.input`` ends, and
    ``wsgi.input_terminated`` says so; ``converted``: at the ``CONTENT_LENGTH`` that the server has put
    there; ``unsaid``: ``wsgi.input`` ends, but nothing says so; ``own``: only an interface of the server's
    own gives the body; ``never``: ``wsgi.input`` is the bare socket and goes on after the body."""

    survives_cut_chunk: bool = True
    """A client that leaves in the middle of a chunk of its upload does not bring the process down."""

    frames_body: bool = True
    """The client can tell the end of a response of unknown length from a cut. False where the connection's
    end is the body's end (HTTP/1.0 and its kind)."""

    ends_before_close: bool = True
    """A response of unknown length is complete for the client before the iterable's ``close()`` is called."""

    answers_failure: bool = True
    """An application that fails before its headers is answered with 500, not with a closed connection."""

    own_noise: re.Pattern[str] | None = None
    """Matches complaints in the log about what the server itself has left lying about."""

    exits_on: signal.Signals | None = signal.SIGTERM
    """The signal after which ``atexit`` handlers run where the application is; None when they never run."""

    def missing(self) -> str | None:
        """Say which import name is missing in this interpreter; None when the server can start."""
        for name in (self.package, *self.also):
            if find_spec(name) is None:
                source = "" if self.installed_by == "matrix" else f"; the extra {self.installed_by!r} installs it"
                return f"{self.name} needs {name!r}, which cannot be imported{source}"
        return None

"""What has to be known about a server before it is started. Starts nothing and imports no server."""

import os
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from shutil import which
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

    early_hints: bool = False
    """An ASGI application can send 103 responses: those over HTTP/2."""

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

    holds_back: bool = True
    """An application that sends faster than the client reads soon has to wait. False where a buffer without limit, or
    of many megabytes, takes in what it sends."""

    body_in_memory: bool = False
    """A request's body is held in memory as a whole, whatever its size."""

    sends_bare_head: bool = True
    """The head of a response is sent without waiting for a byte of its body."""

    cuts_failed_response: bool = True
    """A response whose application fails after its first chunk ends incomplete for the client. False where it ends
    like a complete one, or does not end."""

    survives_failed_response: bool = True
    """An application that fails after its first chunk harms no later request, nor does its connection stay open."""

    messages_ahead: int = 0
    """How many messages ``send()`` takes in beyond what the connection's buffers hold."""

    graceful_stop: bool = True
    """After SIGTERM, exchanges that run are allowed to finish."""

    program: str | None = None
    """An executable of the system that must be there, too."""

    hands_out_socket: bool = True
    """A WebSocket can be had: a WSGI server lets applications have the connection, an ASGI server has them anyway."""

    denies_websockets: bool = True
    """What an application answers instead of accepting a WebSocket reaches the client, not only a 403."""

    tells_close: bool = True
    """The code with which a client closes a WebSocket reaches the application."""

    sends_close_reason: bool = True
    """The reason with which the application closes a WebSocket reaches the client."""

    says_why_it_closes: bool = True
    """A client that breaks RFC 6455 gets a close frame with the code for it, not only the end of the connection."""

    sends_empty_messages: bool = True
    """A message without content is sent through a WebSocket."""

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

    # What a server makes of requests before an application sees them; observed natively, by compat_matrix/checks.

    drops_underscores: bool = True
    """A header with an underscore in its name does not become, join or replace the one with a hyphen."""

    joins_repeated: bool = True
    """Of a header that is sent several times every value reaches the application, in order."""

    joins_cookies: bool = True
    """Several Cookie headers reach the application as such, or joined by a semicolon, not by a comma."""

    keeps_header_bytes: bool = True
    """A header's value keeps its bytes that are no ASCII."""

    takes_long_lines: bool = True
    """A header or a path of some kilobytes is taken."""

    strips_values: bool = True
    """The space after a header's value is not part of it."""

    invents_type: bool = False
    """A request without a body gets a Content-Type of the server's."""

    decodes_slash: bool = True
    """``%2F`` in a path is decoded, as PEP 3333 and ASGI have it."""

    keeps_dots: bool = True
    """Dot segments of a path reach the application."""

    takes_double_slash: bool = True
    """A path may begin with two slashes, and keeps them."""

    keeps_slashes: bool = True
    """Two slashes inside a path reach the application."""

    takes_broken_escapes: bool = True
    """A percent sign that escapes nothing is part of the path, not an error."""

    takes_absolute_form: bool = True
    """A target in absolute form (RFC 9112, 3.2.2) is understood."""

    takes_chunk_extensions: bool = True
    """Extensions of chunks (RFC 9112, 7.1.1) are ignored, not an error."""

    takes_request_trailers: bool = True
    """Trailers after a chunked request body are no error, and do not join the headers."""

    answers_early: bool = True
    """A response may begin before the request's body has come."""

    refuses_two_lengths: bool = True
    """Two values of Content-Length that differ are refused (RFC 9112, 6.3)."""

    refuses_bad_length: bool = True
    """A Content-Length that is no number of digits is refused, or reaches the application as it is."""

    survives_length_and_chunks: bool = True
    """Transfer-Encoding beside Content-Length is refused or obeyed (RFC 9112, 6.3)."""

    speaks_http10: bool = True
    """A client of HTTP/1.0 gets a response without chunks."""

    one_date: bool = True
    """A Date of the application's is not joined by another one of the server's."""

    knows_head: bool = True
    """A response to HEAD gets no Content-Length of the server's that is not that of GET."""

    ends_head: bool = True
    """A response to HEAD has no bytes after its headers, also when its length is unknown."""

    # What an application without a framework can see; observed natively, by compat_matrix/checks/raw.py.

    tells_version: bool = True
    """SERVER_PROTOCOL, or http_version, is that of the request, not always the same."""

    reads_lines: bool = True
    """``wsgi.input`` is read by lines, by iterating and by bytes in turns, and ends where the body does."""

    sends_header_bytes: bool = True
    """A header's value of a response keeps its bytes that are no ASCII."""

    has_write: bool = True
    """``start_response`` returns ``write()``."""

    replaces_headers: bool = True
    """With exc_info, ``start_response`` replaces the headers that are not sent yet, not only the status."""

    raises_exc_info: bool = True
    """With exc_info, once headers are sent, ``start_response`` raises that exception and no other."""

    def missing(self) -> str | None:
        """Say which import name is missing in this interpreter; None when the server can start."""
        for name in (self.package, *self.also):
            if find_spec(name) is None:
                source = "" if self.installed_by == "matrix" else f"; the extra {self.installed_by!r} installs it"
                return f"{self.name} needs {name!r}, which cannot be imported{source}"
        if self.program is not None and which(self.program, path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None:
            return f"{self.name} needs the program {self.program!r}, which is not installed"
        return None

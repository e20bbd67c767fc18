"""Where each WSGI server keeps the connection of a request, and how it is taken over. Knows no protocol."""

from __future__ import annotations

import io
import os
import socket
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.protocols import Environ


@dataclass(frozen=True)
class Connection:
    """One connection of a server's that can be taken over. Nothing is changed before that."""

    take: Callable[[], Any]
    """Return the socket, of whatever class the server has: ``recv``, ``send``, ``shutdown`` and ``settimeout``."""

    read_early: Callable[[], bytes]
    """Return what the server has read beyond the request. Called when the socket does not block."""

    is_ours: bool = False
    """The socket is a copy, to be closed after use; the server has its own."""

    conclude: Callable[[Callable[[bytes], object]], object] = lambda write: None
    """Called at the end, with what start_response returned, where the server would not know that it is the end."""


# Where nothing hands it out. The server of each way is named in the answer to a client.
SERVERS: Final = "Werkzeug, Gunicorn, gevent, eventlet, Cheroot, Waitress, wsgiref or uWSGI's http-socket"


def find_connection(environ: Environ) -> Connection | None:
    """Return the connection on which this request came; None on a server that does not hand it out."""
    for way in _WAYS:
        connection = way(environ)
        if connection is not None:
            return connection
    return None


def _of_werkzeug(environ: Environ) -> Connection | None:
    return _given(environ.get("werkzeug.socket"), environ.get("wsgi.input"))


def _of_gunicorn(environ: Environ) -> Connection | None:
    given = environ.get("gunicorn.socket")
    unreader = _attribute(environ.get("wsgi.input"), "reader", "unreader")

    def read_early() -> bytes:
        buffer = _attribute(unreader, "buf")
        if not isinstance(buffer, io.BytesIO):
            return b""
        unreader.buf = io.BytesIO()
        return buffer.getvalue()

    return None if given is None else Connection(lambda: given, read_early)


def _of_eventlet(environ: Environ) -> Connection | None:
    wrapped = environ.get("eventlet.input")
    if wrapped is None:
        return None

    def conclude(write: Callable[[bytes], object]) -> None:
        _write_in_vain(write)
        # Its documented way for an application that has used the socket itself; else it logs the broken pipe.
        import_module("eventlet.wsgi").WSGI_LOCAL.already_handled = True

    return _given(wrapped.get_socket(), wrapped.rfile, conclude)


def _of_file(environ: Environ) -> Connection | None:
    """wsgiref, and gevent where a client asks for an upgrade: ``wsgi.input`` is the socket's own file."""
    file = environ.get("wsgi.input")
    return _given(_attribute(file, "raw", "_sock"), file, _write_in_vain)


def _of_cheroot(environ: Environ) -> Connection | None:
    file = _attribute(environ.get("wsgi.input"), "rfile")
    return _given(_attribute(file, "raw", "_sock"), file)


def _of_waitress(environ: Environ) -> Connection | None:
    channel = _attribute(environ.get("waitress.client_disconnected"), "__self__")
    # With a lookahead its main thread goes on reading, and takes the frames for another request.
    if channel is None or _attribute(channel, "adj", "channel_request_lookahead") != 0:
        return None
    return _given(channel.socket, None)


def _of_uwsgi(environ: Environ) -> Connection | None:
    uwsgi: Any = sys.modules.get("uwsgi")
    # Behind its HTTP router the connection is the router's, which speaks another protocol there.
    if uwsgi is None or "uwsgi.version" not in environ or not _HTTP_SOCKETS.intersection(map(_text, uwsgi.opt)):
        return None
    descriptor: int = uwsgi.connection_fd()  # here, in the thread that it called
    return Connection(lambda: socket.socket(fileno=os.dup(descriptor)), bytes, is_ours=True)


_HTTP_SOCKETS: Final = {"http-socket", "http11-socket"}


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode()


# One function for each server that hands the connection out: from environ to it, or None on any other server.
_WAYS: Final[tuple[Callable[[Environ], Connection | None], ...]] = (
    _of_werkzeug,
    _of_gunicorn,
    _of_eventlet,
    _of_file,
    _of_cheroot,
    _of_waitress,
    _of_uwsgi,
)


def _write_in_vain(write: Callable[[bytes], object]) -> None:
    """Let a server that logs only what it has begun to send find out the status."""
    try:
        write(b"")
    except OSError:
        pass  # that was to be expected


def _given(
    given: Any, file: Any, conclude: Callable[[Callable[[bytes], object]], object] = Connection.conclude
) -> Connection | None:
    """The connection *given*, of which the server reads through *file*."""
    if given is None:
        return None

    def read_early() -> bytes:
        read: Callable[[int], bytes] | None = _attribute(file, "read1")  # Cheroot's is not of the class of io's own
        if read is None:
            return b""
        try:
            return read(_BUFFERED)
        except OSError:  # a TLS socket on which nothing has arrived
            return b""

    return Connection(lambda: given, read_early, conclude=conclude)


# More than any server's buffer holds, so that one read gives all of it, in bytes.
_BUFFERED: Final = 1 << 20


def _attribute(value: Any, *names: str) -> Any:
    for name in names:
        value = getattr(value, name, None)
    return value

"""Granian: a server written in Rust, as an ASGI and as a WSGI server."""

import re
import signal
import sys

from compat_matrix.servers.recipe import Recipe

# "Listening at" comes from the parent before the worker process has imported anything.
_READY = re.compile(r"Started worker-1\b")


def _asgi(target: str, port: int) -> list[str]:
    # fmt: off
    return [
        sys.executable, "-m", "granian", "--interface", "asgi",
        "--host", "127.0.0.1", "--port", str(port), target,
    ]
    # fmt: on


def _wsgi(target: str, port: int) -> list[str]:
    # fmt: off
    return [
        sys.executable, "-m", "granian", "--interface", "wsgi",
        "--host", "127.0.0.1", "--port", str(port), target,
    ]
    # fmt: on


GRANIAN = Recipe(
    name="granian",
    interface="asgi",
    package="granian",
    command=_asgi,
    ready=_READY,
    http2=True,
    lifespan=True,
    event_loop="asyncio",
    mount_option="--url-path-prefix",
    listens_late=True,
    messages_ahead=32,
    says_why_it_closes=False,
)

GRANIAN_WSGI = Recipe(
    name="granian-wsgi",
    interface="wsgi",
    package="granian",
    command=_wsgi,
    ready=_READY,
    http2=True,
    lifespan=False,
    event_loop="none",
    listens_late=True,
    ends_before_close=False,
    hands_out_socket=False,
    cuts_failed_response=False,
    # A process of multiprocessing ends by os._exit(), which Python 3.13 lets run atexit handlers before.
    exits_on=signal.SIGTERM if sys.version_info >= (3, 13) else None,
    drops_underscores=False,
    keeps_header_bytes=False,
    reads_lines=False,
    # Values are sent in UTF-8.
    sends_header_bytes=False,
    has_write=False,
)

"""What the launchers share: arguments, the ready line, SIGTERM. Knows no server."""

import argparse
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

HOST = "127.0.0.1"
THREADS = 40  # worker threads, where a server has a fixed number of them


def arguments() -> "tuple[argparse.Namespace, WSGIApplication]":
    """Read the options ``port`` and ``threads``, and import the application."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--threads", type=int, default=THREADS, help="where the server has threads")
    parser.add_argument("target", help="module:attribute")
    options = parser.parse_args()
    module, _, attribute = options.target.partition(":")
    application: WSGIApplication = getattr(import_module(module), attribute)
    return options, application


def listening(port: int) -> None:
    """Say that connections are accepted from now on."""
    print(f"Listening on http://{HOST}:{port}", flush=True)


def on_sigterm(stop: Callable[[], object]) -> None:
    """Call *stop* in the main thread when SIGTERM comes."""

    def handler(number: int, frame: FrameType | None) -> None:
        # One is enough: a second one would meet an interpreter that is already going down.
        signal.signal(number, signal.SIG_IGN)
        stop()

    signal.signal(signal.SIGTERM, handler)


def leave() -> NoReturn:
    """End the program, ``atexit`` handlers included."""
    sys.exit(0)

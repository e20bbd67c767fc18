"""Serve WSGI applications from ASGI servers. The public names, nothing else."""

from bridge.errors import (
    ApplicationError,
    BodyTooLarge,
    BridgeError,
    ClientDisconnected,
    ConfigurationError,
    NoEventLoop,
    ServerError,
)
from bridge.loop_thread import run_async
from bridge.wsgi_to_asgi.adapter import Stats, WsgiToAsgi
from bridge.wsgi_to_asgi.workers import WorkerThreads

__version__ = "0.1.0"

__all__ = [
    "ApplicationError",
    "BodyTooLarge",
    "BridgeError",
    "ClientDisconnected",
    "ConfigurationError",
    "NoEventLoop",
    "ServerError",
    "Stats",
    "WorkerThreads",
    "WsgiToAsgi",
    "run_async",
]

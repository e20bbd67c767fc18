"""WSGI applications on ASGI servers, ASGI applications on WSGI servers. The public names, nothing else."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bridge.asgi_to_wsgi.adapter import AsgiToWsgi
    from bridge.errors import (
        ApplicationError,
        BodyTooLarge,
        BridgeError,
        ClientDisconnected,
        ConfigurationError,
        LifespanFailed,
        NoEventLoop,
        NoWebSocket,
        ServerError,
    )
    from bridge.loop_thread import run_async
    from bridge.streams.server_sent_event import ServerSentEvent
    from bridge.streams.stream import stream
    from bridge.streams.wait import wait
    from bridge.wsgi_to_asgi.adapter import Stats, WsgiToAsgi
    from bridge.wsgi_to_asgi.websocket import WebSocket, websocket
    from bridge.wsgi_to_asgi.workers import WorkerThreads

__version__ = "0.1.0"

__all__ = [
    "ApplicationError",
    "AsgiToWsgi",
    "BodyTooLarge",
    "BridgeError",
    "ClientDisconnected",
    "ConfigurationError",
    "LifespanFailed",
    "NoEventLoop",
    "NoWebSocket",
    "ServerError",
    "ServerSentEvent",
    "Stats",
    "WebSocket",
    "WorkerThreads",
    "WsgiToAsgi",
    "run_async",
    "stream",
    "wait",
    "websocket",
]

_HOMES = {
    "AsgiToWsgi": "bridge.asgi_to_wsgi.adapter",
    "ServerSentEvent": "bridge.streams.server_sent_event",
    "Stats": "bridge.wsgi_to_asgi.adapter",
    "WebSocket": "bridge.wsgi_to_asgi.websocket",
    "WorkerThreads": "bridge.wsgi_to_asgi.workers",
    "WsgiToAsgi": "bridge.wsgi_to_asgi.adapter",
    "run_async": "bridge.loop_thread",
    "stream": "bridge.streams.stream",
    "wait": "bridge.streams.wait",
    "websocket": "bridge.wsgi_to_asgi.websocket",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for first: who uses one direction does not pay for the other."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(_HOMES.get(name, "bridge.errors")), name)
    globals()[name] = value
    return value

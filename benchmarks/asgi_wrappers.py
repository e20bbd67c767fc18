"""How bridge and its peer turn an ASGI application into a WSGI one. Imports either only when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

from benchmarks.protocols import AsgiApplication, WsgiApplication

Wrap = Callable[[AsgiApplication], WsgiApplication]

# Bridge's two ways as contestants. Its default takes one of them, by what the application answers to lifespan.
REQUEST_LOOP = "bridge, request loop"
SHARED_LOOP = "bridge, shared loop"


def through_bridge(application: AsgiApplication, loop: str = "auto") -> WsgiApplication:
    """Wrap with the package under test; *loop* is its option."""
    adapter: WsgiApplication = import_module("bridge").AsgiToWsgi(application, loop=loop)
    return adapter


def through_a2wsgi(application: AsgiApplication) -> WsgiApplication:
    """Wrap with a2wsgi, which has one loop in a thread of its own and no setting for it."""
    adapter: WsgiApplication = import_module("a2wsgi").ASGIMiddleware(application)
    return adapter


WRAPPERS: dict[str, Wrap] = {
    REQUEST_LOOP: partial(through_bridge, loop="request"),
    SHARED_LOOP: partial(through_bridge, loop="shared"),
    "a2wsgi": through_a2wsgi,
}

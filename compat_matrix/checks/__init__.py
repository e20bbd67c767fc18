"""What is asked of every application on every server, one function a behaviour."""

from compat_matrix.checks import (
    backpressure,
    bodies,
    concurrency,
    disconnects,
    failures,
    forging,
    http2,
    lifespan,
    long_lived,
    raw,
    requests,
    responses,
    streaming,
    validators,
    websocket_ends,
    websocket_messages,
    websocket_opening,
    websocket_raw,
    websocket_socketio,
)
from compat_matrix.checks.registry import CHECKS, Failed

__all__ = ["CHECKS", "Failed"]

# Importing a module of checks registers them; the order here is the order in the reports.
_MODULES = (
    requests,
    bodies,
    responses,
    forging,
    streaming,
    long_lived,
    failures,
    disconnects,
    backpressure,
    concurrency,
    lifespan,
    http2,
    websocket_opening,
    websocket_messages,
    websocket_ends,
    websocket_socketio,
    websocket_raw,
    raw,
    validators,
)

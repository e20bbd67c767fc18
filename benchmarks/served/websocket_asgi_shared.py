"""The ASGI application that echoes, through bridge, on the shared loop."""

from benchmarks.asgi_wrappers import through_bridge
from benchmarks.websocket.applications import echo_asgi

application = through_bridge(echo_asgi, loop="shared")

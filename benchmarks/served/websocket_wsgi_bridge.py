"""The WSGI application that echoes, through bridge."""

from benchmarks.websocket.applications import echo
from benchmarks.wrappers import through_bridge

application = through_bridge(echo)

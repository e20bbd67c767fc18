"""The WSGI application that echoes, through Starlette's wrapper."""

from benchmarks.websocket.applications import echo
from benchmarks.wrappers import through_starlette

application = through_starlette(echo)

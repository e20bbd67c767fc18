"""The WSGI application that echoes, through a2wsgi."""

from benchmarks.websocket.applications import echo
from benchmarks.wrappers import through_a2wsgi

application = through_a2wsgi(echo)

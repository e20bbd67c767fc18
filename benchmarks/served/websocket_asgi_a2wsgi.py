"""The ASGI application that echoes, through a2wsgi."""

from benchmarks.asgi_wrappers import through_a2wsgi
from benchmarks.websocket.applications import echo_asgi

application = through_a2wsgi(echo_asgi)

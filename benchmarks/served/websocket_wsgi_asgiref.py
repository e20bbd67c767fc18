"""The WSGI application that echoes, through asgiref."""

from benchmarks.websocket.applications import echo
from benchmarks.wrappers import through_asgiref

application = through_asgiref(echo)

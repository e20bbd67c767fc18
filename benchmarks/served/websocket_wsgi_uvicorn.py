"""The WSGI application that echoes, through Uvicorn's wrapper."""

from benchmarks.websocket.applications import echo
from benchmarks.wrappers import through_uvicorn

application = through_uvicorn(echo)

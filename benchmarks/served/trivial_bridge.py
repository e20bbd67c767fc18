"""The trivial WSGI application through bridge."""

from benchmarks.applications import hello
from benchmarks.wrappers import through_bridge

application = through_bridge(hello)

"""The trivial WSGI application through a2wsgi."""

from benchmarks.applications import hello
from benchmarks.wrappers import through_a2wsgi

application = through_a2wsgi(hello)

"""The application that reads and writes large bodies, through a2wsgi."""

from benchmarks.applications import transfer
from benchmarks.wrappers import through_a2wsgi

application = through_a2wsgi(transfer)

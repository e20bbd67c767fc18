"""The application that reads and writes large bodies, through bridge."""

from benchmarks.applications import transfer
from benchmarks.wrappers import through_bridge

application = through_bridge(transfer)

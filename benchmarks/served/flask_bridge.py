"""The Flask application through bridge."""

from benchmarks import flask_application
from benchmarks.wrappers import through_bridge

application = through_bridge(flask_application.application)

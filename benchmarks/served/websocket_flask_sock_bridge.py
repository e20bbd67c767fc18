"""The flask-sock application through bridge."""

from benchmarks.websocket import flask_sock_application
from benchmarks.wrappers import through_bridge

application = through_bridge(flask_sock_application.application)

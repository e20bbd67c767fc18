"""The Flask application through a2wsgi."""

from benchmarks import flask_application
from benchmarks.wrappers import through_a2wsgi

application = through_a2wsgi(flask_application.application)

"""The Flask application's event streams through a2wsgi, with four threads."""

from importlib import import_module

from benchmarks.streams import flask_application
from benchmarks.streams.beside import with_control

application = with_control(import_module("a2wsgi").WSGIMiddleware(flask_application.application, workers=4))

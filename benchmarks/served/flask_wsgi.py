"""The Flask application as it is, for WSGI servers."""

from benchmarks.flask_application import application

__all__ = ["application"]

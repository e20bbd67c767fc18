"""The flask-sock application as it is, for WSGI servers."""

from benchmarks.websocket.flask_sock_application import application

__all__ = ["application"]

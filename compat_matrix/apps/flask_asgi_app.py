"""The Flask application in ASGI form, for the way back to WSGI servers. The one that knows bridge."""

from __future__ import annotations

from bridge import WsgiToAsgi
from compat_matrix.apps import flask_sock_app

app = WsgiToAsgi(flask_sock_app.app)

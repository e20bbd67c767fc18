"""Applications as users write them, one a framework, all with the endpoints of README.md. Imports no framework."""

from __future__ import annotations

from compat_matrix.model import App

_NO_ASYNC = {"async": "no async def views"}
_OF_ASGI = {
    "background": "background tasks are ASGI's: a WSGI response ends with the call",
    "lifespan": "lifespan is ASGI's",
}

APPS: dict[str, App] = {
    app.name: app for app in (App("flask", "Flask", "wsgi", "compat_matrix.apps.flask_app:app", ("flask",), _OF_ASGI),)
}
"""By name."""

"""ASGI applications through real WSGI servers, started for real."""

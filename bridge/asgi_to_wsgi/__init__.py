"""An ASGI application, served by a WSGI server."""

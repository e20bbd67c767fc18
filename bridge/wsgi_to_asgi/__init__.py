"""A WSGI application, served by an ASGI server."""

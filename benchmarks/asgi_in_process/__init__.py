"""Scenarios in one process: an ASGI application is called as a WSGI one by a driver, without any server."""

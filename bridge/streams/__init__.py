"""Responses of WSGI applications that last, and hold no thread behind WsgiToAsgi: events, long polling."""

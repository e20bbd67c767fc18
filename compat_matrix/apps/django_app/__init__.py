"""A Django project as users write it, for WSGI (wsgi.py) and for ASGI (asgi.py). Knows nothing of bridge."""

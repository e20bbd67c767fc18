"""The FastAPI application through a2wsgi."""

from benchmarks import fastapi_application
from benchmarks.asgi_wrappers import through_a2wsgi

application = through_a2wsgi(fastapi_application.application)

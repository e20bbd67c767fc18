"""The FastAPI application through bridge, with its defaults."""

from benchmarks import fastapi_application
from benchmarks.asgi_wrappers import through_bridge

application = through_bridge(fastapi_application.application)

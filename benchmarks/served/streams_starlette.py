"""The event streams in ASGI."""

from typing import Any

from benchmarks.streams import starlette_application
from benchmarks.streams.beside import with_control

_application: Any = starlette_application.application
application = with_control(_application)

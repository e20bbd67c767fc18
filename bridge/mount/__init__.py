"""Applications of both interfaces side by side. The public names, nothing else."""

from bridge.mount.dispatcher import Dispatcher
from bridge.mount.kinds import as_asgi, as_wsgi

__all__ = ["Dispatcher", "as_asgi", "as_wsgi"]

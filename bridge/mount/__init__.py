"""Applications of both interfaces, and HTTP servers, behind one. The public names, nothing else."""

from bridge.mount.cascade import Cascade
from bridge.mount.dispatcher import Dispatcher
from bridge.mount.kinds import as_asgi, as_wsgi
from bridge.mount.upstream import Upstream

__all__ = ["Cascade", "Dispatcher", "Upstream", "as_asgi", "as_wsgi"]

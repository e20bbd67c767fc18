"""An HTTP server of its own as an ASGI application. The public name, nothing else."""

from bridge.mount.upstream.adapter import Upstream

__all__ = ["Upstream"]

"""Applications that are asked in order. The public name, nothing else."""

from bridge.mount.cascade.adapter import Cascade

__all__ = ["Cascade"]

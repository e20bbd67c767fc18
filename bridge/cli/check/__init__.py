"""``bridge check``: what to expect of an application behind the bridge. The command, nothing else."""

from bridge.cli.check.command import check

__all__ = ["check"]

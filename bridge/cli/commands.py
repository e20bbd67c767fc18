"""The group ``bridge`` and the commands in it. Knows no command's inside."""

from __future__ import annotations

import click

from bridge import __version__
from bridge.cli.serve import serve


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def bridge() -> None:
    """Run WSGI applications on ASGI servers."""


bridge.add_command(serve)

"""The group ``bridge`` and the commands in it. Knows no command's inside."""

from __future__ import annotations

import click

from bridge import __version__
from bridge.cli.check import check
from bridge.cli.serve import serve
from bridge.cli.shown import Group


@click.group(
    cls=Group,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="bridge COMMAND --help says more, with examples; bridge serve --help also how the shell completes commands.",
)
@click.version_option(__version__)
def bridge() -> None:
    """Run WSGI applications on ASGI servers, and ASGI applications on WSGI servers."""


bridge.add_command(check)
bridge.add_command(serve)

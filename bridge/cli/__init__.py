"""The command line's entry. Knows whether the extra ``serve`` is installed, and no command."""

from __future__ import annotations

import sys

_EXTRA = {"click", "rich", "rich_click"}  # what the extra `serve` installs and the commands import


def main() -> None:
    """Run the command that ``sys.argv`` names; never returns.

    Raises:
        SystemExit: always. Status 2 with one line on stderr when the extra
            ``serve`` is missing; the command's own status otherwise.
    """
    try:
        from bridge.cli.commands import bridge
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise  # an installed package is broken: only the traceback says which
        sys.stderr.write(
            f"Error: the command line needs {error.name}, which is not installed; "
            "install it with: pip install 'wsgi-asgi-bridge[serve]'\n"
        )
        sys.exit(2)
    bridge(prog_name="bridge")

"""From this process to the server's: nothing of what this one has loaded goes along. Knows no server."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from bridge.cli.composition import Description

if TYPE_CHECKING:
    from collections.abc import Mapping

_VARIABLE: Final = "BRIDGE_SERVE"


@dataclass(frozen=True)
class Origin:
    """What the user has started this process with. Applications may change both as they are imported."""

    directory: str
    environment: Mapping[str, str]

    @classmethod
    def now(cls) -> Origin:
        """Return what holds before anything is imported."""
        return cls(os.getcwd(), dict(os.environ))


def become(command: list[str], origin: Origin, description: Description) -> NoReturn:
    """Replace this process by *command*, which serves what *description* says.

    The process keeps its number, so signals, systemd and containers reach the server itself. Threads, sockets and
    settings of what has been imported to look at it end here. Windows cannot do that: *command* is a child there,
    and its status becomes ours.
    """
    environment = {**origin.environment, _VARIABLE: description.to_json()}
    os.chdir(origin.directory)
    sys.stdout.flush()
    sys.stderr.flush()
    if sys.platform == "win32":
        import signal
        import subprocess

        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the server gets it too, and takes its time to end
        sys.exit(subprocess.call(command, env=environment))
    os.execve(command[0], command, environment)


def described() -> Description:
    """Return what the process that has become this one, or its parent, was told to serve.

    Raises:
        KeyError: this process does not come from :func:`become`.
    """
    return Description.from_json(os.environ[_VARIABLE])

"""What a command says when it cannot go on, and the exit status that goes with it. Knows no command."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from types import TracebackType

    from bridge.errors import LoadError


class Refused(click.ClickException):
    """One line on stderr: the command line is wrong, as click's own usage errors are."""

    exit_code = 2


class Failed(click.ClickException):
    """One line on stderr, after a traceback: the command line is right, the application is not."""

    exit_code = 1


def give_up(message: str, error: LoadError) -> NoReturn:
    """End the command because an application could not be loaded.

    Args:
        message: what cannot be done and why, one line.
        error: if it has a ``__cause__``, the application's own code failed, and its traceback is shown first,
            from its own first line on.

    Raises:
        Failed: the application's own code failed.
        Refused: it did not.
    """
    cause = error.__cause__
    if cause is None:
        raise Refused(message) from None
    traceback.print_exception(type(cause), cause, _application_frames(cause.__traceback__))
    raise Failed(message) from None


def _application_frames(frames: TracebackType | None) -> TracebackType | None:
    # What comes before the module's own code is the same for every mistake, and nobody's to correct.
    while frames is not None and frames.tb_frame.f_globals.get("__name__") in _NOT_THE_APPLICATION:
        frames = frames.tb_next
    return frames


_NOT_THE_APPLICATION = {
    "bridge.cli.load",
    "importlib",
    "importlib._bootstrap",
    "importlib._bootstrap_external",
    "_frozen_importlib",
    "_frozen_importlib_external",
}

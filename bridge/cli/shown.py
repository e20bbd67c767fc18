"""How commands look: help in colours, mistakes in one line. Knows no command."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.padding import Padding
from rich.text import Text

from bridge.cli.failures import Refused

if TYPE_CHECKING:
    from collections.abc import Generator


class Command(click.RichCommand):
    """A command whose epilog keeps its lines, for examples that can be copied."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = ctx  # click does not always say which command's help to read
            raise

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            formatter.write(Padding(Text(self.epilog.rstrip()), (0, 1, 1, 1)))


class Group(click.RichGroup):
    """Commands whose mistakes are one line on stderr, to be searched for and read in a log, with status 2."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        # Not RichGroup's, which puts a frame around an error.
        return click.Group.main(self, *args, **kwargs)

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        with _in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: Any) -> Any:
        with _in_one_line():
            return super().invoke(ctx)


# From click 8.2 on: a group without a command shows its help.
_HELP: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())


@contextmanager
def _in_one_line() -> Generator[None, None, None]:
    try:
        yield
    except click.UsageError as error:
        if isinstance(error, _HELP):
            raise
        where = "bridge" if error.ctx is None else error.ctx.command_path
        raise Refused(f"{error.format_message()} ({where} --help says more)") from None

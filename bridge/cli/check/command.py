"""``bridge check``: what the user gave, and the exit status. Asks and judges nothing itself."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, Final, NoReturn
from urllib.parse import quote

import click
from rich_click import RichHelpConfiguration

from bridge.cli.check.output import take_stdout
from bridge.cli.completion import applications
from bridge.cli.failures import give_up
from bridge.cli.load import load_application
from bridge.cli.shown import Command
from bridge.errors import LoadError
from bridge.http import HOP_BY_HOP, encode_name, encode_value

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG: Final = """\
Examples:
  bridge check web:app
  bridge check shop.wsgi:application --path / --path '/items?page=2'
  bridge check shop.wsgi:application --header 'Host: shop.example'
  bridge check web:app --json > check.json

The exit status is 0 when there is nothing to worry about. It is 1 when a
check passes natively and fails bridged, when answers differ, when requests at
once go wrong behind the bridge, when a path is not answered natively (an
error, a status from 500 on, the time limit), when the application cannot be
started, and when its own code fails at import. It is 2 when the command line
is wrong. Warnings do not change it.
"""

# Of the connection, of a body, dropped by servers since they can forge others, and what bridge check needs itself.
_NOT_SENT: Final = HOP_BY_HOP | {"content-length", "expect", "proxy", "x-request-id"}
_DEFAULTS: Final = [("host", "localhost"), ("user-agent", "bridge-check"), ("accept", "*/*")]
_SAFE: Final = "/:@!$&'()*+,;=~?%[]"  # RFC 3986, 3.3 and 3.4; a per cent sign is taken for an escape


def _targets(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> list[str]:
    """Return the paths as a client would send them: percent-encoded where they are not."""
    for value in values:
        if not value.startswith("/"):
            raise click.BadParameter(f"a path starts with '/'; {value!r} does not")
        if "#" in value:
            raise click.BadParameter(f"a fragment is never sent; leave out what follows '#' in {value!r}")
    return [quote(value, safe=_SAFE, errors="surrogateescape") for value in values]


def _headers(_ctx: click.Context, _param: click.Parameter, values: Sequence[str]) -> list[tuple[str, str]]:
    """Return names and values, and the defaults of those that are not given."""
    given: list[tuple[str, str]] = []
    for value in values:
        name, colon, rest = value.partition(":")
        if not colon:
            raise click.BadParameter(f"a header is of the form 'NAME: VALUE'; got {value!r}")
        try:
            given.append((encode_name(name).decode(), encode_value(rest).decode("latin-1")))
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        if given[-1][0] in _NOT_SENT or "_" in name:
            raise click.BadParameter(
                f"{name!r} cannot be given: no such header reaches an application with a plain GET"
            )
    names = {name for name, _ in given}
    return [*(default for default in _DEFAULTS if default[0] not in names), *given]


@click.command(
    cls=Command,
    epilog=_EPILOG,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "rich_help_config": RichHelpConfiguration(max_width=100),
    },
)
@click.argument("app", shell_complete=applications)
@click.option(
    "--path",
    "paths",
    callback=_targets,
    multiple=True,
    default=["/"],
    show_default=True,
    metavar="PATH",
    help="What to ask for, with a query if you like; may be given again.",
)
@click.option(
    "--header",
    "headers",
    callback=_headers,
    multiple=True,
    metavar="'NAME: VALUE'",
    help="Send this with each request: a session, or the Host that Django's ALLOWED_HOSTS has; may be given again.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long a request, a startup or a shutdown may take. Each path gets about six times this at most.",
)
@click.option("--json", "as_json", is_flag=True, help="Write one JSON document to stdout, and nothing else.")
def check(app: str, paths: Sequence[str], headers: Sequence[tuple[str, str]], timeout: float, as_json: bool) -> None:
    """Check how an application will do behind the bridge, before you migrate.

    APP is MODULE:APP, MODULE:FACTORY() or a .py file, as `bridge serve` takes it. It is
    called in its own interface, then behind bridge.WsgiToAsgi or bridge.AsgiToWsgi, then
    in its own again, in this process and without a server. What differs is shown, with
    what may go wrong in threads or on event loops, and what the bridge costs.

    Only GET, HEAD and OPTIONS are sent, some of them sixteen at once and about 150 GETs
    of each path in all. What the application prints goes to stderr.
    """
    # Here, so that `bridge serve` and every --help do without both directions and all checks.
    from bridge.cli.check.document import document
    from bridge.cli.check.examine import examine
    from bridge.cli.check.text import show

    out = take_stdout()
    try:
        report = examine(app, load_application(app), paths, headers, timeout)
    except LoadError as error:
        give_up(f"cannot check {app}: {error}", error)
    if as_json:
        json.dump(document(report), out, indent=2)
        out.write("\n")
    else:
        show(report, out)
    _leave(1 if report.reasons else 0, report.stuck, out)


def _leave(status: int, stuck: bool, out: Any) -> NoReturn:
    out.flush()
    if stuck:
        # A thread that hangs in the application, and is no daemon, would keep the process for ever.
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)

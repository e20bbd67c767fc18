"""``bridge serve``: looks at the applications, then becomes the server. Knows no rule of either protocol."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from rich.console import Console
from rich.text import Text
from rich_click import RichHelpConfiguration

from bridge.cli.bind import Tcp, Unix, address_of, obstacle
from bridge.cli.completion import applications
from bridge.cli.composition import THREADS, Description, Part, compose, load_part
from bridge.cli.failures import Refused, give_up
from bridge.cli.handover import Origin, become
from bridge.cli.load import root_of_file
from bridge.cli.servers import SERVERS, command_line, misfit, missing
from bridge.cli.shown import Command
from bridge.errors import ConfigurationError, LoadError

if TYPE_CHECKING:
    from collections.abc import Sequence

_OWN: Final = "bridge.cli.serve.own"  # in the context: the server's own options

_LISTENING: Final = {"--host", "--port", "-b", "-p"}  # what servers have for it, and their users try first

_EPILOG: Final = """\
Examples:
  bridge serve web:app
  bridge serve 'web:create_app()' --threads 8
  bridge serve src/web.py --reload
  bridge serve web:api --mount /legacy=shop.wsgi:application
  bridge serve web:api --mount /old=http://127.0.0.1:9000
  bridge serve web:app --server gunicorn --workers 4 --bind unix:/run/web.sock
  bridge serve web:app -- --proxy-headers --timeout-graceful-shutdown 30

The exit status is the server's. It is 2 when the command line is wrong, and
1 when an application's own code fails before the server starts.

For the shell to complete APP and the options, put into its startup file:
  bash  eval "$(_BRIDGE_COMPLETE=bash_source bridge)"
  zsh   eval "$(_BRIDGE_COMPLETE=zsh_source bridge)"
  fish  _BRIDGE_COMPLETE=fish_source bridge | source
"""

_GROUPS: Final[list[Any]] = [
    {"name": "What to serve", "options": ["--mount"]},
    {"name": "How to serve it", "options": ["--server", "--bind", "--workers", "--threads"]},
    {"name": "While you develop", "options": ["--reload"]},
]


class _ServeCommand(Command):
    """Keeps what follows ``--`` for the server; click would take it for arguments."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        own: list[str] = []
        if "--" in args:
            at = args.index("--")
            args, own = args[:at], args[at + 1 :]
        ctx.meta[_OWN] = own
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            if error.option_name in _LISTENING:
                raise click.UsageError(
                    f"No such option '{error.option_name}'; --bind HOST:PORT is the address", ctx
                ) from None
            raise click.UsageError(
                f"{error.format_message()} The server's own options come last, after --.", ctx
            ) from None

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return ["APP", "[OPTIONS]", "[-- SERVER'S OWN OPTIONS]"]


def _address(_ctx: click.Context, _param: click.Parameter, text: str) -> Tcp | Unix:
    try:
        return address_of(text)
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    cls=_ServeCommand,
    epilog=_EPILOG,
    context_settings={"rich_help_config": RichHelpConfiguration(option_groups={"*": _GROUPS}, max_width=100)},
)
@click.argument("app", shell_complete=applications)
@click.option(
    "--mount",
    "mounts",
    shell_complete=applications,
    metavar="/PREFIX=APP",
    multiple=True,
    help="Serve another application under a prefix; may be given again. APP may also be the address of an HTTP server, "
    "as in /old=http://127.0.0.1:9000 (needs the extra upstream).",
)
@click.option(
    "--server",
    type=click.Choice(list(SERVERS)),
    metavar="NAME",
    default="uvicorn",
    show_default=True,
    help=f"{', '.join(SERVERS)}. Uvicorn comes with the extra serve, each of the others with the extra of its name.",
)
@click.option(
    "--bind",
    callback=_address,
    metavar="ADDRESS",
    default="127.0.0.1:8000",
    show_default=True,
    help="HOST:PORT, [IPv6]:PORT or unix:PATH. Port 0 takes a free one, and the server says which.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes; not on Daphne and Waitress. Each starts the applications anew.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Requests of WSGI applications that run at once in a process, each in a thread; on Gunicorn and Waitress "
    f"requests of any application.  [default: {THREADS}]",
)
@click.option(
    "--reload",
    is_flag=True,
    help="Start again when a file of the application changes; not on Daphne and Waitress.",
)
@click.pass_context
def serve(
    ctx: Any,
    app: str,
    mounts: tuple[str, ...],
    server: str,
    bind: Tcp | Unix,
    workers: int | None,
    threads: int | None,
    reload: bool,
) -> None:
    """Serve WSGI and ASGI applications, side by side, on any of six servers.

    APP is MODULE:NAME, MODULE:FACTORY() or a file, as in web.wsgi:app, web:create_app() or src/web.py. Of a file
    without a NAME it is app, application, or its only application. The current directory is searched for MODULE
    first. Whether an application is WSGI or ASGI is found out, and whether it needs an adapter on the server.

    The applications are loaded once to look at them; then this process becomes the server. What follows -- are
    options of the server itself.
    """
    try:
        origin = Origin.now()
    except OSError as error:
        raise Refused(f"there is no current directory: {error.strerror}; start bridge in one that is there") from None
    chosen = SERVERS[server]
    own: list[str] = ctx.meta[_OWN]
    unfit = misfit(chosen, bind, workers=workers, reload=reload)
    if unfit is not None:
        raise Refused(unfit)
    absent = missing(chosen, reload=reload)
    if absent is not None:
        raise Refused(f"cannot serve on {chosen.title}: {absent}")
    # What follows -- may have the server listen elsewhere, as systemd's sockets do.
    if not own and "LISTEN_FDS" not in origin.environment:
        reason = obstacle(bind, replaces_socket=chosen.replaces_socket)
        if reason is not None:
            raise Refused(f"cannot listen on {bind}: {reason}; --bind has it listen elsewhere")
    targets = [("", app), *map(_split, mounts)]
    parts = [_loaded(prefix, target) for prefix, target in targets]
    count = threads or THREADS
    try:
        compose(parts, chosen.interface, count)
    except ConfigurationError as error:
        raise Refused(f"cannot mount: {error}") from None
    if threads is not None and chosen.threads is None and not any(part.kind == "WSGI" for part in parts):
        click.echo(
            f"--threads has no effect on {chosen.title}: only WSGI applications need worker threads, and there is none",
            err=True,
        )
    command = command_line(
        chosen,
        bind,
        workers=workers,
        threads=count,
        reload=reload,
        watched=_watched([target for _, target in targets], Path(origin.directory)),
        own=own,
    )
    _announce(parts, command)
    become(command, origin, Description(targets, chosen.interface, count))


def _split(mount: str) -> tuple[str, str]:
    prefix, equals, target = mount.partition("=")
    if not equals or not target:
        raise Refused(f"--mount {mount} is not of the form /PREFIX=APP; an example is /legacy=shop.wsgi:application")
    return prefix, target


def _loaded(prefix: str, target: str) -> Part:
    try:
        return load_part(prefix, target)
    except LoadError as error:
        give_up(f"cannot serve {target}: {error}", error)
    except ConfigurationError as error:
        raise Refused(f"cannot serve {target}: {error}") from None


def _watched(targets: Sequence[str], directory: Path) -> list[Path]:
    """Return what to watch for changes, if it is more than the current directory, which servers watch by themselves."""
    roots = [root for target in targets if (root := root_of_file(target)) is not None]
    outside = [root for root in dict.fromkeys(roots) if not root.is_relative_to(directory)]
    return [directory, *outside] if outside else []


def _announce(parts: Sequence[Part], command: Sequence[str]) -> None:
    console = Console(stderr=True, soft_wrap=True)
    prefixes = [part.prefix or "/" for part in parts]
    prefix_width, target_width = max(map(len, prefixes)), max(len(part.target) for part in parts)
    for prefix, part in zip(prefixes, parts, strict=True):
        # As Text, since a target may have brackets, which are markup elsewhere.
        line = Text.assemble(
            (f"{prefix:{prefix_width}}", "bold"), f"  {part.target:{target_width}}  ", (part.kind, "cyan")
        )
        console.print(line)
    console.print(Text(f"$ {shlex.join(['python', *command[1:]])}", "dim"))

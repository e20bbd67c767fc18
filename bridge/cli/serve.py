"""``bridge serve``: one application on Uvicorn. Knows no rule of either protocol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click
import uvicorn
from asgiref import compatibility

from bridge import WsgiToAsgi
from bridge.cli.failures import give_up
from bridge.cli.load import load_application
from bridge.errors import LoadError
from bridge.interface import Interface, interface_of

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG_LEVELS = ["critical", "error", "warning", "info", "debug", "trace"]
_THREADS = 40


@click.command()
@click.argument("target", metavar="MODULE:APP")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="Port to listen on; 0 takes a free one and prints it.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    help=f"Worker threads of a WSGI application, and so its requests at once.  [default: {_THREADS}]",
)
@click.option("--log-level", type=click.Choice(_LOG_LEVELS), default="info", show_default=True)
def serve(target: str, host: str, port: int, threads: int | None, log_level: str) -> None:
    """Serve the application APP of the module MODULE with Uvicorn.

    APP is a WSGI or an ASGI application: which one is found out. The current
    directory is searched for MODULE first.

    The exit status is 2 when MODULE:APP names no application, and 1 when MODULE
    is there but its own code fails.
    """
    try:
        app = load_application(target)
        interface = interface_of(app)
    except LoadError as error:
        give_up(f"cannot serve {target}: {error}", error)
    if interface is not Interface.WSGI and threads is not None:
        click.echo(
            f"--threads has no effect: {target} is an ASGI application, which needs no worker threads",
            err=True,
        )
    # Named, because Uvicorn would guess again, by other rules.
    uvicorn.run(_as_asgi(app, interface, threads), host=host, port=port, log_level=log_level, interface="asgi3")


def _as_asgi(app: object, interface: Interface, threads: int | None) -> Callable[..., Any]:
    application = cast("Callable[..., Any]", app)
    if interface is Interface.WSGI:
        return WsgiToAsgi(application, threads=threads or _THREADS)
    if interface is Interface.ASGI2:
        # As Any: asgiref.compatibility has no annotations.
        application = cast("Any", compatibility).guarantee_single_callable(application)
    return application

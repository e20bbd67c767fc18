"""The servers of ``bridge serve`` and their command lines. Knows no application."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, Literal

from bridge.cli.bind import Tcp, Unix

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TARGET: Final = "bridge.cli.served:app"


@dataclass(frozen=True)
class Server:
    """A server that ``python -m`` runs, and what its options are called; None is what it does not have."""

    name: str
    """Also its module and its extra."""
    title: str
    interface: Literal["asgi", "wsgi"]
    tcp: tuple[str, ...]
    """With ``{host}``, ``{port}`` and ``{address}``, which is both."""
    unix: tuple[str, ...]
    """With ``{path}``."""
    always: tuple[str, ...] = ()
    workers: str | None = None
    threads: str | None = None
    """Threads that run the application, of a WSGI server."""
    reload: str | None = None
    reload_needs: str | None = None
    """A module that only reloading imports."""
    watch: str | None = None
    """A directory that reloading watches besides. None: it watches what has been imported."""
    replaces_socket: bool = True
    """A Unix socket that an earlier server has left."""
    says_its_port: bool = True
    """When it was told to take any."""
    target_last: bool = False
    """No option is seen that comes after the application."""


SERVERS: Final = {
    server.name: server
    for server in (
        Server(
            "uvicorn",
            "Uvicorn",
            "asgi",
            tcp=("--host={host}", "--port={port}"),
            unix=("--uds={path}",),
            always=("--interface=asgi3",),  # it would guess, by other rules than ours
            workers="--workers",
            reload="--reload",
            watch="--reload-dir",
        ),
        Server(
            "hypercorn",
            "Hypercorn",
            "asgi",
            tcp=("--bind={address}",),
            unix=("--bind=unix:{path}",),
            workers="--workers",
            reload="--reload",
        ),
        Server(
            "daphne",
            "Daphne",
            "asgi",
            tcp=("--bind={host}", "--port={port}"),
            unix=("--unix-socket={path}",),
            replaces_socket=False,
        ),
        Server(
            "granian",
            "Granian",
            "asgi",
            tcp=("--host={host}", "--port={port}"),
            unix=("--uds={path}",),
            always=("--interface=asgi",),
            workers="--workers",
            reload="--reload",
            reload_needs="watchfiles",
            watch="--reload-paths",
            replaces_socket=False,
            says_its_port=False,
        ),
        Server(
            "gunicorn",
            "Gunicorn",
            "wsgi",
            tcp=("--bind={address}",),
            unix=("--bind=unix:{path}",),
            always=("--worker-class=gthread",),  # its default runs one request at a time
            workers="--workers",
            threads="--threads",
            reload="--reload",
        ),
        Server(
            "waitress",
            "Waitress",
            "wsgi",
            tcp=("--listen={address}",),
            unix=("--unix-socket={path}",),
            threads="--threads",
            target_last=True,
        ),
    )
}


def missing(server: Server, *, reload: bool) -> str | None:
    """Return what is not installed that *server* needs, and how to install it, one line; None if all is there."""
    absent = server.name if find_spec(server.name) is None else None
    if absent is None and reload and server.reload_needs is not None and find_spec(server.reload_needs) is None:
        absent = f"{server.reload_needs}, which {server.title} needs to reload,"
    if absent is None:
        return None
    extras = "serve" if server.name == "uvicorn" else f"serve,{server.name}"
    return f"{absent} is not installed; install it with: pip install 'wsgi-asgi-bridge[{extras}]'"


def misfit(server: Server, address: Tcp | Unix, *, workers: int | None, reload: bool) -> str | None:
    """Return which option *server* does not have, and which servers do, one line; None if all of them fit."""
    for option, given, attribute in (("--workers", workers is not None, "workers"), ("--reload", reload, "reload")):
        if given and getattr(server, attribute) is None:
            have = [other.title for other in SERVERS.values() if getattr(other, attribute) is not None]
            return f"{server.title} has no {option}; {', '.join(have[:-1])} and {have[-1]} have it"
    if isinstance(address, Tcp) and address.port == 0 and not server.says_its_port:
        return f"{server.title} does not say which port it has taken for port 0; name one in --bind"
    if isinstance(address, Unix) and sys.platform == "win32":
        return "there are no Unix sockets on Windows; use --bind HOST:PORT"
    return None


def command_line(
    server: Server,
    address: Tcp | Unix,
    *,
    workers: int | None,
    threads: int,
    reload: bool,
    watched: Sequence[Path],
    own: Sequence[str],
) -> list[str]:
    """Return the command that serves :data:`TARGET`.

    Args:
        server: one that has all these options, see :func:`misfit`.
        address: where it listens.
        workers: processes; None is the server's own default.
        threads: for a WSGI server only.
        reload: start again when a file changes.
        watched: directories of such files, if they are not those that the server watches by itself.
        own: the server's own options, which come last, so that they decide.
    """
    listen, facts = server.tcp, {"address": str(address)}
    if isinstance(address, Unix):
        listen, facts = server.unix, {"path": address.path}
    else:
        facts |= {"host": address.host, "port": str(address.port)}
    options = [*server.always, *(part.format_map(facts) for part in listen)]
    if server.name == "gunicorn" and _gunicorn_has_control_socket() and not any("control-socket" in o for o in own):
        # It would be one for all Gunicorns of this user, in the home directory, and the last one would have it.
        options.append("--no-control-socket")
    if server.threads is not None:
        options.append(f"{server.threads}={threads}")
    if workers is not None:
        options.append(f"{server.workers}={workers}")
    if reload:
        assert server.reload is not None
        options.append(server.reload)
        if server.watch is not None:
            options += [f"{server.watch}={directory}" for directory in watched]
    arguments = [*options, *own, TARGET] if server.target_last else [*options, TARGET, *own]
    return [sys.executable, "-m", server.name, *arguments]


def _gunicorn_has_control_socket() -> bool:
    return tuple(map(int, re.findall(r"\d+", version("gunicorn"))[:2])) >= (25, 1)

"""One application out of APP and its mounts, of the interface that the server has. Knows no server."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from bridge.cli.load import load_application
from bridge.errors import ConfigurationError
from bridge.interface import Interface, interface_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.protocols import WsgiApplication

THREADS: Final = 40
_KINDS: Final[dict[Interface, Literal["WSGI", "ASGI 2", "ASGI"]]] = {
    Interface.WSGI: "WSGI",
    Interface.ASGI2: "ASGI 2",
    Interface.ASGI3: "ASGI",
}


@dataclass(frozen=True)
class Part:
    """An application and where it is mounted; ``""`` is for all that no other is for."""

    prefix: str
    target: str
    application: object
    kind: Literal["WSGI", "ASGI 2", "ASGI", "HTTP"]


@dataclass(frozen=True)
class Description:
    """What to serve, as text, for another process.

    Attributes:
        targets: prefixes and what is mounted there, in their order; the first prefix is ``""``.
        interface: of the server.
        threads: requests that WSGI applications run at once.
    """

    targets: list[tuple[str, str]]
    interface: Literal["asgi", "wsgi"]
    threads: int

    def to_json(self) -> str:
        """Return what :meth:`from_json` takes."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Description:
        """Return the description that :meth:`to_json` gave."""
        found = json.loads(text)
        return cls([(prefix, target) for prefix, target in found["targets"]], found["interface"], found["threads"])


def load_part(prefix: str, target: str) -> Part:
    """Load what *target* names, an application or the address of an HTTP server.

    Raises:
        LoadError: as :func:`bridge.cli.load.load_application`, or it is no application.
        ConfigurationError: the address is none, or the extra ``upstream`` is not installed.
    """
    if target.startswith(("http://", "https://")):
        from bridge.mount.upstream import Upstream  # its extra is not everybody's

        return Part(prefix, target, Upstream(target), "HTTP")
    application = load_application(target)
    return Part(prefix, target, application, _KINDS[interface_of(application)])


def compose(parts: Sequence[Part], interface: Literal["asgi", "wsgi"], threads: int) -> object:
    """Return *parts* as one application: as it is, where that is what the server needs.

    Args:
        parts: the first is for all paths that none of the others is for.
        interface: of the server.
        threads: of the worker threads that WSGI applications share.

    Raises:
        ConfigurationError: a prefix is none, or there twice.
    """
    from bridge import AsgiToWsgi, WorkerThreads, WsgiToAsgi
    from bridge.mount import Dispatcher, as_asgi

    first = parts[0]
    if len(parts) == 1 and interface == "wsgi":
        return first.application if first.kind == "WSGI" else AsgiToWsgi(as_asgi(first.application))
    workers = WorkerThreads(threads)
    applications = [
        WsgiToAsgi(cast("WsgiApplication", part.application), threads=workers)
        if part.kind == "WSGI"
        else part.application
        for part in parts
    ]
    if len(parts) == 1:
        return as_asgi(applications[0])
    mounts: dict[str, object] = {}
    for part, application in zip(parts[1:], applications[1:], strict=True):
        if part.prefix in mounts:
            raise ConfigurationError(f"two applications are mounted at {part.prefix!r}")
        mounts[part.prefix] = application
    dispatcher = Dispatcher(applications[0], mounts)
    return dispatcher if interface == "asgi" else AsgiToWsgi(dispatcher)

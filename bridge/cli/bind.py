"""Where a server listens: ``HOST:PORT``, ``[IPv6]:PORT`` or ``unix:PATH``. Knows no server."""

from __future__ import annotations

import ipaddress
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bridge.errors import ConfigurationError

_PATIENCE: Final = 1.0  # seconds for a local socket to take a connection; longer, and it is one in use


@dataclass(frozen=True)
class Tcp:
    """A host, an IPv6 address without brackets, and a port; 0 is any that is free."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Unix:
    """A Unix socket."""

    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


def address_of(text: str) -> Tcp | Unix:
    """Return what *text* says.

    Raises:
        ConfigurationError: it says nothing.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise ConfigurationError("it has no path; an example is unix:/run/web.sock")
        return Unix(path)
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        meant = [f"[{text}]:8000"] if _is_ipv6(text) else []
        meant += [f"[{host}]:{port}"] if _is_ipv6(host) else []
        if meant:
            raise ConfigurationError(f"an IPv6 address stands in brackets, as in {' or '.join(meant)}")
        host = ""  # neither a name nor an address
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ConfigurationError(f"{text!r} is not HOST:PORT, [IPv6]:PORT or unix:PATH; an example is 127.0.0.1:8000")
    return Tcp(host, int(port))


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def obstacle(address: Tcp | Unix, *, replaces_socket: bool) -> str | None:
    """Return why no server could listen on *address* now, one line; None if nothing is in its way.

    A server is not asked, since some answer with a traceback. The address is free again when this returns.

    Args:
        address: where to listen.
        replaces_socket: whether the server takes the place of a Unix socket that an earlier one has left.
    """
    try:
        if isinstance(address, Tcp):
            _try_tcp(address)
            return None
        return _obstacle_of_unix(Path(address.path), replaces_socket)
    except OSError as error:
        return error.strerror or str(error)


def _try_tcp(address: Tcp) -> None:
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as probe:
        if os.name == "posix":
            # As servers do: connections of an earlier one that are still ending are in nobody's way. On Windows
            # the option would let two servers have one port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT"):
            # Servers that hand a port over to their successors share it with them.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        probe.bind(where)


def _obstacle_of_unix(path: Path, replaces_socket: bool) -> str | None:
    if not path.exists():
        directory = path.absolute().parent
        if not directory.is_dir():
            return f"there is no directory {directory}"
        with socket.socket(socket.AF_UNIX) as probe:
            probe.bind(str(path))  # fails where files may not be made, and if the path is too long
        path.unlink()
        return None
    if not path.is_socket():
        return f"{path} is there and no socket"
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_PATIENCE)
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            return None if replaces_socket else f"an earlier server has left {path}; remove it"
    return "a server listens there already"

"""Addresses of ``--bind``: what they say, and what is in their way."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from bridge.cli.bind import Tcp, Unix, address_of, obstacle
from bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", Tcp("127.0.0.1", 8000)),
        ("localhost:0", Tcp("localhost", 0)),
        ("[::1]:65535", Tcp("::1", 65535)),
        ("unix:/run/web.sock", Unix("/run/web.sock")),
        ("unix:web.sock", Unix("web.sock")),
    ],
)
def test_an_address_is_read_and_written(text: str, address: Tcp | Unix) -> None:
    assert (address_of(text), str(address)) == (address, text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8000",
        ":8000",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:http",
        "127.0.0.1:65536",
        "127.0.0.1:-1",
        "a:²",
        "::1",
        "::1:80",
        "unix:",
        "[::1]",
        "http://127.0.0.1:8000",
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """With an example of what is one."""
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:8000|in brackets, as in|unix:/run/web\.sock"):
        address_of(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("::1", r"in \[::1\]:8000$"),
        ("::1:80", r"in \[::1:80\]:8000 or \[::1\]:80$"),
        ("[::1]", "127.0"),
        ("http://a:80", "127.0"),
    ],
)
def test_brackets_are_for_an_ipv6_address_alone(text: str, meant: str) -> None:
    """What else has colons gets another example."""
    with pytest.raises(ConfigurationError, match=meant):
        address_of(text)


def test_a_free_address_has_no_obstacle(tmp_path: Path) -> None:
    """And it is still free after it was tried."""
    for _ in range(2):
        assert obstacle(Tcp("127.0.0.1", 0), replaces_socket=False) is None
        assert obstacle(Unix(f"{tmp_path}/web.sock"), replaces_socket=False) is None


def test_a_port_in_use_is_an_obstacle() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        said = obstacle(Tcp("127.0.0.1", other.getsockname()[1]), replaces_socket=False)
    assert said == "Address already in use"


def test_a_host_of_another_machine_is_an_obstacle() -> None:
    """192.0.2.0/24 is for documentation (RFC 5737): no machine has it."""
    assert obstacle(Tcp("192.0.2.1", 0), replaces_socket=False) == "Cannot assign requested address"


@pytest.mark.parametrize(
    ("kind", "replaces", "said"),
    [
        ("a directory that is not there", True, "there is no directory"),
        ("a file", True, "is there and no socket"),
        ("a server", True, "a server listens there already"),
        ("left over", False, "an earlier server has left"),
        ("left over", True, None),
        ("a path that is too long", True, "path too long"),
    ],
)
def test_what_is_in_the_way_of_a_unix_socket(tmp_path: Path, kind: str, replaces: bool, said: str | None) -> None:
    """A server's is left alone; one that nobody listens on is for servers that take its place."""
    path = tmp_path / ("none" if "not there" in kind else "") / ("s" * 120 if "too long" in kind else "s")
    with socket.socket(socket.AF_UNIX) as other:
        if kind == "a file":
            path.touch()
        elif kind in ("a server", "left over"):
            other.bind(str(path))
            if kind == "a server":
                other.listen()
        found = obstacle(Unix(str(path)), replaces_socket=replaces)
    assert (found is None) if said is None else (found is not None and said in found)

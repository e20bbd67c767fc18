"""The command lines of the servers, and which options they do not have."""

from __future__ import annotations

import importlib.util
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from bridge.cli import servers
from bridge.cli.bind import Tcp, Unix
from bridge.cli.servers import SERVERS, TARGET, command_line, misfit, missing

ADDRESS = Tcp("127.0.0.1", 80)


def options(name: str, address: Tcp | Unix = ADDRESS, *, workers: int | None = None, reload: bool = False) -> list[str]:
    """What follows ``python -m SERVER``, with two threads, a directory to watch and an option of the server's own."""
    command = command_line(
        SERVERS[name], address, workers=workers, threads=2, reload=reload, watched=[Path("src")], own=["--own", "x"]
    )
    assert command[:3] == [sys.executable, "-m", name]
    return command[3:]


@pytest.fixture(autouse=True)
def _gunicorn_27(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "version", lambda name: "27.0.1")


# By the help of each server's command.
GTHREAD = ["--worker-class=gthread"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("uvicorn", ["--interface=asgi3", "--host=127.0.0.1", "--port=80", TARGET, "--own", "x"]),
        ("hypercorn", ["--bind=127.0.0.1:80", TARGET, "--own", "x"]),
        ("daphne", ["--bind=127.0.0.1", "--port=80", TARGET, "--own", "x"]),
        ("granian", ["--interface=asgi", "--host=127.0.0.1", "--port=80", TARGET, "--own", "x"]),
        ("gunicorn", [*GTHREAD, "--bind=127.0.0.1:80", "--no-control-socket", "--threads=2", TARGET, "--own", "x"]),
        ("waitress", ["--listen=127.0.0.1:80", "--threads=2", "--own", "x", TARGET]),
    ],
)
def test_a_server_is_told_where_to_listen_and_what_to_serve(name: str, expected: list[str]) -> None:
    """Its own options come last; Waitress sees none behind the application."""
    assert options(name) == expected


@pytest.mark.parametrize(
    ("name", "tcp", "unix"),
    [
        ("uvicorn", {"--host=::1", "--port=80"}, "--uds=/s"),
        ("hypercorn", {"--bind=[::1]:80"}, "--bind=unix:/s"),
        ("daphne", {"--bind=::1", "--port=80"}, "--unix-socket=/s"),
        ("granian", {"--host=::1", "--port=80"}, "--uds=/s"),
        ("gunicorn", {"--bind=[::1]:80"}, "--bind=unix:/s"),
        ("waitress", {"--listen=[::1]:80"}, "--unix-socket=/s"),
    ],
)
def test_every_server_listens_on_ipv6_and_on_unix_sockets(name: str, tcp: set[str], unix: str) -> None:
    assert tcp <= set(options(name, Tcp("::1", 80)))
    assert unix in options(name, Unix("/s"))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("uvicorn", ["--workers=3", "--reload", "--reload-dir=src"]),
        ("hypercorn", ["--workers=3", "--reload"]),
        ("granian", ["--workers=3", "--reload", "--reload-paths=src"]),
        ("gunicorn", ["--workers=3", "--reload"]),
    ],
)
def test_workers_and_reload(name: str, expected: list[str]) -> None:
    """Directories to watch are for those that do not watch what has been imported."""
    given = options(name, workers=3, reload=True)
    assert given[given.index(TARGET) - len(expected) : given.index(TARGET)] == expected


@pytest.mark.parametrize(
    ("version", "there"), [("22.0.0", False), ("25.0.3", False), ("25.1.0", True), ("27.0.1", True)]
)
def test_gunicorns_control_socket_is_only_in_newer_ones(
    monkeypatch: pytest.MonkeyPatch, version: str, there: bool
) -> None:
    """An older one would refuse the option."""
    monkeypatch.setattr(servers, "version", lambda name: version)
    assert ("--no-control-socket" in options("gunicorn")) is there


@pytest.mark.parametrize("name", ["daphne", "waitress"])
@pytest.mark.parametrize("option", ["--workers", "--reload"])
def test_an_option_that_a_server_lacks_is_refused(name: str, option: str) -> None:
    """With the servers that have it."""
    found = misfit(SERVERS[name], ADDRESS, workers=2 if option == "--workers" else None, reload=option == "--reload")
    assert found == f"{SERVERS[name].title} has no {option}; Uvicorn, Hypercorn, Granian and Gunicorn have it"


def test_an_address_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Granian prints port 0 as it was given, and Windows has no Unix sockets."""
    assert "does not say which port" in str(misfit(SERVERS["granian"], Tcp("a", 0), workers=None, reload=False))
    assert misfit(SERVERS["uvicorn"], Unix("/s"), workers=None, reload=False) is None
    monkeypatch.setattr(sys, "platform", "win32")
    assert "use --bind HOST:PORT" in str(misfit(SERVERS["uvicorn"], Unix("/s"), workers=None, reload=False))


@pytest.mark.parametrize(
    ("name", "absent", "said"),
    [
        ("uvicorn", "uvicorn", "uvicorn is not installed; install it with: pip install 'wsgi-asgi-bridge[serve]'"),
        ("daphne", "daphne", "pip install 'wsgi-asgi-bridge[serve,daphne]'"),
        ("granian", "watchfiles", "watchfiles, which Granian needs to reload, is not installed"),
        ("gunicorn", "uvicorn", None),
    ],
)
def test_what_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, name: str, absent: str, said: str | None
) -> None:
    """Only what this server needs."""

    def find_spec(module: str) -> ModuleSpec | None:
        return None if module == absent else ModuleSpec(module, None)

    monkeypatch.setattr(servers, "find_spec", find_spec)
    found = missing(SERVERS[name], reload=True)
    assert (found is None) if said is None else (found is not None and said in found)


def test_every_server_is_known_to_the_package() -> None:
    """Its extra is in pyproject.toml."""
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert importlib.util.find_spec("uvicorn") is not None
    assert all(f"\n{name} = [\n" in text for name in SERVERS if name != "uvicorn")

"""Facts about this run: machine, interpreter, versions, date. Measures nothing."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.loopback.load import generator_name
from benchmarks.protocols import REPOSITORY

PACKAGES = (
    "a2wsgi",
    "anyio",
    "asgiref",
    "Django",
    "fastapi",
    "Flask",
    "flask-sock",
    "gevent",
    "granian",
    "gunicorn",
    "httptools",
    "Hypercorn",
    "simple-websocket",
    "starlette",
    "uvicorn",
    "uvloop",
    "waitress",
    "websockets",
    "Werkzeug",
    "wsproto",
)
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Facts:
    """What a figure depends on beside the code.

    Attributes:
        date: start of the run, UTC, ISO 8601.
        commit: of this tree, with ``+`` when it has uncommitted changes.
        cpus: that this process may use.
        memory: MiB.
        busy: tasks that ran or waited for a CPU in the minute before the run; the figures
            are worth little when this is not well below *cpus*.
        generator: what loads the servers.
        versions: package to version, ``"not installed"`` where it is missing.
    """

    date: str
    commit: str
    system: str
    processor: str
    cpus: int
    memory: int
    busy: float
    python: str
    generator: str
    versions: dict[str, str]


def collect() -> Facts:
    """Look everything up; what cannot be found is ``"unknown"`` or zero."""
    return Facts(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        commit=_commit(),
        system=f"{platform.system()} {platform.release()}",
        processor=_first(Path("/proc/cpuinfo"), r"^model name\s*: (.*)$") or platform.machine(),
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        memory=int(_first(Path("/proc/meminfo"), r"^MemTotal:\s*(\d+) kB$") or 0) // 1024,
        busy=os.getloadavg()[0],
        python=f"{platform.python_implementation()} {platform.python_version()}",
        generator=generator_name(),
        versions={name: _version(name) for name in PACKAGES},
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _first(file: Path, pattern: str) -> str:
    try:
        found = re.search(pattern, file.read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def _commit() -> str:
    head = _git("rev-parse", "--short", "HEAD")
    changes = _git("status", "--porcelain", "--untracked-files=no")
    return head + "+" * bool(changes) if head else UNKNOWN


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=REPOSITORY, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

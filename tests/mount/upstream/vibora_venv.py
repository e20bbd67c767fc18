"""A Python 3.6 with Vibora in it: found, made once for a checkout, kept. Knows no test."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

INSTALL_TIMEOUT = 900.0  # seconds; Vibora compiles for 50 of them on an idle machine
_ASK_TIMEOUT = 20.0  # seconds

# An older pip takes an uvloop that refuses 3.6, newer ones of the others do as well.
_PIP = ["pip==21.3.1"]
_PACKAGES = ["uvloop==0.14.0", "pendulum<2", "vibora==0.0.6"]


class CannotInstallError(RuntimeError):
    """What it takes is not here."""


def find_python36() -> str | None:
    """Return an interpreter that says itself that it is Python 3.6: pyenv's shims are called so without one behind."""
    for candidate in _candidates():
        try:
            asked = subprocess.run(
                [candidate, "-c", "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"],
                capture_output=True,
                text=True,
                timeout=_ASK_TIMEOUT,
                check=False,
            )
        except OSError:
            continue
        if asked.returncode == 0 and asked.stdout.strip() == "3.6":
            return candidate
    return None


def _candidates() -> Iterator[str]:
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = shutil.which("python3.6", path=folder) if folder else None
        if found:
            yield found
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for python in sorted(root.glob("versions/3.6.*/bin/python")):
        yield str(python)


def make_venv(python: str, folder: Path) -> Path:
    """Return the interpreter of a virtual environment with Vibora; it is made in *folder* if it is not there.

    Another process that needs it at the same time waits. One that is interrupted leaves nothing that looks ready.

    Raises:
        CannotInstallError: there is no compiler, or no index; the message has the end of pip's.
    """
    ready = folder / "venv"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            making = folder / "unfinished"
            shutil.rmtree(making, ignore_errors=True)
            _run(python, "-m", "venv", str(making))
            # As a module: what is in bin/ has the path in it, and the folder is going to be renamed.
            pip = [str(making / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
            _run(*pip, *_PIP)
            _run(*pip, *_PACKAGES)
            making.rename(ready)
    return ready / "bin" / "python"


def _run(*command: str) -> None:
    # Python 3.6 must not see what newer ones have been told.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=INSTALL_TIMEOUT,
        check=False,
    )
    if done.returncode:
        raise CannotInstallError(f"{' '.join(command)} failed with {done.returncode}:\n{done.stdout[-3000:]}")

"""An application of the user's in place of those of the matrix: found out about, planned, served. Runs no check.

It is imported where it is served and never by the runner, whose threads, signals and sockets it could change.
``python -m compat_matrix.under_test TARGET FILE`` imports it once beforehand and writes what it is to FILE.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from asgiref import compatibility

from bridge.cli import load as load_module
from bridge.cli.load import load_application
from bridge.errors import LoadError
from bridge.interface import Interface, interface_of
from compat_matrix import adapters, composition
from compat_matrix.cells import ROOT
from compat_matrix.model import NATIVE, App
from compat_matrix.plan import HOMES, Planned
from compat_matrix.servers import RECIPES, RunningServer, start

TIMEOUT: Final = 60.0  # seconds for the import; a guess, for a large application on a cold disk

_TARGET: Final = "COMPAT_MATRIX_UNDER_TEST"
_DIRECTORY: Final = "COMPAT_MATRIX_UNDER_TEST_DIRECTORY"
_OWN: Final = (composition.MOUNT, composition.CHECKED, composition.COMPLAINTS)


class UnfitError(Exception):
    """The application or a path is not one that can be checked; the message is one line."""

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details
        """What the application's own code has said, a traceback for example. Any number of lines."""


def paths(texts: Sequence[str]) -> list[str]:
    """Return the paths in texts like ``/,/api/items``, each once.

    Raises:
        UnfitError: one is no path, or belongs to the matrix.
    """
    found = []
    for path in (part.strip() for text in texts for part in text.split(",")):
        if not path.startswith("/"):
            raise UnfitError(f"a path begins with a slash, {path!r} does not")
        if not path.isascii() or not path.isprintable() or " " in path or "#" in path:
            raise UnfitError(f"a path is written as it is sent, percent-encoded and without fragment; {path!r} is not")
        for own in _OWN:
            if path.partition("?")[0] == own or path.startswith(f"{own}/"):
                raise UnfitError(f"the matrix needs {own} for itself, so it cannot ask for {path!r}")
        found.append(path)
    return list(dict.fromkeys(found))


def find(target: str, directory: Path) -> App:
    """Return the application that *target* names, and import it for that in a process of its own. Blocks.

    Args:
        target: as ``bridge serve`` takes it.
        directory: the working directory of that process, first on its import path.

    Raises:
        UnfitError: it cannot be imported, or is neither a WSGI nor an ASGI application.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = Path(folder, "found.json")
        try:
            ended = subprocess.run(
                [sys.executable, "-m", __name__, target, str(found)],
                cwd=directory,
                env=os.environ | {"PYTHONPATH": _import_path(directory)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                encoding="utf-8",
                errors="backslashreplace",
                timeout=TIMEOUT,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise UnfitError(f"cannot check {target}: importing it took more than {TIMEOUT:g} s") from None
        if not found.exists():
            raise UnfitError(
                f"cannot check {target}: importing it ended the process with status {ended.returncode}", ended.stdout
            )
        answer = json.loads(found.read_text(encoding="utf-8"))
    if error := answer.get("error"):
        raise UnfitError(f"cannot check {target}: {error}", ended.stdout if answer["raised"] else "")
    return App(target, target, answer["interface"], "compat_matrix.served_under_test:application", ())


def plan(app: App, servers: Collection[str], adapter_names: Collection[str]) -> tuple[list[Planned], list[Planned]]:
    """Return the native cell of *app* on its home server, and all others; like :func:`compat_matrix.plan.plan`."""
    others = []
    for recipe in (recipe for recipe in RECIPES.values() if recipe.name in servers):
        if recipe.interface == app.interface:
            if NATIVE in adapter_names and recipe.name != HOMES[app.interface]:
                others.append(Planned(app, recipe, None))
            continue
        found = [adapters.find(name, app.interface, recipe.name) for name in adapters.names() if name in adapter_names]
        others += [Planned(app, recipe, adapter) for adapter in found if adapter is not None]
    return [Planned(app, RECIPES[HOMES[app.interface]], None)], others


@contextmanager
def environment(app: App, directory: Path) -> Iterator[None]:
    """Let the servers that are started meanwhile serve *app*, which is found in *directory*. One thread at a time."""
    # The hashes: what an application makes of a set shall come in the same order in each process.
    ours = {_TARGET: app.name, _DIRECTORY: str(directory), "PYTHONHASHSEED": os.environ.get("PYTHONHASHSEED", "0")}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def at_home(app: App) -> Iterator[RunningServer]:
    """Serve *app* natively, once more."""
    recipe = RECIPES[HOMES[app.interface]]
    with start(recipe, composition.TARGET, directory=ROOT, env=composition.variables(app, None)) as running:
        yield running


def from_environment() -> Any:
    """Return the application that :func:`environment` has named. For the processes of servers."""
    directory = os.environ[_DIRECTORY]
    os.chdir(directory)
    # First, as where the user starts a server: a module of theirs may have the name of one of this repository.
    sys.path[:] = [directory, *(path for path in sys.path if path != directory)]
    application, interface = _loaded(os.environ[_TARGET])
    if interface is Interface.ASGI2:
        # As Any: asgiref.compatibility has no annotations.
        return _compatibility.guarantee_single_callable(application)
    return application


_compatibility: Any = compatibility


def _loaded(target: str) -> tuple[object, Interface]:
    application = load_application(target)
    return application, interface_of(application)


def _import_path(directory: Path) -> str:
    return os.pathsep.join([str(directory), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])


def _describe(target: str) -> dict[str, Any]:
    try:
        _, interface = _loaded(target)
    except LoadError as error:
        if error.__cause__ is not None:
            trace = _of_application(error.__cause__.__traceback__)
            traceback.print_exception(type(error.__cause__), error.__cause__, trace)
        return {"error": str(error), "raised": error.__cause__ is not None}
    return {"interface": "wsgi" if interface is Interface.WSGI else "asgi"}


def _of_application(trace: TracebackType | None) -> TracebackType | None:
    """Leave out what comes before the application's own code."""
    ours = (load_module.__file__, importlib.__file__)
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith((*ours, "<frozen importlib")):
        trace = trace.tb_next
    return trace


def _main() -> None:
    target, file = sys.argv[1:]
    description = json.dumps(_describe(target))
    sys.stdout.flush()
    sys.stderr.flush()
    Path(file).write_text(description, encoding="utf-8")
    # Not by sys.exit(): what the application has started may never end.
    os._exit(0)


if __name__ == "__main__":
    _main()

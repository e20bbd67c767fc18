"""What the shell offers for APP: files, modules and what may be an application in them. Imports none of them."""

from __future__ import annotations

import ast
import os
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import click

_MOST_FILES: Final = 200  # of a directory; a guess at what is read before the user becomes impatient


def applications(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer what begins with *incomplete*, which is part of APP or of ``/prefix=APP``."""
    prefix, equals, target = incomplete.rpartition("=")
    if "/" in target or os.sep in target or target.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(prefix + equals + offer) for offer in _offers(target) if offer.startswith(target)]


def _offers(target: str) -> Iterator[str]:
    module_name = target.partition(":")[0]
    package = module_name.rpartition(".")[0]
    directory = Path(*package.split("."))
    before = f"{package}." if package else ""
    try:
        paths = sorted(islice(directory.iterdir(), _MOST_FILES))
    except OSError:  # no package of this directory
        return
    for path in paths:
        if path.suffix == ".py" and path.stem.isidentifier():
            for name in _names_in(path):
                yield f"{before}{path.stem}:{name}"
        elif (path / "__init__.py").is_file():
            yield f"{before}{path.name}."


def _names_in(path: Path) -> Iterator[str]:
    try:
        body = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):  # nothing of it can be served now
        return
    for statement in body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if _sounds_like_one(statement.name):
                called = isinstance(statement, ast.FunctionDef) and not _parameters(statement)
                yield f"{statement.name}()" if called else statement.name
            continue
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and _sounds_like_one(target.id):
                yield target.id


def _sounds_like_one(name: str) -> bool:
    return not name.startswith("_") and ("app" in name.lower() or name.lower() == "api")


def _parameters(function: ast.FunctionDef) -> bool:
    arguments = function.args
    return bool(arguments.posonlyargs or arguments.args or arguments.vararg or arguments.kwonlyargs)

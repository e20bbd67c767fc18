"""From ``MODULE:APP``, ``MODULE:FACTORY()`` or a file to the object. Does not know what the object is good for."""

from __future__ import annotations

import difflib
import importlib
import inspect
import os
import re
import stat
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asgiref.sync import iscoroutinefunction

from bridge.cli.find import name_of_application
from bridge.errors import LoadError

if TYPE_CHECKING:
    from types import ModuleType

# The shortest text that ends in .py, and what follows it: a path may have a colon (C:\web.py), too.
_FILE: Final = re.compile(r"(?P<file>.+?\.py)(?::(?P<attribute>.*))?", re.DOTALL)


def load_application(target: str) -> object:
    """Import a module and return the attribute of it that *target* names, or what that returns.

    The current directory is put in front of ``sys.path``, as ``python -m`` does. A file becomes the module that it is:
    with the dotted name of its package, if it is in one, else by its own name, with its directory in front of
    ``sys.path``, as ``python FILE`` does.

    Args:
        target: ``MODULE:APP``, both sides may be dotted; ``MODULE:FACTORY()``; ``FILE.py:APP``, ``FILE.py:FACTORY()``;
            ``FILE.py``, where :func:`bridge.cli.find.name_of_application` says which attribute.

    Returns:
        Whatever is there, or what the factory returns: nothing is checked.

    Raises:
        LoadError: *target* is malformed, or the module or the attribute does
            not exist. When they exist and their own code failed, that
            exception is the ``__cause__``; otherwise there is none.
    """
    _put_first(_current_directory())
    match = _FILE.fullmatch(target)
    if match is not None:
        where = f"file {match['file']!r}"
        module, attribute = _import_file(match["file"]), match["attribute"]
        if attribute is None:
            attribute = name_of_application(module, match["file"])
    else:
        module_name, _, attribute = target.partition(":")
        if "/" in module_name or os.sep in module_name:
            dotted = module_name.replace(os.sep, "/").strip("./").replace("/", ".")
            raise LoadError(
                f"{module_name!r} names no module; name the module, as in {dotted}:{attribute or 'app'}, "
                f"or its file, as in {module_name}.py"
            )
        if not all(module_name.split(".")) or not attribute:
            raise LoadError(_FORM)
        where = f"module {module_name!r}"
        module = _import(module_name)
    return _named(module, attribute, where)


def root_of_file(target: str) -> Path | None:
    """Return the directory that *target*'s file is imported from; None if it names no file."""
    match = _FILE.fullmatch(target)
    return None if match is None else _place(Path(os.path.abspath(match["file"])))[0]


_FORM: Final = "it is not of the form MODULE:APP, MODULE:FACTORY() or FILE.py; an example is web.wsgi:app"


def _current_directory() -> str:
    try:
        return os.getcwd()
    except OSError as error:
        raise LoadError(f"there is no current directory: {error.strerror}; start bridge in one that is there") from None


def _put_first(directory: str) -> None:
    if directory not in sys.path:
        sys.path.insert(0, directory)


def _import_file(file: str) -> ModuleType:
    path = Path(os.path.abspath(file))
    try:
        is_file = stat.S_ISREG(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        is_file = False
    except OSError as error:
        raise LoadError(f"there is no way to {file!r}: {error.strerror}; check the name and who may read it") from None
    if not is_file:
        within = "" if os.path.isabs(file) else f" in {os.getcwd()}"
        raise LoadError(f"there is no file {file!r}{within}; check the name")
    root, name = _place(path)
    if "." in path.stem:
        raise LoadError(f"Python cannot import {file!r}: it takes the dot in {path.stem!r} for a package; rename it")
    _put_first(str(root))
    module = _import(name)
    found = getattr(module, "__file__", None)
    if found is None or not os.path.samefile(found, path):
        raise LoadError(
            f"it would be imported as {name!r}, which is {found or 'built in'} already; rename one of the two"
        )
    return module


def _place(path: Path) -> tuple[Path, str]:
    """Return the directory that the file at *path* is imported from, and its module's name there."""
    names = [] if path.name == "__init__.py" else [path.stem]
    directory = path.parent
    while (directory / "__init__.py").is_file():
        names.insert(0, directory.name)
        directory = directory.parent
    return directory, ".".join(names)


def _import(module_name: str) -> ModuleType:
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # The name tells a module that is not there from one that is there and
        # imports something missing: only the first names the target or a parent of it.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _failed(f"importing {module_name!r}", error) from error
        raise LoadError(
            f"there is no module {error.name!r} in {os.getcwd()} or elsewhere on sys.path; "
            "check the name, or start bridge in the directory that holds it"
        ) from None
    except (Exception, SystemExit) as error:
        # SystemExit too: a script without a __main__ guard would end the
        # command with the script's own status and not a word about why.
        raise _failed(f"importing {module_name!r}", error) from error


def _failed(what: str, error: BaseException) -> LoadError:
    return LoadError(f"{what} raised {type(error).__name__}, shown above; correct it there")


def _named(module: ModuleType, attribute: str, where: str) -> object:
    dotted = attribute.removesuffix("()")
    if "(" in dotted:
        raise LoadError(
            f"{attribute!r} has arguments, and a factory is called without; write a function around it that has none"
        )
    if not all(dotted.split(".")):
        raise LoadError(_FORM)
    found: object = module
    for name in dotted.split("."):
        found = _attribute(found, name, where)
        where = repr(name)
    return found if dotted == attribute else _call(found, dotted)


def _attribute(owner: object, name: str, where: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError:
        close = difflib.get_close_matches(name, [n for n in dir(owner) if not n.startswith("_")], n=1)
        hint = f"did you mean {close[0]!r}?" if close else "check the name"
        raise LoadError(f"{where} has no attribute {name!r}; {hint}") from None
    except Exception as error:  # a property or a module's __getattr__: the application's code
        raise _failed(f"reading {name!r} of {where}", error) from error


def _call(factory: object, name: str) -> object:
    if not callable(factory):
        raise LoadError(f"{name!r} cannot be called; leave out the ()")
    try:
        signature = inspect.signature(factory)
        signature.bind()
    except TypeError:
        raise LoadError(
            f"{name!r} cannot be called without arguments; leave out the () if it is the application, "
            "or write a function around it that has none"
        ) from None
    except ValueError:
        pass  # written in C: the call itself tells
    if iscoroutinefunction(factory):
        raise LoadError(
            f"{name!r} is asynchronous, and a factory is called without an event loop; make it a plain function"
        )
    try:
        return factory()
    except (Exception, SystemExit) as error:
        raise _failed(f"calling {name!r}", error) from error

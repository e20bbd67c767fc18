"""Which object of a module is the application. Imports no module."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Final

from bridge.errors import LoadError
from bridge.interface import interface_of

if TYPE_CHECKING:
    from types import ModuleType

_USUAL: Final = ("app", "application")
# A function is called with these first. By their number alone any helper of two arguments would be an application.
_FIRST: Final = {"environ", "scope"}


def name_of_application(module: ModuleType, file: str) -> str:
    """Return the name of *module*'s application: ``app``, ``application``, or the only object that is one.

    Args:
        module: already imported.
        file: what the user calls it by.

    Raises:
        LoadError: there is none, or more than one; it says what there is.
    """
    for usual in _USUAL:
        if usual in vars(module):
            return usual
    found: dict[int, str] = {}  # by identity: one object of two names is one
    for name, value in vars(module).items():
        if not name.startswith("_") and _is_application(value, module.__name__):
            found.setdefault(id(value), name)
    names = list(found.values())
    if len(names) == 1:
        return names[0]
    neither = f"{file!r} has neither 'app' nor 'application'"
    if names:
        raise LoadError(f"{neither}, but {', '.join(names)}; name one of them, as in {file}:{names[0]}")
    factory = next((name for name, value in vars(module).items() if _is_factory(name, value, module.__name__)), None)
    if factory is not None:
        raise LoadError(f"{neither}, but a function {factory}; to call it, write {file}:{factory}()")
    raise LoadError(f"{neither}, nor any other WSGI or ASGI application; name what is one, as in {file}:NAME")


def _is_application(value: object, module_name: str) -> bool:
    try:
        if isinstance(value, type) or inspect.isroutine(value):
            if value.__module__ != module_name:
                return False  # imported, as Werkzeug's wrap_file(environ, file) may be
            if next(iter(inspect.signature(value).parameters), None) not in _FIRST:
                return False
        interface_of(value)
    except Exception:
        # Not only LoadError: looking at Flask's request, which is imported to many modules, raises without a request.
        return False
    return True


def _is_factory(name: str, value: object, module_name: str) -> bool:
    return "app" in name.lower() and inspect.isfunction(value) and value.__module__ == module_name

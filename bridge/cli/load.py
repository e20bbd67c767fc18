"""From ``MODULE:APP`` to the object it names. Does not know what the object is good for."""

from __future__ import annotations

import difflib
import importlib
import os
import sys

from bridge.errors import LoadError


def load_application(target: str) -> object:
    """Import a module and return the attribute of it that *target* names.

    The current directory is put in front of ``sys.path``, as ``python -m`` does.

    Args:
        target: ``MODULE:APP``; both sides may be dotted.

    Returns:
        Whatever is there: nothing is called, nothing is checked.

    Raises:
        LoadError: *target* is malformed, or the module or the attribute does
            not exist. When the module exists and its own code failed, that
            exception is the ``__cause__``; otherwise there is none.
    """
    module_name, _, attribute = target.partition(":")
    if module_name.endswith(".py") or "/" in module_name or os.sep in module_name:
        dotted = module_name.removesuffix(".py").replace(os.sep, "/").strip("./").replace("/", ".")
        raise LoadError(f"{module_name!r} names a file; name the module, as in {dotted}:{attribute or 'app'}")
    if not all(module_name.split(".")) or not all(attribute.split(".")):
        raise LoadError("it is not of the form MODULE:APP; an example is web.wsgi:app")
    found = _import(module_name)
    where = f"module {module_name!r}"
    for name in attribute.split("."):
        found = _attribute(found, name, where)
        where = repr(name)
    return found


def _import(module_name: str) -> object:
    directory = os.getcwd()
    if directory not in sys.path:
        sys.path.insert(0, directory)
    try:
        return importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        # The name tells a module that is not there from one that is there and
        # imports something missing: only the first names the target or a parent of it.
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise _failed(module_name, error) from error
        raise LoadError(
            f"there is no module {error.name!r} in {directory} or elsewhere on sys.path; "
            "check the name, or start bridge in the directory that holds it"
        ) from None
    except (Exception, SystemExit) as error:
        # SystemExit too: a script without a __main__ guard would end the
        # command with the script's own status and not a word about why.
        raise _failed(module_name, error) from error


def _failed(module_name: str, error: BaseException) -> LoadError:
    return LoadError(f"importing {module_name!r} raised {type(error).__name__}, shown above; correct it there")


def _attribute(owner: object, name: str, where: str) -> object:
    try:
        return getattr(owner, name)
    except AttributeError:
        close = difflib.get_close_matches(name, [n for n in dir(owner) if not n.startswith("_")], n=1)
        hint = f"did you mean {close[0]!r}?" if close else "check the name"
        raise LoadError(f"{where} has no attribute {name!r}; {hint}") from None
    except Exception as error:  # a property or a module's __getattr__: the application's code
        raise LoadError(
            f"reading {name!r} of {where} raised {type(error).__name__}, shown above; correct it there"
        ) from error

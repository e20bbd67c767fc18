"""Which interface an application speaks. Pure: looks at signatures, and calls nothing."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from enum import Enum, auto
from types import MethodType

from asgiref.sync import iscoroutinefunction

from bridge.errors import LoadError

Application = Callable[..., object]
_MOST_LAYERS = 50  # decorators looked through; __wrapped__ may go round in a circle


class Interface(Enum):
    """What a server must call an application with."""

    WSGI = auto()  # application(environ, start_response)
    ASGI2 = auto()  # await application(scope)(receive, send)
    ASGI3 = auto()  # await application(scope, receive, send)


def is_asgi(app: object) -> bool:
    """Tell an ASGI application (2 or 3) from a WSGI application.

    Args:
        app: a function, a class, or an object; bound, partial and decorated callables too.

    Raises:
        LoadError: *app* is not callable, or is neither, or may be either.
    """
    return interface_of(app) is not Interface.WSGI


def interface_of(app: object) -> Interface:
    """Tell which interface *app* speaks, by what it can be called with.

    A guess would surface as an error in every request, far from its reason, so
    nothing is guessed: what the signature does not settle is refused.

    Args:
        app: a function, a class, or an object; bound, partial and decorated callables too.

    Raises:
        LoadError: *app* is not callable, or is neither, or may be either.

    Source: PEP 3333 "The Application/Framework Side"; ASGI specification,
    "Applications" and "Legacy Applications".
    """
    if not callable(app):
        raise LoadError(f"{_described(app)} cannot be called; name a WSGI or an ASGI application")
    # asgiref's own marks, set by applications whose signature says nothing.
    if getattr(app, "_asgi_single_callable", False) is True:
        return Interface.ASGI3
    if getattr(app, "_asgi_double_callable", False) is True:
        return Interface.ASGI2
    found = _of_class(app) if isinstance(app, type) else _of_callable(app)
    if found is None:
        raise LoadError(f"{_described(app)} {_refusal(app)}")
    return found


def _of_class(app: Application) -> Interface | None:
    # Only a class whose instances are the response may be called per request:
    # the class of an application object takes some arguments too.
    signature = _signature(app)
    found = None if signature is None else _of_signature(signature)
    answers = {Interface.WSGI: "__iter__", Interface.ASGI2: "__call__", Interface.ASGI3: "__await__"}
    return found if found is not None and hasattr(app, answers[found]) else None


def _of_callable(app: Application) -> Interface | None:
    # From the outside in, and the first layer that says anything is right: a
    # decorator that makes one interface of the other bears the marks of what it wraps.
    for layer in _layers(app):
        if isinstance(layer, type):
            return _of_class(layer)
        signature = _signature(layer)
        if _is(inspect.isasyncgenfunction, layer):
            return None
        if _is(iscoroutinefunction, layer):
            return Interface.ASGI3 if signature is None or _can_take_three(signature) else None
        if signature is not None:
            found = _of_signature(signature)
            if found is not None or not _is_open(signature):
                return found
    return None


def _of_signature(signature: inspect.Signature) -> Interface | None:
    parameters = signature.parameters.values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    if any(p.kind is p.KEYWORD_ONLY and p.default is p.empty for p in parameters):
        return None  # no server passes keywords
    if _is_open(signature):
        first = positional[0].name if positional else ""
        return {"environ": Interface.WSGI, "scope": Interface.ASGI3}.get(first)
    if len(required) == 1 and (len(positional) != 1 or required[0].name != "scope"):
        return None  # by number alone, any decorator and any view would be ASGI 2
    return {1: Interface.ASGI2, 2: Interface.WSGI, 3: Interface.ASGI3}.get(len(required))


def _layers(app: Application) -> Iterator[Application]:
    for _ in range(_MOST_LAYERS):
        yield app
        inner = _inner(app)
        if inner is None:
            return
        app = inner


def _inner(app: Application) -> Application | None:
    # Arguments that are bound outside stay bound inside.
    if isinstance(app, functools.partial):
        inner = _inner(app.func)
        return None if inner is None else functools.partial(inner, *app.args, **app.keywords)
    if inspect.ismethod(app):
        inner = _inner(app.__func__)
        return None if inner is None else MethodType(inner, app.__self__)
    inner = getattr(app, "__wrapped__", None)
    if inner is None and not inspect.isroutine(app):
        inner = getattr(app, "__call__", None)  # noqa: B004
    return inner if callable(inner) else None


def _is(kind: Callable[[object], bool], app: Application) -> bool:
    return kind(app) or kind(getattr(app, "__call__", None))  # noqa: B004


def _is_open(signature: inspect.Signature) -> bool:
    return any(p.kind is p.VAR_POSITIONAL for p in signature.parameters.values())


def _can_take_three(signature: inspect.Signature) -> bool:
    try:
        signature.bind("scope", "receive", "send")
    except TypeError:
        return False
    return True


def _signature(app: Application) -> inspect.Signature | None:
    try:
        return inspect.signature(app, follow_wrapped=False)
    except (TypeError, ValueError):
        return None  # written in C, without a text signature


def _described(app: object) -> str:
    if isinstance(app, type):
        return f"class {app.__qualname__}"
    if inspect.isroutine(app):
        return f"function {app.__qualname__}"
    return f"an object of type {type(app).__qualname__}"


def _refusal(app: Application) -> str:
    if isinstance(app, type):
        return "is no application itself; name an instance of it"
    signature = _signature(app)
    if signature is not None and not signature.parameters:
        return "takes no arguments, like an application factory; call it, on the command line as MODULE:FACTORY()"
    return (
        "takes neither (environ, start_response), as WSGI has it, nor (scope, receive, send), as ASGI "
        "has it; give it one of these signatures"
    )

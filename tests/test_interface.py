"""WSGI or ASGI: told by what a callable accepts, and refused when that does not tell."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import bottle
import falcon
import falcon.asgi
import pytest
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from fastapi import FastAPI
from flask import Flask
from hypothesis import given, settings
from hypothesis import strategies as st
from pyramid.config import Configurator
from starlette.applications import Starlette

import bridge
from bridge.errors import LoadError
from bridge.interface import Interface, interface_of, is_asgi


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    return []


async def asgi3(scope: Any, receive: Any, send: Any) -> None: ...


def asgi3_returning_an_awaitable(scope: Any, receive: Any, send: Any) -> Any:
    return asgi3(scope, receive, send)


def asgi2(scope: Any) -> Any: ...


def with_settings(settings: Any, environ: Any, start_response: Any) -> list[bytes]:
    return []


async def asgi3_with_settings(settings: Any, scope: Any, receive: Any, send: Any) -> None: ...


def passing_on(application: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(application)
    def decorated(*args: Any, **kwargs: Any) -> Any:
        return application(*args, **kwargs)

    return decorated


def made_asynchronous(application: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(application)
    async def decorated(*args: Any) -> None: ...

    return decorated


def made_synchronous(application: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(application)
    def decorated(environ: Any, start_response: Any) -> list[bytes]:
        return []

    return decorated


def made_a_view(application: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(application)
    def decorated(request: Any) -> None: ...

    return decorated


class Middleware:
    def __init__(self, application: Any, settings: Any) -> None: ...

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class WsgiObject:
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []

    def method(self, environ: Any, start_response: Any) -> list[bytes]:
        return []

    @passing_on
    def decorated(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class WsgiDecorated:
    @passing_on
    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        return []


class AsgiObject:
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    async def method(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiDecorated:
    @passing_on
    async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...


class AsgiOpenEnded:
    async def __call__(self, *args: Any) -> None: ...


class WsgiCoroutine:
    async def __call__(self, environ: Any, start_response: Any) -> None: ...


class Asgi2Object:
    def __call__(self, scope: Any) -> Any: ...


class WsgiClass:
    def __init__(self, environ: Any, start_response: Any) -> None: ...

    def __iter__(self) -> Iterator[bytes]:
        return iter([])


class Asgi2Class:
    def __init__(self, scope: Any) -> None: ...

    async def __call__(self, receive: Any, send: Any) -> None: ...


class Asgi3Class:
    def __init__(self, scope: Any, receive: Any, send: Any) -> None: ...

    def __await__(self) -> Iterator[None]:
        return iter([])


def without_settings(handler: type) -> object:
    """Make Django's handler without its middleware, which would need the settings of a project."""
    return object.__new__(handler)


WSGI = {
    "function": wsgi,
    "object": WsgiObject(),
    "bound method": WsgiObject().method,
    "class": WsgiClass,
    "partial": functools.partial(with_settings, {}),
    "partial of an object": functools.partial(WsgiObject()),
    "decorated": passing_on(wsgi),
    "decorated object": passing_on(WsgiObject()),
    "decorated twice": passing_on(passing_on(wsgi)),
    "decorated partial": passing_on(functools.partial(with_settings, {})),
    "decorated method": WsgiObject().decorated,
    "decorated call": WsgiDecorated(),
    "made of an ASGI application": made_synchronous(asgi3),
    "made of an ASGI application, decorated": passing_on(made_synchronous(asgi3)),
    "lambda with other names": lambda e, s: [],
    "optional third argument": lambda environ, start_response, extra=None: [],
    "open-ended": lambda environ, *rest: [],
    "Flask": Flask("flask_application"),
    "Bottle": bottle.Bottle(),
    "Pyramid": Configurator().make_wsgi_app(),
    "Falcon": falcon.App(),
    "Django": without_settings(WSGIHandler),
}

ASGI3 = {
    "coroutine function": asgi3,
    "function returning an awaitable": asgi3_returning_an_awaitable,
    "object": AsgiObject(),
    "bound method": AsgiObject().method,
    "class": Asgi3Class,
    "partial": functools.partial(asgi3_with_settings, {}),
    "partial of an object": functools.partial(AsgiObject()),
    "decorated": passing_on(asgi3),
    "decorated object": passing_on(AsgiObject()),
    "decorated partial": passing_on(functools.partial(asgi3_with_settings, {})),
    "partial of a decorated": functools.partial(passing_on(asgi3_with_settings), {}),
    "decorated and open-ended": passing_on(made_asynchronous(lambda *args: None)),
    "decorated call": AsgiDecorated(),
    "open-ended call": AsgiOpenEnded(),
    "made of a WSGI application": made_asynchronous(wsgi),
    "made of a WSGI application, decorated": passing_on(made_asynchronous(wsgi)),
    "Starlette": Starlette(),
    "FastAPI": FastAPI(),
    "Falcon": falcon.asgi.App(),
    "Django": without_settings(ASGIHandler),
    "bridge": bridge.WsgiToAsgi(wsgi),
}

ASGI2 = {
    "function": asgi2,
    "object": Asgi2Object(),
    "class": Asgi2Class,
    "partial": functools.partial(lambda settings, scope: None, {}),
    "decorated": passing_on(asgi2),
}


def cases(applications: dict[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("app", applications.values(), ids=applications.keys())


@cases(WSGI)
def test_a_wsgi_application_is_recognised(app: object) -> None:
    """PEP 3333: a callable of exactly two positional arguments."""
    assert (interface_of(app), is_asgi(app)) == (Interface.WSGI, False)


@cases(ASGI3)
def test_an_asgi_application_is_recognised(app: object) -> None:
    """ASGI: an awaitable comes of (scope, receive, send)."""
    assert (interface_of(app), is_asgi(app)) == (Interface.ASGI3, True)


@cases(ASGI2)
def test_an_asgi_2_application_is_recognised(app: object) -> None:
    """ASGI's legacy form: a callable that takes the scope alone."""
    assert (interface_of(app), is_asgi(app)) == (Interface.ASGI2, True)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [("_asgi_single_callable", Interface.ASGI3), ("_asgi_double_callable", Interface.ASGI2)],
)
def test_marks_of_asgiref_settle_an_open_signature(mark: str, expected: Interface) -> None:
    """asgiref.compatibility: a mark on the application tells which form it has."""

    def application(*args: Any) -> Any: ...

    setattr(application, mark, True)
    assert interface_of(application) is expected


async def asynchronous_with_two_arguments(environ: Any, start_response: Any) -> None: ...


def wrapping_itself(*args: Any) -> Any: ...


wrapping_itself.__wrapped__ = wrapping_itself  # type: ignore[attr-defined]


async def asynchronous_generator(scope: Any, receive: Any, send: Any) -> Any:
    yield b""


@pytest.mark.parametrize(
    ("app", "said"),
    [
        pytest.param(None, "object of type NoneType cannot be called", id="None"),
        pytest.param("app", "object of type str cannot be called", id="text"),
        pytest.param(pytest, "object of type module cannot be called", id="module"),
        pytest.param(Flask, "name an instance of it", id="class of WSGI applications"),
        pytest.param(Starlette, "name an instance of it", id="class of ASGI applications"),
        pytest.param(WsgiObject, "name an instance of it", id="class without arguments"),
        pytest.param(Middleware, "name an instance of it", id="class of two arguments"),
        pytest.param(bridge.WsgiToAsgi, "name an instance of it", id="class of wrappers"),
        pytest.param(lambda: None, "like an application factory", id="factory"),
        pytest.param(lambda request: None, "takes neither", id="view"),
        pytest.param(lambda *args: None, "takes neither", id="anything"),
        pytest.param(lambda environ, start_response, *, settings: [], "takes neither", id="keyword without default"),
        pytest.param(lambda a, b, c, d: [], "takes neither", id="four arguments"),
        pytest.param(made_a_view(wsgi), "takes neither", id="view made of a WSGI application"),
        pytest.param(asynchronous_with_two_arguments, "takes neither", id="coroutine function of WSGI"),
        pytest.param(WsgiCoroutine(), "takes neither", id="coroutine call of WSGI"),
        pytest.param(wrapping_itself, "takes neither", id="circle of decorators"),
        pytest.param(asynchronous_generator, "takes neither", id="asynchronous generator"),
        pytest.param(print, "takes neither", id="builtin"),
        pytest.param(dict.fromkeys, "takes neither", id="builtin method"),
    ],
)
def test_what_cannot_be_told_apart_is_refused(app: object, said: str) -> None:
    """A wrong guess would fail in every request; the error says what to name instead."""
    with pytest.raises(LoadError, match=said):
        is_asgi(app)


@settings(deadline=None)
@given(st.from_type(type))
def test_any_class_is_recognised_or_refused(app: type) -> None:
    """No signature, however odd, ends in anything but an answer or a LoadError."""
    try:
        answer = is_asgi(app)
    except LoadError:
        return
    assert answer in {True, False}

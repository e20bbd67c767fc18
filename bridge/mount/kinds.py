"""An application as one of the other interface, if it is not of that already. Serves nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from asgiref import compatibility

from bridge.asgi_to_wsgi.adapter import AsgiToWsgi
from bridge.errors import ConfigurationError, LoadError
from bridge.interface import Interface, interface_of
from bridge.wsgi_to_asgi.adapter import WsgiToAsgi

if TYPE_CHECKING:
    from bridge.protocols import AsgiApplication, WsgiApplication

Kind: TypeAlias = Literal["wsgi", "asgi", "asgi2"]

_INTERFACES: dict[str, Interface] = {"wsgi": Interface.WSGI, "asgi": Interface.ASGI3, "asgi2": Interface.ASGI2}


def as_asgi(app: object, *, kind: Kind | None = None) -> AsgiApplication:
    """Return *app* as an ASGI 3 application: itself if it is one, else behind an adapter.

    Args:
        app: a WSGI or an ASGI application: a function, a class, or an object, also bound, partial or decorated. An
            ASGI 2 application (a double callable) goes through asgiref's ``guarantee_single_callable``.
        kind: what *app* is, where its signature does not tell.

    Raises:
        ConfigurationError: *app* is no application, or its signature does not tell which.
    """
    interface = _find_out(app, kind)
    if interface is Interface.WSGI:
        return WsgiToAsgi(cast("WsgiApplication", app))
    if interface is Interface.ASGI2:
        single: AsgiApplication = cast("Any", compatibility).guarantee_single_callable(app)
        return single
    return cast("AsgiApplication", app)


def as_wsgi(app: object, *, kind: Kind | None = None) -> WsgiApplication:
    """Return *app* as a WSGI application: itself if it is one, else behind an adapter.

    The arguments and errors are those of :func:`as_asgi`.
    """
    interface = _find_out(app, kind)
    if interface is Interface.WSGI:
        return cast("WsgiApplication", app)
    return AsgiToWsgi(as_asgi(app, kind="asgi2" if interface is Interface.ASGI2 else "asgi"))


def _find_out(app: object, kind: str | None) -> Interface:
    if kind is None:
        try:
            return interface_of(app)
        except LoadError as error:
            hint = "; or say what it is: kind='wsgi', 'asgi' or 'asgi2'" if callable(app) else ""
            raise ConfigurationError(f"{error}{hint}") from None
    if kind not in _INTERFACES:
        raise ConfigurationError(f"kind is one of {', '.join(map(repr, _INTERFACES))}; got {kind!r}")
    if not callable(app):
        raise ConfigurationError(f"app is an application, a callable; got {app!r}")
    return _INTERFACES[kind]

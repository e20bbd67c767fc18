"""How a few lines of mutation become an adapter that is broken on purpose. Knows bridge from outside only.

A mutation is a few lines between server and adapter, or between adapter and application. Most can stand on either
side, so one function breaks both directions:

===================  =======================================  =======================================
the function is      in front of a WSGI application           in front of an ASGI application
===================  =======================================  =======================================
ASGI (``asgi``...)   server, *mutation*, WsgiToAsgi           AsgiToWsgi, *mutation*, application
WSGI (``wsgi``)      WsgiToAsgi, *mutation*, application      server, *mutation*, AsgiToWsgi
===================  =======================================  =======================================

"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.protocols import (
    AsgiApplication,
    Environ,
    Message,
    Receive,
    Scope,
    Send,
    StartResponse,
    WsgiApplication,
)
from compat_matrix.model import Interface

Pair: TypeAlias = tuple[bytes, bytes]
Text: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Mutant:
    """One broken adapter."""

    name: str
    """Unique; with what it takes behind the mutation's own."""

    breaks: str
    """One line."""

    caught_by: tuple[str, ...]
    """Ids of checks; each has to fail."""

    takes: Interface
    wrap: Callable[[Any], Any]
    app: str
    server: str
    needs: str
    """Import name of the validator that sees it; empty if none is needed."""


MUTANTS: dict[str, Mutant] = {}
"""By name. Importing a module of mutants registers them."""


# -- how a function becomes a mutant ----------------------------------------------------------------------------------

F = TypeVar("F", bound=Callable[..., Any])
Wrap: TypeAlias = Callable[[Any], Any]


@dataclass(frozen=True)
class Mutating:
    """Decorates a function of some shape, and registers what it makes of bridge."""

    shape: Callable[[Any], tuple[Wrap, Wrap]]
    """Gives what wraps a WSGI application, and what wraps an ASGI application."""

    def __call__(
        self,
        breaks: str,
        both: str = "",
        *,
        wsgi: str = "",
        asgi: str = "",
        wsgi_app: str = "flask",
        asgi_app: str = "starlette",
        asgi_on: str = "waitress",
        needs: str = "",
    ) -> Callable[[F], F]:
        """Say what the function breaks and who sees it.

        Args:
            breaks: one line.
            both: the checks that catch it in either direction.
            wsgi: those in front of a WSGI application. Without *both* and this there is no such mutant.
            asgi: those in front of an ASGI application, likewise.
            wsgi_app: the application in the former case.
            asgi_app: the one in the latter.
            asgi_on: the server there. Waitress starts fastest, yet collects uploads and holds nobody back.
            needs: import name of the validator that sees it.
        """

        def register(function: F) -> F:
            of_wsgi, of_asgi = self.shape(function)
            name = function.__name__
            for mutant in (
                Mutant(f"{name}-wsgi", breaks, _ids(wsgi or both), "wsgi", of_wsgi, wsgi_app, "uvicorn-h11", needs),
                Mutant(f"{name}-asgi", breaks, _ids(asgi or both), "asgi", of_asgi, asgi_app, asgi_on, needs),
            ):
                if mutant.caught_by:
                    if mutant.name in MUTANTS:
                        raise ValueError(f"two mutants {mutant.name!r}")
                    MUTANTS[mutant.name] = mutant
            return function

        return register


def _ids(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _around_asgi(
    mutation: Callable[[AsgiApplication, Scope, Receive, Send], Awaitable[None]], kind: str = "http"
) -> tuple[Wrap, Wrap]:
    def around(application: AsgiApplication) -> AsgiApplication:
        async def mutated(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == kind:
                await mutation(application, scope, receive, send)
            else:
                await application(scope, receive, send)

        return mutated

    return lambda application: around(WsgiToAsgi(application)), lambda application: AsgiToWsgi(around(application))


def _around_wsgi(mutation: Callable[[WsgiApplication, Environ, StartResponse], Any]) -> tuple[Wrap, Wrap]:
    return (
        lambda application: WsgiToAsgi(partial(mutation, application)),
        lambda application: partial(mutation, AsgiToWsgi(application)),
    )


def _around_websocket(
    mutation: Callable[[AsgiApplication, Scope, Receive, Send], Awaitable[None]],
) -> tuple[Wrap, Wrap]:
    return _around_asgi(mutation, "websocket")


def _of_websocket_message(change: Callable[[Message], Message | None]) -> tuple[Wrap, Wrap]:
    async def mutation(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
        async def changed(message: Message) -> None:
            changed = change(dict(message))
            if changed is not None:
                await send(changed)

        await application(scope, receive, changed)

    return _around_websocket(mutation)


def _of_scope(change: Callable[[Scope], None]) -> tuple[Wrap, Wrap]:
    async def mutation(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "headers": [(name, value) for name, value in scope["headers"]]}
        change(scope)
        await application(scope, receive, send)

    return _around_asgi(mutation)


def _of_headers(change: Callable[[list[Pair]], list[Pair]]) -> tuple[Wrap, Wrap]:
    def of_scope(scope: Scope) -> None:
        scope["headers"] = change(scope["headers"])

    return _of_scope(of_scope)


def _of_receive(change: Callable[[Receive, Scope], Receive]) -> tuple[Wrap, Wrap]:
    return _around_asgi(lambda application, scope, receive, send: application(scope, change(receive, scope), send))


def _of_send(change: Callable[[Send], Send]) -> tuple[Wrap, Wrap]:
    return _around_asgi(lambda application, scope, receive, send: application(scope, receive, change(send)))


def _of_start(change: Callable[[Message, Scope], None]) -> tuple[Wrap, Wrap]:
    async def mutation(application: AsgiApplication, scope: Scope, receive: Receive, send: Send) -> None:
        async def changed(message: Message) -> None:
            if begins(message):
                message = {**message, "headers": [(name, value) for name, value in message["headers"]]}
                change(message, scope)
            await send(message)

        await application(scope, receive, changed)

    return _around_asgi(mutation)


def _of_environ(change: Callable[[Environ], None]) -> tuple[Wrap, Wrap]:
    def mutation(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        change(environ)
        return application(environ, start_response)

    return _around_wsgi(mutation)


def _of_start_response(change: Callable[[str, list[Text]], tuple[str, list[Text]]]) -> tuple[Wrap, Wrap]:
    def mutation(application: WsgiApplication, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        return application(environ, lambda status, headers, *rest: start_response(*change(status, headers), *rest))

    return _around_wsgi(mutation)


adapter = Mutating(lambda wrap: (wrap, wrap))
"""The function takes the application and gives the whole adapter."""

asgi = Mutating(_around_asgi)
"""The function serves an HTTP request by ``application(scope, receive, send)``."""

asgi_scope = Mutating(_of_scope)
"""The function changes a copy of the scope."""

asgi_headers = Mutating(_of_headers)
"""The function gives the request other headers."""

asgi_receive = Mutating(_of_receive)
"""The function makes another ``receive()`` of one; is given the scope, too."""

asgi_start = Mutating(_of_start)
"""The function changes a copy of ``http.response.start``; is given the scope, too."""

asgi_send = Mutating(_of_send)
"""The function makes another ``send()`` of one."""

websocket = Mutating(_around_websocket)
"""The function serves a WebSocket by ``application(scope, receive, send)``."""

websocket_message = Mutating(_of_websocket_message)
"""The function makes another message of one that goes to the client of a WebSocket, or none."""

wsgi = Mutating(_around_wsgi)
"""The function serves a request by ``application(environ, start_response)``."""

wsgi_environ = Mutating(_of_environ)
"""The function changes the environ."""

wsgi_start = Mutating(_of_start_response)
"""The function gives the response another status and other headers."""


def begins(message: Message) -> bool:
    return bool(message["type"] == "http.response.start")


def ends(message: Message) -> bool:
    return bool(message["type"] == "http.response.body" and not message.get("more_body", False))


def is_body(message: Message) -> bool:
    return bool(message["type"] == "http.response.body")


def values(headers: Iterable[Pair], name: bytes) -> list[bytes]:
    return [value for one, value in headers if one.lower() == name]


def without(headers: Iterable[Pair], *names: bytes) -> list[Pair]:
    return [(name, value) for name, value in headers if name.lower() not in names]


def set_path(scope: Scope, path: str) -> None:
    scope["path"] = path
    scope["raw_path"] = None  # may be preferred, and would hide the mutation

"""Several applications behind one, asked in order. Knows the arguments and no message of an exchange."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from bridge.errors import ConfigurationError, ServerError
from bridge.mount.cascade.exchange import Exchange
from bridge.mount.cascade.replay import Replay
from bridge.mount.kinds import as_asgi
from bridge.mount.states import live

if TYPE_CHECKING:
    from bridge.protocols import AsgiApplication, Receive, Scope, Send

_KINDS: Final = ("http", "websocket")


class Cascade:
    """Ask WSGI and ASGI applications in order, for migrations route by route: an ASGI application.

    An answer whose status is one of *statuses* falls through: the client sees nothing of it and the next application
    is asked. The last one's answer is the client's, whatever it is. So is every other answer: its messages go to
    the server one by one, as they are sent.

    A WebSocket falls through that is refused before it is accepted, with one of *statuses* or with a close of code
    1000, 3000 + status or 4000 + status. Frameworks close with 1000 where they have no route; with any other code,
    such as 1008, an application says no, and that is an answer.

    Each application has a scope and a state of its own and gets the request from its first byte on. What one has
    read of the body is kept for the next, up to *replay_limit*; what none asks for is not read. After more than
    that only the application that has read it can answer: if it falls through as well, the client gets 413.

    An application whose answer fell through is told that the client has left and goes on beside the next one: what
    it does after its answer (background tasks) runs to its end, an error of its own is logged. If its answer goes on
    for more than 1 MiB, or still goes on when the exchange is over, it is cancelled.
    Early hints, and what else comes before an answer, are held until it is accepted. An error before an answer is
    raised to the server, and an application that returns without one leaves that to the server: neither falls through.

    Lifespans and states are those of :class:`Dispatcher`, in the order of *applications*.

    Args:
        applications: each a WSGI or an ASGI application; :func:`as_asgi` tells which, and takes what it cannot tell
            (``as_asgi(app, kind="wsgi")``).
        statuses: HTTP status codes, 200 to 599.
        replay_memory: bytes of a request body that are kept in memory; more go to a temporary file.
        replay_limit: bytes of a request body that are kept.

    Raises:
        ConfigurationError: an argument is none of those, or an application cannot be recognised.

    Source: ASGI HTTP and WebSocket specifications; RFC 9110, 15.5.14 (413); RFC 6455, 7.4 (codes).
    """

    def __init__(
        self,
        applications: Sequence[object],
        *,
        statuses: Collection[int] = (404, 405),
        replay_memory: int = 65536,
        replay_limit: int = 100 << 20,
    ) -> None:
        if not isinstance(applications, Sequence) or not applications:
            raise ConfigurationError(f"a cascade is of a list of applications, one or more; got {applications!r}")
        self._applications: list[tuple[str, AsgiApplication]] = []
        for number, application in enumerate(applications, 1):
            if any(application is other for other in applications[: number - 1]):
                raise ConfigurationError(f"an application is asked once; {application!r} is there twice")
            self._applications.append((f"position {number} of the cascade", as_asgi(application)))
        if not isinstance(statuses, Collection) or not all(map(_is_status, statuses)):
            raise ConfigurationError(f"statuses are numbers from 200 to 599, such as (404, 405); got {statuses!r}")
        self._statuses = frozenset(statuses)
        self._memory = _bytes("replay_memory", replay_memory)
        self._limit = _bytes("replay_limit", replay_limit)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have one of the applications answer a connection, or run the lifespans.

        Raises:
            Exception: what the application raised whose answer it is, or the server's ``send()`` or ``receive()``.
            ServerError: the server broke the ASGI specification.
            OSError: the temporary file could not be written.
        """
        kind = scope["type"]
        if kind == "lifespan":
            await live(self._applications, scope, receive, send)
            return
        if kind not in _KINDS:
            raise ServerError(f"an ASGI scope is of type http, websocket or lifespan; the server sent {kind!r}")
        applications = [application for _, application in self._applications]
        replay = Replay(receive, kind=kind, memory=self._memory, limit=self._limit)
        await Exchange(applications, self._statuses, scope, replay, send).run()


def _is_status(status: object) -> bool:
    return isinstance(status, int) and 200 <= status <= 599


def _bytes(option: str, value: int) -> int:
    if not isinstance(value, int) or value < 0:
        raise ConfigurationError(f"{option} is a number of bytes, 0 or more; got {value!r}")
    return value

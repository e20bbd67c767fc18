"""Several applications behind one, by path. Knows no HTTP but the path, and neither interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from bridge.errors import ConfigurationError
from bridge.mount.kinds import as_asgi
from bridge.mount.lifespans import Lifespans

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.protocols import AsgiApplication, Receive, Scope, Send

# Where the server's state keeps those of the applications, which do not see it.
_STATES: Final = "bridge.mount.states"


class Dispatcher:
    """Serve WSGI and ASGI applications side by side: an ASGI application.

    The longest prefix that a path begins with, in whole segments, decides: ``/app`` is for ``/app`` and ``/app/x``, not
    for ``/apple``. The application that is mounted there finds the prefix in ``root_path`` (``SCRIPT_NAME``), so
    its own URLs and redirects have it.

    Every application is started and shut down with the server: *default* first, then the others in their order, and
    back. One that cannot start ends the start of all. What each puts into its lifespan's state it finds in
    that of its requests, and what the others have put there under other names.

    Args:
        default: for every path that no prefix is for.
        mounts: by prefix, such as ``"/legacy"``. Each a WSGI or an ASGI application; :func:`as_asgi` tells which, and
            takes what it cannot tell (``as_asgi(app, kind="wsgi")``).

    Raises:
        ConfigurationError: a prefix is none, or an application cannot be recognised.

    Source: ASGI HTTP specification, ``root_path``; WebSocket and lifespan specifications; RFC 3986, 3.3.
    """

    def __init__(self, default: object, mounts: Mapping[str, object]) -> None:
        self._applications: list[tuple[str, AsgiApplication]] = []  # each once, with its first prefix
        self._given: list[object] = []  # what they were made of
        default_number = self._add("/", default)
        numbers: dict[str, int] = {}
        for prefix, application in mounts.items():
            mount = _checked(prefix)
            if mount in numbers:
                raise ConfigurationError(f"two applications are mounted at {mount!r}")
            numbers[mount] = self._add(mount, application)
        # The longest first; the last, of no length, is for every path.
        longest_first = sorted(numbers.items(), key=lambda item: -len(item[0]))
        self._mounts = [*longest_first, ("", default_number)]

    def _add(self, prefix: str, application: object) -> int:
        for number, given in enumerate(self._given):
            if given is application:
                return number
        self._given.append(application)
        self._applications.append((prefix, as_asgi(application)))
        return len(self._applications) - 1

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or run the lifespans."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        mount, number = self._choose(_below(scope.get("root_path", ""), scope.get("path", "")))
        await self._applications[number][1](_mounted(scope, mount, number), receive, send)

    def _choose(self, path: str) -> tuple[str, int]:
        for mount, number in self._mounts:
            if path.startswith(mount) and (len(path) == len(mount) or path[len(mount)] == "/" or not mount):
                return mount, number
        raise AssertionError("the last mount is for every path")

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        lifespans = Lifespans(self._applications)

        def keep_states() -> None:
            state = scope.get("state")
            if state is not None:
                state[_STATES] = lifespans.states

        await lifespans.run(scope, receive, send, keep_states)


def _checked(prefix: str) -> str:
    mount = prefix.rstrip("/")
    if not mount.startswith("/") or "//" in mount or {"?", "#", "%"} & set(mount):
        raise ConfigurationError(
            f"a prefix is a path such as '/legacy', decoded, with neither query nor fragment; got {prefix!r}"
        )
    return mount


def _below(root_path: str, path: str) -> str:
    """Return *path* without the mount of the dispatcher itself, which some servers leave out of it."""
    outer = root_path.rstrip("/")
    return path[len(outer) :] if outer and (path == outer or path.startswith(outer + "/")) else path


def _mounted(scope: Scope, mount: str, number: int) -> Scope:
    state: dict[str, Any] | None = scope.get("state")
    own = dict(scope)
    if state is not None and _STATES in state:
        states = state[_STATES]
        merged = {name: value for one in states for name, value in one.items()}
        own["state"] = {**merged, **{k: v for k, v in state.items() if k != _STATES}, **states[number]}
    if not mount:
        return own
    outer = scope.get("root_path", "").rstrip("/")
    path = scope.get("path", "")
    if outer and _below(outer, path) is path:
        # The whole path, as the specification has it: an application could not tell one mount from the other.
        own["path"] = outer + path
        raw_path = scope.get("raw_path")
        if raw_path:
            own["raw_path"] = quote(outer, safe="/:@!$&'()*+,;=~").encode("ascii") + raw_path
    own["root_path"] = outer + mount
    return own

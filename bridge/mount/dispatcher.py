"""Several applications behind one, by path. Knows no HTTP but the request's target, and neither interface."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from bridge.errors import BadRequest, ConfigurationError
from bridge.http import split_absolute_form
from bridge.mount.kinds import as_asgi
from bridge.mount.states import live, state_of
from bridge.wsgi_to_asgi.environ import split_mount, take_target_apart

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bridge.protocols import AsgiApplication, Receive, Scope, Send


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
            await live(self._applications, scope, receive, send)
            return
        if "://" in scope.get("path", ""):
            scope = _in_origin_form(scope)
        path = _below(scope)
        mount, number = self._choose(path)
        await self._applications[number][1](_mounted(scope, path, mount, number), receive, send)

    def _choose(self, path: str) -> tuple[str, int]:
        for mount, number in self._mounts:
            if path.startswith(mount) and (len(path) == len(mount) or path[len(mount)] == "/" or not mount):
                return mount, number
        raise AssertionError("the last mount is for every path")


def _checked(prefix: str) -> str:
    mount = prefix.rstrip("/")
    if not mount.startswith("/") or "//" in mount or {"?", "#", "%"} & set(mount):
        raise ConfigurationError(
            f"a prefix is a path such as '/legacy', decoded, with neither query nor fragment; got {prefix!r}"
        )
    return mount


def _in_origin_form(scope: Scope) -> Scope:
    """Return *scope* with only the path of a target in absolute form, which most servers leave whole.

    By the whole of it the default would be chosen, which may well find the path in it that a mount is to keep from it.

    Source: RFC 9112, 3.2.2.
    """
    # Uvicorn puts its root_path before whatever was requested.
    root_path: str = (scope.get("root_path") or "").rstrip("/")
    target, raw_path = scope["path"].removeprefix(root_path), scope.get("raw_path")
    if split_absolute_form(target) is None:
        return scope
    raw_target = raw_path.removeprefix(root_path.encode()) if raw_path else None
    try:
        path, raw_path, authority = take_target_apart(target, raw_target)
    except BadRequest:  # raw_path says something else
        path, raw_path, authority = take_target_apart(target, None)
    others = [(name, value) for name, value in scope["headers"] if bytes(name).lower() != b"host"]
    headers = [(b"host", authority.encode("latin-1")), *others]
    return {**scope, "path": path, "raw_path": raw_path, "headers": headers}


def _below(scope: Scope) -> str:
    """Return the path without the mount of the dispatcher itself, which some servers and frameworks leave out of it."""
    path: str = scope.get("path", "")
    root_path: str = scope.get("root_path", "").rstrip("/")
    if not root_path:
        return path
    _, below = split_mount(path, root_path, scope.get("raw_path"), scope.get("app_root_path") or "")
    return below.encode("latin-1").decode("utf-8", "replace")


def _mounted(scope: Scope, below: str, mount: str, number: int) -> Scope:
    state: dict[str, Any] | None = scope.get("state")
    own = dict(scope)
    if state is not None:
        own["state"] = state_of(state, number)
    if not mount:
        return own
    outer = scope.get("root_path", "").rstrip("/")
    if outer:
        # The whole path, as the specification has it: an application could not tell one mount from the other.
        own["path"] = whole = outer + below
        raw_path = scope.get("raw_path")
        if raw_path:
            sent = unquote(raw_path.partition(b"?")[0].decode("latin-1"))
            if whole.endswith(sent):
                missing = whole[: len(whole) - len(sent)]
                own["raw_path"] = quote(missing, safe="/:@!$&'()*+,;=~").encode("ascii") + raw_path
    own["root_path"] = outer + mount
    return own

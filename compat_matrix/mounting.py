"""The smallest mount of each interface. Independent of bridge, since bridge is what is checked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def mount_wsgi(default: Any, mounted: Mapping[str, Any]) -> Any:
    """Serve applications below path prefixes. Source: PEP 3333, "environ Variables"."""

    def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        for prefix, target in mounted.items():
            if path == prefix or path.startswith(prefix + "/"):
                environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
                environ["PATH_INFO"] = path[len(prefix) :]
                below: Iterable[bytes] = target(environ, start_response)
                return below
        at_root: Iterable[bytes] = default(environ, start_response)
        return at_root

    return application


def mount_asgi(default: Any, mounted: Mapping[str, Any]) -> Any:
    """Serve applications below path prefixes; lifespan goes to *default*. Source: ASGI HTTP specification."""

    async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
        path = scope.get("path", "")
        for prefix, target in mounted.items():
            if path == prefix or path.startswith(prefix + "/"):
                await target({**scope, "root_path": scope.get("root_path", "") + prefix}, receive, send)
                return
        await default(scope, receive, send)

    return application

"""The adapters that are compared, by the direction they have. Imports none of them."""

from __future__ import annotations

from compat_matrix.model import NATIVE, Adapter, Interface

_HYPERCORN_ON_ASYNCIO = ("hypercorn-asyncio", "hypercorn-uvloop")
_UVICORN = ("uvicorn-h11", "uvicorn-httptools")

ADAPTERS: tuple[Adapter, ...] = (
    Adapter("bridge", "wsgi", "bridge:WsgiToAsgi", ("bridge",)),
    Adapter("bridge", "asgi", "bridge:AsgiToWsgi", ("bridge",)),
    Adapter("a2wsgi", "wsgi", "a2wsgi:WSGIMiddleware", ("a2wsgi",)),
    Adapter("a2wsgi", "asgi", "a2wsgi:ASGIMiddleware", ("a2wsgi",)),
    Adapter("asgiref", "wsgi", "asgiref.wsgi:WsgiToAsgi", ("asgiref",)),
    Adapter("starlette", "wsgi", "starlette.middleware.wsgi:WSGIMiddleware", ("starlette",)),
    Adapter("uvicorn", "wsgi", "uvicorn.middleware.wsgi:WSGIMiddleware", ("uvicorn",), _UVICORN),
    Adapter("hypercorn", "wsgi", "hypercorn.middleware:AsyncioWSGIMiddleware", ("hypercorn",), _HYPERCORN_ON_ASYNCIO),
    Adapter("hypercorn", "wsgi", "hypercorn.middleware:TrioWSGIMiddleware", ("hypercorn", "trio"), ("hypercorn-trio",)),
)


def names() -> list[str]:
    """Return the adapters' names, the native run first, each once."""
    return list(dict.fromkeys([NATIVE, *(adapter.name for adapter in ADAPTERS)]))


def find(name: str, takes: Interface, server: str) -> Adapter | None:
    """Return the adapter of this name for applications of an interface on a server; None if it has none."""
    for adapter in ADAPTERS:
        if (adapter.name, adapter.takes) == (name, takes) and (adapter.servers is None or server in adapter.servers):
            return adapter
    return None

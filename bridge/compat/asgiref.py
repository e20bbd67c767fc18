"""asgiref's WsgiToAsgi over the bridge's. Imports nothing of asgiref.wsgi, and knows no environ."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from bridge.errors import ConfigurationError
from bridge.wsgi_to_asgi.adapter import WsgiToAsgi as _WsgiToAsgi

if TYPE_CHECKING:
    from bridge.protocols import Receive, Scope, Send, WsgiApplication

__all__ = ["WsgiToAsgi"]


class WsgiToAsgi(_WsgiToAsgi):
    """Run a WSGI application as an ASGI application: ``asgiref.wsgi.WsgiToAsgi`` by signature.

    The other options of :class:`bridge.WsgiToAsgi` have their defaults.

    Args:
        wsgi_application: the WSGI application (PEP 3333).
        duplicate_header_limit: how often a request may repeat one header; a request that does it more often is
            answered 400 without the application. None or 0: no limit.

    Raises:
        ConfigurationError: an argument has a value that it cannot have.

    Source: asgiref, README "WSGI-to-ASGI adapter" and CHANGELOG 3.11.1 (CVE-2025-14550).
    """

    def __init__(self, wsgi_application: WsgiApplication, duplicate_header_limit: int | None = 100) -> None:
        limit = duplicate_header_limit
        if limit is not None and (not isinstance(limit, int) or limit < 0):
            raise ConfigurationError(
                f"duplicate_header_limit is a number of headers, 1 or more, or None for no limit; got {limit!r}"
            )
        super().__init__(wsgi_application)
        self.duplicate_header_limit = limit

    @property
    def wsgi_application(self) -> WsgiApplication:
        """The WSGI application."""
        return self.app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        limit = self.duplicate_header_limit
        # Counted only where there are so many headers at all: few requests ever pay for it.
        if limit and scope["type"] == "http" and len(scope["headers"]) > limit and _most_repeated(scope) > limit:
            self._rejected.add()
            await _refuse(limit, scope["method"], send)
            return
        await super().__call__(scope, receive, send)


def _most_repeated(scope: Scope) -> int:
    return max(Counter(name.lower() for name, _ in scope["headers"]).values())


async def _refuse(limit: int, method: str, send: Send) -> None:
    text = f"A header is repeated more than {limit} times.\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(text))]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else text})

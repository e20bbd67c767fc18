"""Scope of a WebSocket to environ: its handshake as the GET request that it was. Pure: no thread, no event loop."""

from __future__ import annotations

import base64
import os
from io import BytesIO
from typing import TYPE_CHECKING, Final

from bridge.wsgi_to_asgi.environ import PrivateScope, build_environ

if TYPE_CHECKING:
    from bridge.protocols import Environ, Scope

# Tremolo's are bytes; Daphne has none.
_SECURE: Final = ("wss", "https", b"wss", b"https")


def build_websocket_environ(scope: Scope) -> Environ:
    """Build the environ of one WebSocket's handshake.

    Args:
        scope: an ASGI ``websocket`` scope. What :func:`build_environ` lets be absent may be absent here, and so may
            ``scheme`` (Daphne).

    Returns:
        A new dictionary, as an HTTP/1.1 server would build it from the bytes of the handshake: ``REQUEST_METHOD`` is
        GET, the body empty, ``wsgi.url_scheme`` http or https. The variables that RFC 6455 asks for are there even if
        the handshake was none of HTTP/1.1 (RFC 8441, 5, has no key and no upgrade) or the server keeps headers back.
        ``HTTP_SEC_WEBSOCKET_EXTENSIONS`` is not: extensions are between the client and the server, which speak the
        frames.

    Raises:
        BadRequest: the request's target has no valid form.
        ServerError: ``root_path`` is neither empty nor starts with ``/``.

    Source: RFC 6455, 4.1; RFC 8441, 5; ASGI specification, "WebSocket Connection Scope".
    """
    headers = [pair for pair in scope["headers"] if pair[0] not in (b"content-length", b"transfer-encoding")]
    scheme = "https" if scope.get("scheme") in _SECURE else "http"
    environ = build_environ({**scope, "method": "GET", "scheme": scheme, "headers": headers})
    environ["asgi.scope"] = PrivateScope(scope)
    environ["wsgi.input"] = BytesIO()
    environ.setdefault("HTTP_UPGRADE", "websocket")
    environ.setdefault("HTTP_CONNECTION", "Upgrade")
    environ.setdefault("HTTP_HOST", f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}")
    environ.setdefault("HTTP_SEC_WEBSOCKET_VERSION", "13")
    if "HTTP_SEC_WEBSOCKET_KEY" not in environ:
        environ["HTTP_SEC_WEBSOCKET_KEY"] = base64.b64encode(os.urandom(16)).decode("ascii")
    offered = ", ".join(scope.get("subprotocols") or ())
    if offered:
        environ.setdefault("HTTP_SEC_WEBSOCKET_PROTOCOL", offered)
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    return environ

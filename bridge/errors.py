"""Every exception the bridge raises, by who is at fault. Knows nothing of either protocol's code."""

from __future__ import annotations

from errno import ECONNRESET


class BridgeError(Exception):
    """Base of every error this package raises."""


class ApplicationError(BridgeError):
    """The wrapped application broke PEP 3333 or the ASGI specification."""


class ServerError(BridgeError):
    """The server that called us, or a middleware in between, broke PEP 3333 or the ASGI specification."""


class RequestRefused(BridgeError):
    """The bridge answers a request itself, in the application's place.

    It is raised and caught inside the bridge: the client gets *status* with the message as its text.
    """

    status = 500
    headers: tuple[tuple[bytes, bytes], ...] = ()


class BadRequest(RequestRefused):
    """The client sent what HTTP does not allow, and the server let it through: 400."""

    status = 400


class LengthRequired(RequestRefused):
    """The request body has no declared length, and the server does not say where it ends: 411."""

    status = 411


class ContentTooLarge(RequestRefused):
    """The request body is longer than ``max_body_size``, known before the application is called: 413."""

    status = 413


class Overloaded(RequestRefused):
    """All worker threads are busy and ``max_pending`` exchanges wait already: 503."""

    status = 503
    headers = ((b"retry-after", b"1"),)


class CannotUpgrade(RequestRefused):
    """A WebSocket is asked for where there can be none: 501. Source: RFC 9110, 15.6.2."""

    status = 501


class UpstreamFailure(RequestRefused):
    """The upstream did not do its part.

    The message is the client's and names no address, which is nobody's business there.

    Args:
        message: for the client.
        detail: for the log.
    """

    def __init__(self, message: str, detail: str) -> None:
        super().__init__(message)
        self.detail = detail


class BadGateway(UpstreamFailure):
    """It cannot be reached, or breaks off, or speaks no HTTP: 502. Source: RFC 9110, 15.6.3."""

    status = 502


class GatewayTimeout(UpstreamFailure):
    """It is too slow: 504. Source: RFC 9110, 15.6.5."""

    status = 504


class NoConnectionFree(UpstreamFailure):
    """All connections that it may have are taken: 503. Source: RFC 9110, 15.6.4."""

    status = 503
    headers = ((b"retry-after", b"1"),)


class ClientDisconnected(BridgeError, OSError):
    """The exchange ended before the application was done with it.

    Raised in the worker thread by reads of ``wsgi.input``, by ``write()`` and
    between chunks of the response: the client went away, the server cancelled
    the exchange, or a shutdown ran into ``drain_timeout``. The message says which.
    In the other direction ``send()`` raises it, and the server gets it from an
    application that makes no response to a request whose body broke off.
    """

    # By it WSGI servers tell a client that left, which is nobody's fault, from an error that they have to log.
    errno = ECONNRESET


class BodyTooLarge(BridgeError):
    """The request body is longer than ``max_body_size`` and its length was not declared."""


class LifespanFailed(BridgeError):
    """The ASGI application could not be started, in time or at all; the message holds its reason."""


class NoEventLoop(BridgeError, RuntimeError):
    """``run_async`` was called where no exchange, and so no event loop, is known."""


class NoWebSocket(BridgeError, ValueError):
    """``bridge.websocket`` was called with an environ that is not of a WebSocket's handshake."""


class ConfigurationError(BridgeError, ValueError):
    """An option has a value that it cannot have."""


class LoadError(BridgeError):
    """The command line could not find, or not recognise, the application it was given."""

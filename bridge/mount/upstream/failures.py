"""How an upstream fails, and what the client is told of it. Knows neither its address nor the network."""

from __future__ import annotations

from bridge.errors import RequestRefused


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

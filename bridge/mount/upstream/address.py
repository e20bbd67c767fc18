"""Where the upstream is: its URL, taken apart. Pure; connects to nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from bridge.errors import ConfigurationError

_DEFAULT_PORT: Final = {"http": 80, "https": 443}
# RFC 3986, 3.3: what a path is made of, escapes included.
_PATH: Final = re.compile(r"(?:/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)*")
_HOST: Final = re.compile(r"[A-Za-z0-9\-._:]+")


@dataclass(frozen=True)
class Address:
    """An ``http`` or ``https`` URL without query and fragment."""

    scheme: str
    """``"http"`` or ``"https"``."""
    host: str
    """A name or an address; one of IPv6 without its brackets."""
    port: int
    authority: bytes
    """Host and port as the Host header has them."""
    base: bytes
    """The path before every request's own, escaped, without a slash at its end; ``b""`` for none."""

    @property
    def origin(self) -> str:
        """For messages."""
        return f"{self.scheme}://{self.authority.decode('ascii')}"


def parse_address(url: object) -> Address:
    """Take *url* apart.

    Raises:
        ConfigurationError: it is no URL that an upstream can have.

    Source: RFC 3986, 3; RFC 9110, 4.2 and 7.2.
    """
    try:
        if not isinstance(url, str):
            raise ValueError("it is no text")
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
        if parts.scheme not in _DEFAULT_PORT:
            raise ValueError("its scheme is neither http nor https; a WebSocket goes the same way")
        if not _HOST.fullmatch(host):
            raise ValueError("it has no host, or one that is not ASCII")
        host.encode("idna")  # as looking it up does, which has no better error for an empty or a long label
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("it has a user, a query or a fragment")
        if not _PATH.fullmatch(parts.path):
            raise ValueError("its path is not escaped as a URL's is")
    except ValueError as error:
        raise ConfigurationError(
            f"an upstream is a URL such as 'http://127.0.0.1:9000' or 'http://127.0.0.1:9000/base'; "
            f"got {url!r}: {error}"
        ) from None
    shown = f"[{host}]" if ":" in host else host
    return Address(
        scheme=parts.scheme,
        host=host,
        port=_DEFAULT_PORT[parts.scheme] if port is None else port,
        authority=(shown if port is None else f"{shown}:{port}").encode("ascii"),
        base=parts.path.rstrip("/").encode("ascii"),
    )

"""What of a response is the application's, for comparing two servers. Makes no requests."""

from __future__ import annotations

from typing import Any

from compat_matrix.client import Response
from compat_matrix.site import Site

# The server's own, each server's different: RFC 9110, 6.6.1 and 10.2.4; RFC 9112, 6.1 and 9.6. RFC 9110, 8.6:
# Content-Length may be left out or added, so it is compared by checks of its own.
OF_THE_SERVER = {"connection", "content-length", "date", "keep-alive", "server", "transfer-encoding"}


# RFC 9110, 15.4.5: what a 304 should not have. Quart sends it, Apache takes it away.
_NOT_IN_304 = {*OF_THE_SERVER, "content-type"}


def seen(response: Response) -> dict[str, Any]:
    """Return status, headers (sorted by name, values of one name in their order) and body of a response."""
    left_out = _NOT_IN_304 if response.status == 304 else OF_THE_SERVER
    return {
        "status": response.status,
        "headers": sorted(
            ([name, value] for name, value in response.headers if name not in left_out), key=lambda pair: pair[0]
        ),
        "body": response.body.decode("latin-1"),
        "complete": response.complete,
    }


def asked(
    site: Site, method: str, target: str, *header_lines: str, body: bytes = b"", mounted: bool = False
) -> dict[str, Any]:
    """Make one request and return what :func:`seen` gives."""
    return seen(site.ask(method, (site.mount if mounted else "") + target, *header_lines, body=body))

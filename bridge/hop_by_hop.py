"""Headers that belong to the connection and so to the server: both directions drop them. Knows no message."""

from __future__ import annotations

import logging
from typing import AnyStr, Final

_logger = logging.getLogger("bridge")

# Names come from applications that may make them up, so what was logged is remembered up to here, and then no more is.
_NAMED_LIMIT: Final = 512


def log_dropped(name: str, named_in_log: set[str]) -> None:
    """Say in the log that the header *name* is dropped, once.

    Args:
        name: as the application spells it.
        named_in_log: the lower-case names that were logged. The caller's, since each direction serves
            applications of its own, and each is told; it grows up to a limit, beyond which nothing is logged.
    """
    key = name.lower()
    if key not in named_in_log and len(named_in_log) < _NAMED_LIMIT:
        named_in_log.add(key)
        _logger.warning(
            "The application sends the header %r, which belongs to the connection and so to the server "
            "(RFC 9110, 7.6.1): it is dropped, now and from here on.",
            name,
        )


def without_nominated(
    headers: list[tuple[AnyStr, AnyStr]], connection: str, named_in_log: set[str]
) -> list[tuple[AnyStr, AnyStr]]:
    """Return *headers* without those that the Connection header names, and log each of their names once.

    Args:
        headers: names in any case.
        connection: the value of Connection; several joined with a comma.
        named_in_log: see :func:`log_dropped`.

    Source: RFC 9110, 7.6.1.
    """
    names = {option.strip(" \t").lower() for option in connection.split(",")}
    kept: list[tuple[AnyStr, AnyStr]] = []
    for header in headers:
        name = header[0] if isinstance(header[0], str) else header[0].decode("latin-1")
        if name.lower() in names:
            log_dropped(name, named_in_log)
        else:
            kept.append(header)
    return kept

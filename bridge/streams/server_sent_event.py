"""One event of a ``text/event-stream``. Pure; knows no response."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bridge.errors import ApplicationError

_LINE_END: Final = re.compile("\r\n|\n|\r")

COMMENT: Final = b":\n\n"
"""What clients ignore, and proxies take for a sign of life."""


@dataclass(frozen=True)
class ServerSentEvent:
    r"""One event, as ``EventSource`` of a browser takes it.

    Args:
        data: text; of several lines, which arrive as they are but for their line ends, each of which becomes ``\n``.
        event: its type; None: ``message``.
        id: what the browser sends as ``Last-Event-ID`` when it connects again; ``""`` resets it, None leaves it.
        retry: milliseconds that the browser waits before it connects again; None leaves it.

    Raises:
        ApplicationError: *event* or *id* has a line end, *id* a NUL, *retry* is no number of milliseconds.

    Source: HTML Living Standard, 9.2.5 "Parsing an event stream" and 9.2.6 "Interpreting an event stream".
    """

    data: str
    event: str | None = None
    id: str | None = None
    retry: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.data, str):
            raise ApplicationError(f"the data of a server-sent event is str; got {self.data!r:.60}")
        for name, value in (("event", self.event), ("id", self.id)):
            if value is not None and (not isinstance(value, str) or _LINE_END.search(value)):
                raise ApplicationError(f"{name} of a server-sent event is str without a line end; got {value!r:.60}")
        if self.id is not None and "\0" in self.id:
            raise ApplicationError(f"a browser ignores an id with a NUL; got {self.id!r:.60}")
        if self.retry is not None and (not isinstance(self.retry, int) or self.retry < 0):
            raise ApplicationError(f"retry of a server-sent event is milliseconds, 0 or more; got {self.retry!r:.60}")

    def encode(self) -> bytes:
        """Return the event as it is sent, with the empty line that ends it.

        Raises:
            UnicodeEncodeError: the text has a lone surrogate, which UTF-8 does not have.
        """
        lines: list[str] = []
        if self.event is not None:
            lines.append(f"event: {self.event}")
        if self.id is not None:
            lines.append(f"id: {self.id}")
        if self.retry is not None:
            lines.append(f"retry: {self.retry}")
        lines += [f"data: {line}" for line in _LINE_END.split(self.data)]
        return "\n".join([*lines, "", ""]).encode()

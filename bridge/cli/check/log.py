"""What is logged while the application runs: warnings of the bridge, exceptions of anybody. Knows no application."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from bridge.cli.check.limits import MOST_SAID
from bridge.cli.check.wsgi_caller import described

if TYPE_CHECKING:
    from collections.abc import Generator


class Heard(logging.Handler):
    """Keeps warnings of the bridge, and exceptions that frameworks log in place of raising them. Any thread."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: dict[str, None] = {}
        """The bridge's warnings and errors, each once, in their order."""
        self.exceptions: dict[str, None] = {}
        """Types and texts of the exceptions, each once; ``ValueError: text``."""

    def emit(self, record: logging.LogRecord) -> None:
        # What is said of headers of the connection, a check says.
        if record.module != "hop_by_hop" and len(self.said) < MOST_SAID:
            text = record.getMessage()
            error = record.exc_info[1] if record.exc_info else None
            self.said[text if error is None else f"{text}: {described(error)}"] = None

    def note(self, error: BaseException) -> None:
        """Keep an exception and what it was raised from."""
        seen: set[int] = set()
        link: BaseException | None = error
        while link is not None and id(link) not in seen and len(self.exceptions) < MOST_SAID:
            seen.add(id(link))
            self.exceptions[described(link)] = None
            link = link.__cause__ or link.__context__


@contextmanager
def hearing() -> Generator[Heard, None, None]:
    """Listen, as long as the block runs."""
    heard = Heard()
    make = logging.getLogRecordFactory()

    # No handler at the root: frameworks look whether there is one, and set up their own logs by that.
    def making(*args: Any, **options: Any) -> logging.LogRecord:
        record = make(*args, **options)
        if record.exc_info and record.exc_info[1] is not None:
            heard.note(record.exc_info[1])
        return record

    logger = logging.getLogger("bridge")
    logger.addHandler(heard)
    logging.setLogRecordFactory(making)
    try:
        yield heard
    finally:
        logging.setLogRecordFactory(make)
        logger.removeHandler(heard)

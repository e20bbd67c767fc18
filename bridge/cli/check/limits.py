"""Where `bridge check` stops: time, bytes, numbers. Every limit has its reason here."""

from __future__ import annotations

from typing import Final

MOST_BODY: Final = 4 << 20
"""Bytes of a response that are read and compared; the rest of a longer one is not."""

LONG_STREAM: Final = 1.0
"""Seconds after which a response that streams is read no further: it may be endless."""

AT_ONCE: Final = 16
"""Requests that run at once."""

ROUNDS: Final = 3
"""How many times that is done: what threads do to each other does not happen each time."""

AT_ONCE_SECONDS: Final = 1.0
"""Seconds after which no other round is begun."""

SHARE: Final = 0.5
"""Of the time limit: what requests at once may need if the application takes them one after the other."""

TIMED_REQUESTS: Final = 40
"""Requests of a path that are timed in one phase; there are two native phases and one bridged."""

TIMED_SECONDS: Final = 0.4
"""Seconds that they may take, in one phase; at least one is made."""

GATE: Final = 2.0
"""Seconds after which a chunk that has not arrived counts as held back."""

GRACE: Final = 1.0
"""Seconds in which an application that was cancelled has to end."""

BLOCKING: Final = 0.1
"""Seconds. Who keeps an event loop for longer stops all its other requests; asyncio's debug mode has the same."""

SWITCH: Final = 1e-5
"""Seconds between switches of threads while requests run at once, to make races likely; Python's default is 5 ms."""

SHOWN: Final = 200
"""Characters of a value that are shown."""

MOST_SAID: Final = 50
"""Different messages of the bridge's log, or complaints of a validator, that are kept."""

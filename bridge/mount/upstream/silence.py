"""How long an upstream may give no sign of itself. Knows no connection and no HTTP."""

from __future__ import annotations

from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

import anyio

from bridge.errors import GatewayTimeout

if TYPE_CHECKING:
    from collections.abc import Generator


class Silence:
    """A clock that runs while it is the upstream's turn. Event loop.

    Args:
        limit: seconds; None: no limit.
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = inf if limit is None else limit
        self._scope: anyio.CancelScope | None = None
        self._paused = False

    @contextmanager
    def ends(self) -> Generator[None, None, None]:
        """Be the only wait for the upstream to say something.

        Raises:
            GatewayTimeout: it has said nothing for too long.
        """
        with anyio.CancelScope() as self._scope:
            self._wind()
            yield
        if self._scope.cancelled_caught:
            raise GatewayTimeout(
                "The upstream server did not answer in time.",
                f"it neither took nor gave anything for {self._limit:g} s (option timeout)",
            )

    def pause(self) -> None:
        """Stop the clock: the upstream waits for the client."""
        self._paused = True
        self._wind()

    def resume(self) -> None:
        """Let it begin anew."""
        self._paused = False
        self._wind()

    def _wind(self) -> None:
        if self._scope is not None:
            self._scope.deadline = inf if self._paused else anyio.current_time() + self._limit

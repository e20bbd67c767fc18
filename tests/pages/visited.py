"""A server, and a tab that shows one of its pages. Knows no server in particular."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import re

    from compat_matrix.servers import RunningServer
    from tests.browser import Page

TIMEOUT = 20.0  # seconds


class Visited(NamedTuple):
    """Both of them; the server outlives the tab, which leaves no connection for it to wait for."""

    server: RunningServer
    tab: Page

    @property
    def name(self) -> str:
        """The server's name."""
        return self.server.recipe.name

    def expect_log(self, pattern: re.Pattern[str], before: int) -> None:
        """Wait until the server has written *pattern*, after the first *before* characters of its log."""
        self.server.wait_for_log(pattern, after=before, timeout=TIMEOUT)

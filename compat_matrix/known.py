"""What fails although the bridge is not at fault, each with the reason and a public issue or the source that shows it.

An entry is strict: the matrix fails when the check passes there.
"""

from __future__ import annotations

from dataclasses import dataclass

from compat_matrix.model import Place


@dataclass(frozen=True)
class Known:
    """A check that cannot pass in some places. ``"*"`` stands for any."""

    check: str
    reason: str
    app: str = "*"
    server: str = "*"
    adapter: str = "bridge"

    def applies(self, check: str, place: Place) -> bool:
        """Whether the entry is about this check in this place."""
        return self.check == check and all(
            mine in ("*", theirs)
            for mine, theirs in ((self.app, place.app), (self.server, place.server), (self.adapter, place.adapter))
        )


KNOWN: tuple[Known, ...] = ()


def find(check: str, place: Place) -> Known | None:
    """Return the entry for a check in a place; None if it has to pass there."""
    return next((known for known in KNOWN if known.applies(check, place)), None)

"""Which process serves and how much memory it has resident, from Linux's /proc. Knows no server."""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path

from benchmarks.model import NotMeasured

MIB = 1024 * 1024


def serving(pid: int) -> int:
    """Return the process that serves: the only child of *pid*, or *pid* itself if it has none.

    Raises:
        NotMeasured: it has several, and which of them takes a request cannot be known.
    """
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError as error:
        raise NotMeasured(f"no list of child processes: {error}") from None
    if len(children) > 1:
        raise NotMeasured(f"expected one process that serves, got {len(children)}")
    return children[0] if children else pid


def resident(pid: int) -> int:
    """Return the bytes that the process has resident now."""
    return _field(pid, "VmRSS")


def peak(pid: int) -> int:
    """Return the most bytes the process has had resident since its start or ``forget_peak``."""
    return _field(pid, "VmHWM")


def forget_peak(pid: int) -> None:
    """Make the peak start again from what is resident now."""
    # Where the kernel refuses, the peak of the start-up stays in the figure: too high, never too low.
    with suppress(OSError):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _field(pid: int, name: str) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError as error:
        raise NotMeasured(f"no memory figures: {error}") from None
    found = re.search(rf"^{name}:\s*(\d+) kB$", status, re.MULTILINE)
    if not found:
        raise NotMeasured(f"no {name} in /proc/{pid}/status")
    return int(found[1]) * 1024

"""The memory scenarios: 1 GiB up and 1 GiB down through a server in its own process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.loopback.served_rate import running
from benchmarks.memory import peer
from benchmarks.memory.resident import MIB, forget_peak, peak, resident
from benchmarks.model import Contestant, NotMeasured, Scenario

SIZE = 1024 * MIB
# Bytes each way before the baseline is taken: what a first large exchange leaves behind
# (threads, arenas of the allocator, buffers of the event loop) is not growth. Small, since
# an unbounded buffer would fill during the warm-up too, and hide that much of what follows.
WARM_UP = 4 * MIB
# Growth at which a contestant is stopped: the answer is clear, and the machine needs its memory.
CEILING = 512 * MIB

Transfer = Callable[[int, int, peer.Watch], None]


def growth(module: str, transfer: Transfer, seconds: float) -> float:
    """Return by how many MiB the server's peak exceeds what it had resident before the transfer.

    Args:
        seconds: ignored; the size is what is fixed here.

    Raises:
        NotMeasured: also when the growth went over CEILING.
    """
    del seconds
    with running("uvicorn-httptools", module) as server:
        pid, port = server.process.pid, server.port
        try:
            peer.upload(port, WARM_UP, _unwatched)
            peer.download(port, WARM_UP, _unwatched)
            baseline = resident(pid)
            forget_peak(pid)

            def watch(passed: int) -> None:
                if resident(pid) - baseline > CEILING:
                    raise NotMeasured(
                        f"grew by more than {CEILING // MIB} MiB after {passed // MIB} MiB, stopped there"
                    )

            transfer(port, SIZE, watch)
            return (peak(pid) - baseline) / MIB
        except OSError as error:
            raise NotMeasured(f"{type(error).__name__}: {error}") from None


def _unwatched(passed: int) -> None:
    pass


def _three_at_most(rounds: int) -> int:
    # One round takes about half a minute, and the figure hardly varies.
    return min(rounds, 3)


def _scenario(name: str, title: str, transfer: Transfer) -> Scenario:
    return Scenario(
        name=name,
        title=title,
        unit="MiB",
        subject="bridge",
        contestants=(
            Contestant("bridge", partial(growth, "transfer_bridge", transfer)),
            Contestant("a2wsgi", partial(growth, "transfer_a2wsgi", transfer)),
        ),
        at_most=16,
        higher_is_better=False,
        rounds=_three_at_most,
        # One round that leaks is one too many.
        summarise=max,
        summary="worst",
    )


SCENARIOS = (
    _scenario("memory_up", "growth of resident memory, 1 GiB up to a slow application, Uvicorn", peer.upload),
    _scenario("memory_down", "growth of resident memory, 1 GiB down to a slow client, Uvicorn", peer.download),
)

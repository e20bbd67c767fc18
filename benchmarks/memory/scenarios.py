"""The memory scenarios: 1 GiB up and 1 GiB down through a server in its own process."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.asgi_wrappers import REQUEST_LOOP, SHARED_LOOP
from benchmarks.loopback.served_rate import running
from benchmarks.memory import peer
from benchmarks.memory.resident import MIB, forget_peak, peak, resident, serving
from benchmarks.model import Contestant, NotMeasured, Scenario, Target

SIZE = 1024 * MIB
# Bytes each way before the baseline is taken: what a first large exchange leaves behind
# (threads, arenas of the allocator, buffers of the event loop) is not growth. Small, since
# an unbounded buffer would fill during the warm-up too, and hide that much of what follows.
WARM_UP = 4 * MIB
# Growth at which a contestant is stopped: the answer is clear, and the machine needs its memory.
CEILING = 512 * MIB

Transfer = Callable[[int, int, peer.Watch], None]


def growth(server: str, module: str, transfer: Transfer, seconds: float) -> float:
    """Return by how many MiB the server's peak exceeds what it had resident before the transfer.

    Args:
        server: a key of ``compat_matrix.servers.RECIPES``.
        module: of ``benchmarks.served``.
        seconds: ignored; the size is what is fixed here.

    Raises:
        NotMeasured: also when the growth went over CEILING.
    """
    del seconds
    with running(server, module) as process:
        pid, port = serving(process.process.pid), process.port
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


def _scenario(name: str, title: str, transfer: Transfer, server: str, modules: dict[str, str]) -> Scenario:
    """Make a scenario of *modules*, contestant to module; all but a2wsgi are bridge, and held to the target."""
    subjects = tuple(contestant for contestant in modules if contestant != _A2WSGI)
    return Scenario(
        name=name,
        title=title,
        unit="MiB",
        subjects=subjects,
        contestants=tuple(
            Contestant(contestant, partial(growth, server, module, transfer)) for contestant, module in modules.items()
        ),
        targets=tuple(Target(subject, at_most=16) for subject in subjects),
        higher_is_better=False,
        rounds=_three_at_most,
        # One round that leaks is one too many.
        summarise=max,
        summary="worst",
    )


_A2WSGI = "a2wsgi"
_UVICORN = {"bridge": "transfer_bridge", _A2WSGI: "transfer_a2wsgi"}
_GUNICORN = {
    REQUEST_LOOP: "asgi_transfer_request",
    SHARED_LOOP: "asgi_transfer_shared",
    _A2WSGI: "asgi_transfer_a2wsgi",
}

_UP = "growth of resident memory, 1 GiB up to a slow {}"
_DOWN = "growth of resident memory, 1 GiB down to a slow client, {}"

SCENARIOS = (
    _scenario("memory_up", _UP.format("application, Uvicorn"), peer.upload, "uvicorn-httptools", _UVICORN),
    _scenario("memory_down", _DOWN.format("Uvicorn"), peer.download, "uvicorn-httptools", _UVICORN),
    _scenario(
        "asgi_memory_up", _UP.format("ASGI application, Gunicorn gthread"), peer.upload, "gunicorn-gthread", _GUNICORN
    ),
    _scenario("asgi_memory_down", _DOWN.format("Gunicorn gthread"), peer.download, "gunicorn-gthread", _GUNICORN),
)

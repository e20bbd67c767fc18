"""The application in its own interface, and behind the bridge: two sides that are asked alike. Compares nothing."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.cli.check.asgi_caller import AsgiCaller
from bridge.cli.check.conformance import Validator
from bridge.cli.check.gate import Gate
from bridge.cli.check.helper_thread import HelperThread
from bridge.cli.check.limits import AT_ONCE
from bridge.cli.check.model import Answer, Request
from bridge.cli.check.probes import AsgiProbe, Watch, WsgiProbe
from bridge.cli.check.wsgi_caller import WsgiCaller
from bridge.errors import LifespanFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence


class Side(Protocol):
    """An application that can be started, asked and stopped, once."""

    timeout: float
    """Seconds that a request may take."""

    @property
    def stuck(self) -> bool:
        """Whether something of the application goes on that cannot be ended."""
        ...

    @property
    def lost(self) -> bool:
        """Whether nothing more can be asked."""
        ...

    def start(self) -> str | None:
        """Start it; return why it failed."""
        ...

    def stop(self) -> str | None:
        """Stop it; return why that failed."""
        ...

    def call(
        self, request: Request, *, leave: bool = False, watch: Watch | None = None, gate: Gate | None = None
    ) -> Answer:
        """Send one request.

        Args:
            request: what to send.
            leave: take the first chunk and no more.
            watch: what looks between the application and whatever calls it.
            gate: told what has arrived.
        """
        ...

    def call_at_once(self, requests: Sequence[Request]) -> list[Answer]:
        """Send all requests at once."""
        ...

    def complaints(self, request: Request) -> list[str]:
        """Send one request; return which rules of its interface the answer, or the application, breaks."""
        ...


class _OfWsgiCaller:
    """What both sides that are called in WSGI have in common."""

    def __init__(self, caller: WsgiCaller, probe: WsgiProbe | AsgiProbe, timeout: float) -> None:
        self._caller = caller
        self._probe = probe
        self.timeout = timeout

    @property
    def stuck(self) -> bool:
        return self._caller.stuck

    @property
    def lost(self) -> bool:
        return False

    def call(
        self, request: Request, *, leave: bool = False, watch: Watch | None = None, gate: Gate | None = None
    ) -> Answer:
        with _layered(self._probe, watch):
            return self._caller.call(request, leave=leave, taken=None if gate is None else gate.taken)

    def call_at_once(self, requests: Sequence[Request]) -> list[Answer]:
        return self._caller.call_at_once(requests)

    def complaints(self, request: Request) -> list[str]:
        validator = Validator()
        self._caller.call(request, layer=validator)
        return validator.complaints


class _OfAsgiCaller:
    """What both sides that are called in ASGI have in common."""

    def __init__(self, caller: AsgiCaller, probe: WsgiProbe | AsgiProbe, timeout: float) -> None:
        self._caller = caller
        self._probe = probe
        self.timeout = timeout

    @property
    def stuck(self) -> bool:
        return self._caller.stuck

    @property
    def lost(self) -> bool:
        return self._caller.stuck

    def start(self) -> str | None:
        return self._caller.start()

    def stop(self) -> str | None:
        return self._caller.stop()

    def call(
        self, request: Request, *, leave: bool = False, watch: Watch | None = None, gate: Gate | None = None
    ) -> Answer:
        with _layered(self._probe, watch):
            return self._caller.call(request, leave=leave, taken=None if gate is None else gate.taken)

    def call_at_once(self, requests: Sequence[Request]) -> list[Answer]:
        return self._caller.call_at_once(requests)


class NativeWsgi(_OfWsgiCaller):
    """A WSGI application as a WSGI server calls it."""

    def __init__(self, probe: WsgiProbe, timeout: float, *, here: bool = False) -> None:
        super().__init__(WsgiCaller(probe, timeout, here=here), probe, timeout)

    def start(self) -> str | None:
        """There is nothing to start in WSGI."""
        return None

    def stop(self) -> str | None:
        self._caller.close()
        return None


class NativeAsgi(_OfAsgiCaller):
    """An ASGI application as an ASGI server calls it."""

    def __init__(self, probe: AsgiProbe, timeout: float) -> None:
        super().__init__(AsgiCaller(probe, timeout), probe, timeout)

    def complaints(self, request: Request) -> list[str]:
        return self._caller.call(request).problems

    def longest_turn(self, request: Request) -> float:
        """Send one request; return how long something kept the event loop meanwhile, in seconds."""
        self._caller.loop.measure()
        self._caller.call(request)
        return self._caller.loop.longest()


class BridgedWsgi(_OfAsgiCaller):
    """A WSGI application behind WsgiToAsgi, as an ASGI server calls it."""

    def __init__(self, probe: WsgiProbe, timeout: float) -> None:
        # As many threads as requests run at once, so that each of them has one.
        adapter = WsgiToAsgi(probe, threads=AT_ONCE, drain_timeout=0.0)
        super().__init__(AsgiCaller(adapter, timeout), probe, timeout)
        self._left_behind = False

    @property
    def stuck(self) -> bool:
        return self._caller.stuck or self._left_behind

    def call(
        self, request: Request, *, leave: bool = False, watch: Watch | None = None, gate: Gate | None = None
    ) -> Answer:
        answer = super().call(request, leave=leave, watch=watch, gate=gate)
        self._left_behind = self._left_behind or answer.late
        return answer

    def complaints(self, request: Request) -> list[str]:
        validator = Validator()
        with _layered(self._probe, validator):
            problems = self._caller.call(request).problems
        return [*problems, *validator.complaints]


class BridgedAsgi(_OfWsgiCaller):
    """An ASGI application behind AsgiToWsgi, as a WSGI server calls it."""

    def __init__(self, probe: AsgiProbe, timeout: float) -> None:
        self._adapter = AsgiToWsgi(probe, startup_timeout=timeout, shutdown_timeout=timeout)
        super().__init__(WsgiCaller(self._adapter, timeout), probe, timeout)

    def start(self) -> str | None:
        failures: list[str] = []

        def start() -> None:
            try:
                self._adapter.startup()
            except LifespanFailed as failure:
                failures.append(str(failure))

        return _in_time(start, failures, self.timeout, "the startup")

    def stop(self) -> str | None:
        self._caller.close()
        if self._caller.stuck:
            # Its requests are cancelled, and the loop that one of them blocks is not waited for.
            return _in_time(lambda: self._adapter.close(0.0), [], self.timeout, "the shutdown")
        return _in_time(self._adapter.close, [], self.timeout, "the shutdown")


def _in_time(function: Callable[[], object], failures: list[str], timeout: float, what: str) -> str | None:
    thread = HelperThread()
    if not thread.run(function, timeout + 1.0):
        return f"{what} took more than {timeout:g} s"
    thread.close()
    return failures[0] if failures else None


@contextmanager
def _layered(probe: WsgiProbe | AsgiProbe, layer: Watch | Validator | None) -> Generator[None, None, None]:
    """Put a layer around the application for as long as one request takes."""
    if isinstance(layer, Watch):
        if isinstance(probe, AsgiProbe):
            probe.layer = layer.asgi
        else:
            probe.layer = layer.wsgi
    elif layer is not None and isinstance(probe, WsgiProbe):
        probe.layer = layer
    try:
        yield
    finally:
        probe.layer = None

"""One life of the application on one side: started, asked, stopped. Compares nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from asgiref import compatibility

from bridge.cli.check.log import hearing
from bridge.cli.check.observe import Asker, Seen
from bridge.cli.check.probes import AsgiProbe, WsgiProbe
from bridge.cli.check.sides import BridgedAsgi, BridgedWsgi, NativeAsgi, NativeWsgi
from bridge.interface import Interface, interface_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bridge.cli.check.sides import Side
    from bridge.protocols import AsgiApplication, WsgiApplication

# What sqlite3 says; frameworks log it and answer 500.
_OF_ANOTHER_THREAD: Final = "created in a thread can only be used in that same thread"


@dataclass(frozen=True)
class Plan:
    """What is to be asked of which side."""

    side: Literal["native", "bridged"]
    paths: tuple[str, ...]
    """Percent-encoded, with queries."""
    headers: tuple[tuple[str, str], ...]
    timeout: float
    """Seconds that a request may take, a startup, a shutdown; and about what all requests for a path may take."""
    thorough: bool
    """Everything; else only what is compared, and the time."""
    here: bool = False
    """Call a WSGI application in this thread, natively."""


@dataclass
class Phase:
    """What came of it."""

    seen: dict[str, Seen] = field(default_factory=dict[str, Seen])
    """By path."""
    startup: str | None = None
    """Why it failed."""
    shutdown: str | None = None
    """Why it failed."""
    took_part: bool = False
    """The application has answered the lifespan's startup."""
    stuck: bool = False
    """A thread of the application goes on and cannot be ended."""
    said: list[str] = field(default_factory=list[str])
    """Warnings of the bridge."""
    exceptions: list[str] = field(default_factory=list[str])
    """What frameworks logged in place of raising it."""


def run(application: object, plan: Plan) -> Phase:
    """Start the application, ask it, stop it. Blocks.

    Raises:
        LoadError: *application* is neither WSGI nor ASGI, or may be either.
    """
    said: list[str] = []
    phase = Phase()
    with hearing() as heard:
        side = _side(application, plan, said)
        phase.startup = side.start()
        if phase.startup is None:
            asker = Asker(side, plan.headers)
            for path in plan.paths:
                phase.seen[path] = asker.ask(path, thorough=plan.thorough)
            if plan.thorough and not side.stuck:
                asker.ask_at_once(phase.seen)
        phase.took_part = "lifespan.startup.complete" in said
        phase.shutdown = side.stop()
    if phase.shutdown is None and phase.took_part and "lifespan.shutdown.complete" not in said:
        phase.shutdown = "the application did not complete its shutdown"
    phase.stuck = side.stuck
    phase.said, phase.exceptions = list(heard.said), list(heard.exceptions)
    return phase


def _side(application: object, plan: Plan, said: list[str]) -> Side:
    interface = interface_of(application)
    if interface is Interface.WSGI:
        wsgi = WsgiProbe(cast("WsgiApplication", application))
        if plan.side == "bridged":
            return BridgedWsgi(wsgi, plan.timeout)
        return NativeWsgi(wsgi, plan.timeout, here=plan.here)
    if interface is Interface.ASGI2:
        # As Any: asgiref.compatibility has no annotations.
        application = cast("Any", compatibility).guarantee_single_callable(application)
    asgi = AsgiProbe(cast("AsgiApplication", application), said)
    return BridgedAsgi(asgi, plan.timeout) if plan.side == "bridged" else NativeAsgi(asgi, plan.timeout)


def is_thread_bound(phase: Phase) -> bool:
    """Whether something was used that only the thread that imported the application may use."""
    return any(_OF_ANOTHER_THREAD in text for text in _errors(phase))


def _errors(phase: Phase) -> Iterator[str]:
    yield from phase.exceptions
    for seen in phase.seen.values():
        for _, _, answers in seen.answers():
            yield from (answer.error for answer in answers if answer.error is not None)

"""The whole examination: native, bridged and native again. Judges nothing itself, prints nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from bridge.cli.check.afresh import run_afresh
from bridge.cli.check.phases import Phase, Plan, is_thread_bound, run
from bridge.cli.check.report import report
from bridge.interface import Interface, interface_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bridge.cli.check.model import Answer, Report


def examine(
    target: str,
    application: object,
    paths: Sequence[str],
    headers: Sequence[tuple[str, str]] = (),
    timeout: float = 10.0,
) -> Report:
    """Ask an application in its own interface and behind the bridge, and compare. Blocks.

    The phases come one after the other, since an application has one lifespan at a time; the native one comes twice,
    before and after, so that what changes by itself is known.

    Args:
        target: what the user calls it by; ``load_application`` takes it.
        application: WSGI or ASGI, imported by the thread that calls.
        paths: percent-encoded, with queries; each starts with ``/``.
        headers: of each request.
        timeout: seconds that a request may take, and about what all requests of a phase may take for a path.

    Raises:
        LoadError: *application* is neither WSGI nor ASGI, or may be either.
    """
    interface = interface_of(application)
    plan = Plan("native", tuple(dict.fromkeys(paths)), tuple(headers), timeout, thorough=True)
    native = run(application, plan)
    if interface is Interface.WSGI and is_thread_bound(native) and not native.stuck:
        # It works on a server of one thread, the one that imported it, and that is what it is at home on.
        plan = replace(plan, here=True)
        native = run(application, plan)
    if native.startup is not None:
        return report(target, interface, native, Phase(), Phase())
    # The bridge would wait as long for what does not answer, and compare it with nothing.
    answered = tuple(path for path in plan.paths if not any(answer.late for answer in _get(native, path)))
    bridged = _run(target, application, replace(plan, side="bridged", paths=answered), native)
    usable = tuple(path for path in answered if path in native.seen and native.seen[path].usable())
    again = _run(target, application, replace(plan, paths=usable, thorough=False), native)
    return report(target, interface, native, bridged, again)


def _run(target: str, application: object, plan: Plan, native: Phase) -> Phase:
    phase = run(application, plan)
    if phase.startup is not None and native.startup is None:
        # Some applications, Sanic's for one, start only once in a process, which is no fault of the bridge.
        return run_afresh(target, plan)
    return phase


def _get(phase: Phase, path: str) -> list[Answer]:
    return phase.seen[path].get if path in phase.seen else []

"""From what both sides answered to the report. Pure: asks nothing, prints nothing."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any, Literal, cast

from bridge.cli.check.checks import CHECKS, LIFESPAN, trouble
from bridge.cli.check.comparison import Varying, compare, in_each
from bridge.cli.check.limits import BLOCKING
from bridge.cli.check.model import Advice, Answer, Difference, Excused, Outcome, Report, Request, Result, Time, Unasked
from bridge.cli.check.observe import Seen
from bridge.cli.check.phases import Phase, is_thread_bound
from bridge.cli.check.suspects import suspects
from bridge.interface import Interface

if TYPE_CHECKING:
    from collections.abc import Iterator


def report(target: str, interface: Interface, native: Phase, bridged: Phase, again: Phase) -> Report:
    """Make the report.

    Args:
        target: what the user calls the application by.
        interface: of the application.
        native: what was answered in it.
        bridged: what was answered behind the bridge.
        again: natively, after that. What changes by itself differs between the two native phases.
    """
    return _Report(target, interface, native, bridged, again).report


class _Report:
    def __init__(self, target: str, interface: Interface, native: Phase, bridged: Phase, again: Phase) -> None:
        self._wsgi = interface is Interface.WSGI
        self._native = native
        self._bridged = bridged
        self._again = again
        self._differences: list[Difference] = []
        self._excused: list[Excused] = []
        self._results: list[Result] = []
        lifespan = self._lifespan()
        for path, seen in native.seen.items():
            behind = bridged.seen.get(path) or Seen(why_not=_not_bridged(bridged))
            self._path(path, seen, behind, again.seen.get(path))
        self._results.append(lifespan)
        loop: Literal["shared", "request"] | None = None
        if not self._wsgi:
            loop = "shared" if native.took_part or bridged.took_part else "request"
        self.report = Report(
            target=target,
            interface=cast("Any", interface.name.lower()),
            lifespan=self._lifespan_state(),
            adapter="WsgiToAsgi" if self._wsgi else "AsgiToWsgi",
            loop=loop,
            statuses={path: seen.get[0].status if seen.get else None for path, seen in native.seen.items()},
            results=tuple(self._results),
            differences=tuple(self._differences),
            excused=tuple(self._excused),
            unasked=tuple(self._unasked()),
            warnings=(*suspects(target, many_loops=loop == "request"), *self._warnings()),
            times=tuple(self._times()),
            reasons=tuple(self._reasons()),
            stuck=native.stuck or bridged.stuck or again.stuck,
        )

    def _lifespan_state(self) -> Literal["none", "not taken part", "taken part", "failed"]:
        native = self._native
        if self._wsgi:
            return "none"
        if native.startup is not None:
            return "failed"
        return "taken part" if native.took_part else "not taken part"

    def _lifespan(self) -> Result:
        def outcome(phase: Phase) -> Outcome:
            if self._wsgi and phase.startup is None and phase.shutdown is None:
                return Outcome("n/a", "WSGI has no lifespan")
            if phase.startup is not None:
                return Outcome("fail", f"startup: {phase.startup}")
            if phase.shutdown is not None and not phase.stuck:
                return Outcome("fail", f"shutdown: {phase.shutdown}")
            return Outcome("pass") if phase.took_part else Outcome("n/a", "the application takes no part")

        if self._native.startup is not None:
            return Result(LIFESPAN[0], None, outcome(self._native), Outcome("n/a", "natively it does not start"))
        return Result(LIFESPAN[0], None, outcome(self._native), outcome(self._bridged))

    def _path(self, path: str, native: Seen, bridged: Seen, again: Seen | None) -> None:
        varying = {
            (method, mount): Varying([*answers, *_more(again, method, mount)])
            for method, mount, answers in native.answers()
            if answers
        }
        of_get = varying.get(("GET", "")) or Varying(native.get or [Answer()])
        for check in CHECKS:
            outcomes = [check.judge(seen, of_get, self._wsgi) for seen in (native, bridged)]
            self._results.append(Result(check.id, path, *outcomes))
        if any(trouble(answer) for answer in native.get):
            return  # there is nothing to compare with
        for (method, mount, ours), (_, _, theirs) in zip(native.answers(), bridged.answers(), strict=True):
            if not ours or not theirs:
                continue
            request = Request(method, path, (), mount)
            differs = varying[method, mount]
            compared = [compare(request, ours[-1], answer, differs) for answer in theirs]
            self._differences += in_each([differences for differences, _ in compared])
            self._excused += compared[0][1]
            self._excused += [Excused(path, method, mount, what, why) for what, why in differs.told()]

    def _warnings(self) -> Iterator[Advice]:
        native, bridged = self._native, self._bridged
        if is_thread_bound(native) or is_thread_bound(bridged):
            yield Advice(
                "thread-bound-error",
                "sqlite3 refused a connection that another thread made: open one for each request, or pass "
                "check_same_thread=False and guard it with a lock",
            )
        for path, seen in native.seen.items():
            single = seen.one_threaded
            if single is not None and seen.usable():
                varying = Varying([*seen.get, *_more(self._again.seen.get(path), "GET", "")])
                differences, _ = compare(Request("GET", path, ()), single, seen.get[-1], varying)
                if differences:
                    yield Advice(
                        "multithread",
                        f"{path} is answered differently where wsgi.multithread is true, as it is behind the bridge "
                        f"({differences[0].part}: {differences[0].bridged} in place of {differences[0].native})",
                    )
            if seen.turns and min(seen.turns) > BLOCKING:
                yield Advice(
                    "blocks-event-loop",
                    f"{path} keeps the event loop for {min(seen.turns):.2f} s at a time, in which no other request on "
                    "that loop goes on: await instead, or use asyncio.to_thread()",
                )
        # What an application raises when its client leaves, it raises natively too.
        own = {seen.left.answer.error_after for seen in native.seen.values() if seen.left is not None} - {None}
        for text in bridged.said:
            if any(text.endswith(f": {error}") for error in own):
                continue
            yield Advice("bridge-log", text)

    def _unasked(self) -> Iterator[Unasked]:
        sides: tuple[tuple[Literal["native", "bridged"], Phase], ...] = (
            ("native", self._native),
            ("bridged", self._bridged),
        )
        for side, phase in sides:
            for path, seen in phase.seen.items():
                # What GET is not answered with is a check's to say.
                if seen.why_not and (seen.usable() or not seen.get):
                    yield Unasked(path, side, seen.why_not)

    def _times(self) -> Iterator[Time]:
        for path, seen in self._native.seen.items():
            again = self._again.seen.get(path)
            native = [*seen.times, *(again.times if again is not None else [])]
            bridged = self._bridged.seen[path].times if path in self._bridged.seen else []
            if native and bridged:
                count = min(len(native), len(bridged))
                yield Time(path, statistics.median(native), statistics.median(bridged), count)

    def _reasons(self) -> Iterator[str]:
        """Say why the exit status is 1."""
        for result in self._results:
            where = "" if result.path is None else f" of {result.path}"
            if result.worse:
                yield f"{result.check}{where} passes natively and fails bridged: {result.bridged.reason}"
            elif result.native.state == "fail" and result.check in ("answers", "status", "lifespan"):
                yield f"{result.check}{where} fails natively: {result.native.reason}"
            elif result.bridged.state == "fail" and result.check == "concurrency":
                yield f"concurrency{where} fails: {result.bridged.reason}"
        if self._differences:
            count = len(self._differences)
            yield f"{count} difference{'s' if count > 1 else ''} between the native and the bridged answers"


def _not_bridged(bridged: Phase) -> str:
    return "natively there is no answer in time" if bridged.startup is None else "the startup failed"


def _more(again: Seen | None, method: str, mount: str) -> list[Answer]:
    if again is None:
        return []
    return next(found for *kind, found in again.answers() if kind == [method, mount])

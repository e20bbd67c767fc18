"""What is asked of one side, and what it answered. Judges nothing."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from bridge.cli.check.gate import Gate
from bridge.cli.check.limits import AT_ONCE, AT_ONCE_SECONDS, ROUNDS, SHARE, SWITCH, TIMED_REQUESTS, TIMED_SECONDS
from bridge.cli.check.model import MOUNT, Answer, Request
from bridge.cli.check.probes import Watch
from bridge.cli.check.sides import NativeAsgi, NativeWsgi

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence

    from bridge.cli.check.sides import Side


@dataclass
class Watched:
    """A request during which the application was watched from between it and its adapter."""

    answer: Answer
    held_back: bool
    """A chunk did not reach the client while the application waited for that."""
    ended: bool
    """The iterable was closed, or the ASGI application has returned."""
    closes: int


@dataclass
class Seen:
    """What one side answered for one path; None and empty: it was not asked."""

    get: list[Answer] = field(default_factory=list[Answer])
    head: list[Answer] = field(default_factory=list[Answer])
    options: list[Answer] = field(default_factory=list[Answer])
    mounted: list[Answer] = field(default_factory=list[Answer])
    at_once: list[Answer] = field(default_factory=list[Answer])
    one_threaded: Answer | None = None
    complaints: list[str] | None = None
    watched: Watched | None = None
    left: Watched | None = None
    turns: list[float] = field(default_factory=list[float])
    """How long the event loop was kept, in seconds, for each request that looked."""
    times: list[float] = field(default_factory=list[float])
    why_not: str = ""
    """Why the rest was not asked."""

    def answers(self) -> Iterator[tuple[str, str, list[Answer]]]:
        """Give method, mount and answers of each kind of request that is compared."""
        yield "GET", "", self.get
        yield "HEAD", "", self.head
        yield "OPTIONS", "", self.options
        yield "GET", MOUNT, self.mounted

    def streams(self) -> bool:
        """Whether the body comes in more than one chunk; an adapter may join those that are there together."""
        watched = [] if self.watched is None else [self.watched.answer]
        return any(answer.streamed or answer.cut for answer in [*self.get, *watched])

    def usable(self) -> bool:
        """Whether there is a whole answer to GET that more can be asked about."""
        return bool(self.get) and all(answer.error is None and not answer.late for answer in self.get)


class Asker:
    """Asks one side about paths, each for a limited time."""

    def __init__(self, side: Side, headers: Sequence[tuple[str, str]]) -> None:
        self._side = side
        self._headers = tuple(headers)

    def ask(self, path: str, *, thorough: bool) -> Seen:
        """Ask about one path.

        Args:
            path: percent-encoded, with the query.
            thorough: everything but requests at once; else only what is compared, and the time.
        """
        seen = Seen()
        side = self._side
        if side.lost:
            seen.why_not = "the event loop is blocked by another path"
            return seen
        get = Request("GET", path, self._headers)
        end = time.monotonic() + side.timeout
        steps: list[Callable[[], None]] = [
            lambda: seen.get.append(side.call(get)),
            lambda: seen.get.append(side.call(get)),
            lambda: seen.head.append(side.call(replace(get, method="HEAD"))),
            lambda: seen.options.append(side.call(replace(get, method="OPTIONS"))),
            lambda: seen.mounted.append(side.call(replace(get, mount=MOUNT))),
        ]
        if thorough:
            steps += [
                lambda: setattr(seen, "complaints", side.complaints(get)),
                lambda: setattr(seen, "watched", self._watch(get, leave=False)),
            ]
            if isinstance(side, NativeWsgi):
                single = replace(get, multithread=False)
                steps.append(lambda: setattr(seen, "one_threaded", side.call(single)))
            if isinstance(side, NativeAsgi):
                steps += [lambda: seen.turns.append(side.longest_turn(get))] * 2  # the first may import something
        for step in steps:
            step()
            if not seen.usable():
                seen.why_not = "GET is not answered"
                return seen
            if any(answer.late for _, _, answers in seen.answers() for answer in answers):
                seen.why_not = f"a request took more than {side.timeout:g} s"
                return seen
            if time.monotonic() > end:
                seen.why_not = f"the requests before took more than {side.timeout:g} s"
                return seen
        if thorough and seen.streams():
            seen.left = self._watch(get, leave=True)
        self._time(get, seen)
        return seen

    def ask_at_once(self, seen: dict[str, Seen]) -> None:
        """Send requests for all paths at once, but for those that are slow or not answered.

        Args:
            seen: by path, what was answered one at a time; the answers are added.
        """
        paths = [path for path, one in seen.items() if _is_quick(one, self._side.timeout)]
        if not paths or self._side.lost:
            return
        end = time.monotonic() + AT_ONCE_SECONDS
        for number in range(ROUNDS):
            begin = number * AT_ONCE
            requests = [
                Request("GET", paths[(begin + i) % len(paths)], self._headers, number=begin + i + 1)
                for i in range(AT_ONCE)
            ]
            with _switching_often():
                answers = self._side.call_at_once(requests)
            for request, answer in zip(requests, answers, strict=True):
                seen[request.target].at_once.append(answer.without_id(request))
            if any(answer.late for answer in answers) or time.monotonic() > end:
                return

    def _watch(self, request: Request, *, leave: bool) -> Watched:
        gate = None if leave else Gate()
        watch = Watch(gate)
        answer = self._side.call(request, leave=leave, watch=watch, gate=gate)
        # With a client that leaves, the bridge may tell its server before it has closed the iterable.
        ended = watch.ended.wait(self._side.timeout)
        return Watched(answer, gate is not None and gate.held_back, ended, watch.closes)

    def _time(self, request: Request, seen: Seen) -> None:
        if any(answer.cut for answer in seen.get):
            return  # a stream takes as long as it wants
        end = time.monotonic() + TIMED_SECONDS
        while len(seen.times) < TIMED_REQUESTS:
            answer = self._side.call(request)
            if not answer.complete:
                return
            seen.times.append(answer.seconds)
            if time.monotonic() > end:
                return


def _is_quick(seen: Seen, timeout: float) -> bool:
    if not seen.usable() or seen.why_not or any(answer.cut for answer in seen.get):
        return False
    return max(answer.seconds for answer in seen.get) * AT_ONCE < timeout * SHARE


@contextmanager
def _switching_often() -> Generator[None, None, None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH)
    try:
        yield
    finally:
        sys.setswitchinterval(interval)

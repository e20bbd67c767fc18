"""What the parts of `bridge check` pass to each other: requests, answers, outcomes, the report. Runs nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeAlias

State: TypeAlias = Literal["pass", "fail", "n/a"]
Headers: TypeAlias = list[tuple[str, str]]

METHODS: Final = ("GET", "HEAD", "OPTIONS")
"""The methods that are sent. They are safe: RFC 9110, 9.2.1."""

MOUNT: Final = "/mounted"
"""Where the application is mounted for the check of that name."""

_ID: Final = "bridge-check-{:03}"  # of one width, so that an application that repeats it does not change its length


@dataclass(frozen=True)
class Request:
    """One request without a body."""

    method: str
    target: str
    """Path and query as a client sends them: percent-encoded ASCII that starts with ``/``."""
    headers: tuple[tuple[str, str], ...]
    mount: str = ""
    multithread: bool = True
    """What a WSGI application is told natively; the bridge always says true."""
    number: int = 0
    """Below 1000; requests that run at once have different ones."""

    @property
    def id(self) -> str:
        """The value of its ``X-Request-ID``, by which answers to requests that run at once are told apart."""
        return _ID.format(self.number)

    def with_id(self) -> list[tuple[str, str]]:
        """Return the headers and the identifier."""
        return [*self.headers, ("X-Request-ID", self.id)]


@dataclass
class Answer:
    """What came back, as far as it came. Written by the thread that runs the exchange."""

    status: int | None = None
    """None: no response began."""
    headers: Headers = field(default_factory=list[tuple[str, str]])
    """Names in lower case, values without the white space around them; latin-1 text."""
    body: bytes = b""
    chunks: int = 0
    """Chunks that were not empty."""
    complete: bool = False
    """The response has come to its end."""
    cut: bool = False
    """No more was read, since it is long or endless, or since the client was to leave."""
    late: bool = False
    """The application needed more than the time limit."""
    error: str | None = None
    """What was raised before the response was complete."""
    error_after: str | None = None
    """What was raised after it was."""
    problems: list[str] = field(default_factory=list[str])
    """Messages that break the ASGI specification."""
    seconds: float = 0.0
    """Until the response was complete."""

    @property
    def streamed(self) -> bool:
        """Whether the body came in more than one chunk."""
        return self.chunks > 1

    def header(self, name: str) -> list[str]:
        """Return the values of one header, in their order."""
        return [value for key, value in self.headers if key == name]

    def without_id(self, request: Request) -> Answer:
        """Return the answer as it would be to any other identifier."""
        mark = _ID.format(0)
        if request.id == mark:
            return self
        return replace(
            self,
            headers=[(name, value.replace(request.id, mark)) for name, value in self.headers],
            body=self.body.replace(request.id.encode(), mark.encode()),
        )


@dataclass(frozen=True)
class Outcome:
    """What one check says of one side."""

    state: State
    reason: str = ""


@dataclass(frozen=True)
class Result:
    """What one check says of one path, or of the application."""

    check: str
    path: str | None
    native: Outcome
    bridged: Outcome

    @property
    def worse(self) -> bool:
        """Whether the bridge makes it fail."""
        return self.native.state == "pass" and self.bridged.state == "fail"


@dataclass(frozen=True)
class Difference:
    """Something that a client could tell the bridge by."""

    path: str
    method: str
    mount: str
    part: Literal["status", "header", "body", "error"]
    name: str
    """Of the header; empty for the other parts."""
    native: str
    bridged: str


@dataclass(frozen=True)
class Excused:
    """Something that was not compared, or that may differ, and why."""

    path: str
    method: str
    mount: str
    what: str
    why: str


@dataclass(frozen=True)
class Unasked:
    """A path that one side was not asked everything about, since the time was over."""

    path: str
    side: Literal["native", "bridged"]
    why: str


@dataclass(frozen=True)
class Advice:
    """Something that may go wrong later; it does not make the command fail."""

    id: str
    text: str


@dataclass(frozen=True)
class Time:
    """How long a GET takes, one at a time, in process and without a server."""

    path: str
    native: float
    """Seconds, a median."""
    bridged: float
    """Seconds, a median."""
    requests: int
    """How many each median is of, at least."""


@dataclass(frozen=True)
class Report:
    """All that there is to say about an application."""

    target: str
    interface: Literal["wsgi", "asgi2", "asgi3"]
    lifespan: Literal["none", "not taken part", "taken part", "failed"]
    adapter: Literal["WsgiToAsgi", "AsgiToWsgi"]
    loop: Literal["shared", "request"] | None
    """What ``AsgiToWsgi(..., loop="auto")`` chooses; None for a WSGI application."""
    statuses: dict[str, int | None]
    """Of GET natively, by path in the order in which they were asked; None: no answer."""
    results: tuple[Result, ...]
    differences: tuple[Difference, ...]
    excused: tuple[Excused, ...]
    unasked: tuple[Unasked, ...]
    warnings: tuple[Advice, ...]
    times: tuple[Time, ...]
    reasons: tuple[str, ...]
    """Why the exit status is 1; none: it is 0."""
    stuck: bool
    """A thread of the application goes on and cannot be ended."""

"""The checks: what has to be so, and the clause that says it. Pure: judges what was answered, asks nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from bridge.cli.check.comparison import Varying, same_body
from bridge.cli.check.limits import AT_ONCE, GATE
from bridge.cli.check.model import MOUNT, Answer, Outcome
from bridge.http import HOP_BY_HOP, has_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from bridge.cli.check.observe import Seen, Watched

Judge: TypeAlias = "Callable[[Seen, Varying, bool], Outcome]"
"""Takes what one side answered, what varies natively, and whether the application is WSGI."""


@dataclass(frozen=True)
class Check:
    """One behaviour that is asked of an application on both sides."""

    id: str
    meaning: str
    clause: str
    judge: Judge


_PASS: Final = Outcome("pass")


def _fail(reason: str) -> Outcome:
    return Outcome("fail", reason)


def _not(reason: str) -> Outcome:
    return Outcome("n/a", reason)


def _not_asked(seen: Seen) -> Outcome:
    return _not(seen.why_not or "not asked")


def trouble(answer: Answer) -> str | None:
    """Return what kept an application from answering; None for an answer."""
    if answer.late:
        return "no answer in time" if answer.status is None else "the response was not complete in time"
    return answer.error


def _error(answer: Answer) -> str | None:
    after = None if answer.error_after is None else f"after the response: {answer.error_after}"
    return trouble(answer) or after


def _answers(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if not seen.get:
        return _not_asked(seen)
    for method, mount, answers in seen.answers():
        for answer in answers:
            found = _error(answer)
            if found is not None:
                return _fail(f"{method}{' mounted' if mount else ''}: {found}")
    return _PASS


def _status(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    statuses = [answer.status for answer in seen.get if answer.status is not None]
    if not statuses:
        return _not_asked(seen)
    bad = [status for status in statuses if status >= 500]
    return _fail(f"GET: {bad[0]}") if bad else _PASS


def _repeatable(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if not seen.usable() or len(seen.get) < 2:
        return _not_asked(seen)
    told = [what for what, _ in varying.told()]
    if told:
        return _not(f"natively it differs each time: {', '.join(told)}")
    found = _unlike(seen.get[1], seen.get[0], varying)
    return _PASS if found is None else _fail(f"the second answer has another {found}")


def _conforms(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if seen.complaints is None:
        return _not_asked(seen)
    return _fail("; ".join(dict.fromkeys(seen.complaints))) if seen.complaints else _PASS


def _head(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if not seen.head or not seen.usable():
        return _not_asked(seen)
    head, get = seen.head[0], seen.get[0]
    if head.status is None:
        return _not("HEAD is not answered")
    if head.status in (405, 501) and get.status != head.status:
        return _not(f"the application answers HEAD with {head.status}")
    if head.status != get.status and not varying.status:
        return _fail(f"HEAD has the status {head.status}, GET {get.status}")
    for name in ("content-type", "content-length"):
        ours, theirs = head.header(name), get.header(name)
        if ours and theirs and ours != theirs and name not in varying.headers:
            return _fail(f"{name} is {ours[0]!r} for HEAD and {theirs[0]!r} for GET")
    if head.body:
        return _not("the application sends a body, which the server takes away")
    return _PASS


def _length(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if not seen.get or seen.get[0].status is None:
        return _not_asked(seen)
    if not has_body(seen.get[0].status):
        return _not(f"the status {seen.get[0].status} has no body")
    for answer in seen.get:
        declared = answer.header("content-length")
        if not declared:
            return _not("no Content-Length")
        if answer.cut:
            return _not("the body was not read to its end")
        if declared != [str(len(answer.body))]:
            return _fail(f"Content-Length is {', '.join(declared)}, the body has {len(answer.body)} bytes")
    return _PASS


def _hop_by_hop(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if not seen.get or seen.get[0].status is None:
        return _not_asked(seen)
    names = sorted({name for name, _ in seen.get[0].headers} & HOP_BY_HOP)
    return _fail(f"the application sends {', '.join(names)}, which the bridge drops") if names else _PASS


def _closed(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if seen.watched is None:
        return _not_asked(seen)
    return _end(seen.watched, wsgi)


def _end(watched: Watched, wsgi: bool) -> Outcome:
    if not watched.ended:
        return _fail("close() was not called" if wsgi else "the application has not returned")
    if watched.closes > 1:
        return _fail(f"close() was called {watched.closes} times")
    return _PASS


def _streams(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if seen.watched is None:
        return _not_asked(seen)
    if seen.watched.held_back:
        return _fail(f"a chunk did not reach the client within {GATE:g} s while the application waited for it")
    if not seen.streams():
        return _not("the body is one chunk")
    return _PASS


def _leaves(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if seen.left is None:
        return _not_asked(seen) if seen.why_not or seen.streams() else _not("the body is one chunk")
    if seen.left.answer.late:
        return _fail("the application went on when the client had left")
    return _end(seen.left, wsgi)


def _mounts(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if not seen.mounted or not seen.usable():
        return _not_asked(seen)
    mounted, plain = seen.mounted[0], seen.get[0]
    if mounted.status != plain.status and not varying.status:
        return _fail(f"below {MOUNT} the status is {mounted.status}, elsewhere {plain.status}")
    for value in mounted.header("location"):
        target = urlsplit(value)
        own = not target.netloc or value in plain.header("location")
        if own and target.path.startswith("/") and not f"{target.path}/".startswith(f"{MOUNT}/"):
            return _fail(f"below {MOUNT} it redirects to {value}, which is outside")
    return _PASS


def _at_once(seen: Seen, varying: Varying, wsgi: bool) -> Outcome:
    if not seen.at_once:
        return _not(seen.why_not or "slow, endless or not answered")
    for answer in seen.at_once:
        found = _error(answer)
        if found is not None:
            return _fail(f"with {AT_ONCE} requests at once: {found}")
        unlike = _unlike(answer, seen.get[0], varying)
        if unlike is not None:
            return _fail(f"with {AT_ONCE} requests at once the answer has another {unlike}")
    return _PASS


def _unlike(answer: Answer, usual: Answer, varying: Varying) -> str | None:
    if answer.status != usual.status and not varying.status:
        return f"status, {answer.status} and not {usual.status}"
    for name in {name for name, _ in [*answer.headers, *usual.headers]} - varying.headers:
        one, other = answer.header(name), usual.header(name)
        if one == other:
            continue
        # The bridge adds the length if the body is whole when the headers leave, which a thread decides.
        if name != "content-length" or (one and other) or (one or other) != [str(len(answer.body))]:
            return f"header {name}"
    if not varying.body and not same_body(answer, usual):
        return "body"
    return None


CHECKS: Final = (
    Check(
        "answers",
        "GET, HEAD and OPTIONS are answered, without an error and in time",
        'PEP 3333, "The Application/Framework Side"; ASGI specification, "Applications"',
        _answers,
    ),
    Check("status", "GET is not answered with a server error", "RFC 9110, 15.6", _status),
    Check("repeatable", "a second GET is answered like the first one", "RFC 9110, 9.2.1", _repeatable),
    Check(
        "conformance",
        "wsgiref's validator, or the order and types of ASGI messages, finds nothing",
        'PEP 3333, "Specification Details"; ASGI HTTP specification, "Response Start" and "Response Body"',
        _conforms,
    ),
    Check("head", "HEAD is answered like GET, without the body", "RFC 9110, 9.3.2", _head),
    Check("length", "Content-Length is the length of the body", "RFC 9110, 8.6", _length),
    Check(
        "hop-by-hop",
        "the application sends no header that belongs to the connection",
        'RFC 9110, 7.6.1; PEP 3333, "Other HTTP Features"',
        _hop_by_hop,
    ),
    Check(
        "closed",
        "close() of the response is called once, or the ASGI application returns",
        'PEP 3333, "Specification Details"',
        _closed,
    ),
    Check(
        "streaming",
        "each chunk reaches the client before the next one is made",
        'PEP 3333, "Buffering and Streaming"; ASGI HTTP specification, "Response Body"',
        _streams,
    ),
    Check(
        "disconnect",
        "the application ends when the client leaves in the middle of a response",
        'PEP 3333, "Specification Details"; ASGI HTTP specification, "Disconnected Client"',
        _leaves,
    ),
    Check(
        "mount",
        f"below {MOUNT} it answers alike, and redirects stay there",
        'PEP 3333, "environ Variables"; ASGI HTTP specification, "HTTP Connection Scope", root_path',
        _mounts,
    ),
    Check(
        "concurrency",
        f"{AT_ONCE} requests at once are answered like one at a time",
        'PEP 3333, "Thread Support"; ASGI specification, "Applications"',
        _at_once,
    ),
)

LIFESPAN: Final = ("lifespan", "startup and shutdown work", 'ASGI specification, "Lifespan Protocol"')
"""Asked once and not of each path: its id, meaning and clause."""

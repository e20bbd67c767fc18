"""Checks that need no contract of endpoints: of any application, for the paths that its user names.

They are made for one run (:func:`checks_of`), not registered. Nothing but GET, HEAD, OPTIONS and PROPFIND is sent,
which RFC 9110, 9.2.1, and RFC 4918, 9.1, call safe.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Any, Final, Literal, TypeAlias

from compat_matrix.checks.observe import OF_THE_SERVER
from compat_matrix.checks.registry import Failed, NotApplicable, expect
from compat_matrix.client import RawClient, Response
from compat_matrix.composition import CHECKED, COMPLAINTS
from compat_matrix.model import App, Check
from compat_matrix.servers import RunningServer
from compat_matrix.site import Site, head

AT_ONCE: Final = 8  # requests
LONGEST: Final = 10.0  # seconds that an answer may take; each wait in it has the timeout of the site besides
LARGEST: Final = 64 * 1024 * 1024  # bytes that an answer may have

Answers: TypeAlias = "list[dict[str, Any] | None]"
"""Plain data: what an application has answered, as far as it is the application's."""

_ODD_QUERY: Final = "a=1&a=2&b=&caf%C3%A9=%e9&c=+%20&%zz&=&;"
_ODD_LINES: Final = (
    "Accept: text/html;q=0.1, */*;q=0.01",
    "Accept-Language: zz, *;q=0.5",
    'Cookie: a=1; b="x y"; ; broken; =nameless; c=d=e',
    "If-Modified-Since: never",
    "Range: nonsense",
    "X-Empty:",
    "X-mIXED-cAsE: VaLue",
    f"X-Long: {'0123456789' * 200}",
)
_METHOD: Final = "PROPFIND"  # registered, so that no server's parser refuses it, and few applications know it


# -- what the application answers at home -----------------------------------------------------------------------------


class Standard:
    """The native run's answers, and a second native server that is asked when an answer differs from them.

    Only that tells what the adapter has changed from what changes by itself: a time, a token, a counter. The server
    is started when it is first needed, and ended with this context manager. Any thread.
    """

    def __init__(self, app: App, home: str, serve: Callable[[], AbstractContextManager[RunningServer]]) -> None:
        """Remember, start nothing.

        Args:
            app: the application.
            home: the recipe of its native run.
            serve: starts another native server.
        """
        self._app = app
        self._home = home
        self._serve = serve
        self._stack = ExitStack()
        # Two cells at a time: one starts the server, the other waits for it. Each then asks on connections of its own.
        self._starting = threading.Lock()
        self._running: RunningServer | None = None
        self.answers: dict[str, Answers] = {}
        """By the check's id. Written by the native run, which has ended before anybody else reads."""
        self.said: set[str] = set()
        """What stood in its log. Written likewise."""

    def is_at(self, site: Site) -> bool:
        """Whether *site* is the native run that sets the standard."""
        return not site.bridged and site.recipe.name == self._home

    def ask(self, question: Callable[[Site], Answers]) -> Answers:
        """Ask the second native server."""
        with self._starting:
            if self._running is None:
                self._running = self._stack.enter_context(self._serve())
        return question(Site(self._app, self._running, bridged=False))

    def __enter__(self) -> Standard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def _compare(check: str, standard: Standard, question: Callable[[Site], Answers], site: Site) -> Answers:
    """Return the answers for an oracle check, with what changes natively as it was in the standard.

    Raises:
        Failed: marked as n/a, if that leaves too little.
    """
    got = question(site)
    if standard.is_at(site):
        standard.answers[check] = got
        return got
    home = standard.answers.get(check)
    if home is None or got == home:
        return got
    try:
        # Twice: what the first request of a process is answered, the second may not be.
        natives = [home, *(standard.ask(question) for _ in range(2))]
    except (OSError, EOFError, Failed) as error:
        raise NotApplicable(f"not comparable: asked natively once more, it gave no answer: {error}") from error
    return _steady(natives, got)


def _steady(natives: Sequence[Answers], got: Answers) -> Answers:
    """Return *got* with each part in which the native answers differ replaced by that of the first of them.

    Raises:
        Failed: marked as n/a, if nothing else differs, and a body or a status is among these parts.
    """
    unsteady: dict[str, tuple[Any, Any]] = {}
    result: Answers = _without_unsteady(natives, got, "", unsteady)
    if unsteady and result == natives[0]:
        name, (one, other) = next(iter(unsteady.items()))
        what = f"{name}: {_short(one)} and {_short(other)}"
        raise NotApplicable(f"not comparable: two native answers differ: {what}; the rest is the same")
    return result


def _without_unsteady(natives: Sequence[Any], got: Any, name: str, unsteady: dict[str, tuple[Any, Any]]) -> Any:
    first = natives[0]
    other = next((native for native in natives if native != first), None)
    if all(native == first for native in natives):
        return got
    if all(isinstance(value, dict) for value in (*natives, got)):
        result: dict[str, Any] = {}
        for key in dict.fromkeys(key for value in (*natives, got) for key in value):
            having = [native for native in natives if key in native]
            if having and len(having) < len(natives):
                result |= {key: first[key]} if key in first else {}  # not always there, so its presence says nothing
            elif having and key in got:
                result[key] = _without_unsteady([native[key] for native in natives], got[key], key, unsteady)
            elif key in got:
                result[key] = got[key]
        return result
    if all(isinstance(value, list) and len(value) == len(first) for value in (*natives, got)):
        return [
            _without_unsteady([native[at] for native in natives], one, name, unsteady) for at, one in enumerate(got)
        ]
    # A header is compared by its name then, a body by all but the words that change.
    if name in ("status", "body") and not _but_for_words(natives, got):
        unsteady.setdefault(name, (first, other))
    return first


_WORD: Final = re.compile(r"""([^\s"'<>,(){}\[\]]+)""")
_COMPARED: Final = 1_000_000  # characters


def _but_for_words(natives: Sequence[Any], got: Any) -> bool:
    """Whether texts are the same but for the words in which the native ones differ from each other."""
    texts = (*natives, got)
    if got in natives:
        return True
    if not all(isinstance(text, str) and len(text) <= _COMPARED for text in texts):
        return False
    words = [_WORD.split(text) for text in texts]
    if len({len(some) for some in words}) != 1:
        return False
    return all(len(set(column[:-1])) > 1 or column[-1] == column[0] for column in zip(*words, strict=True))


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


# -- asking -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Page:
    """One path, and how it is asked for."""

    path: str
    standard: Standard = field(repr=False)

    def below(self, prefix: str) -> str:
        return prefix + self.path

    @property
    def with_query(self) -> str:
        return f"{self.path}{'&' if '?' in self.path else '?'}{_ODD_QUERY}"


def _exchange(client: RawClient, request: bytes, method: str = "GET") -> Response:
    """Send a request, and read the final response to its end; ``Failed`` if that takes too long."""
    client.send(request)
    incoming = client.begin_response(method)
    while 100 <= incoming.response.status < 200:
        incoming.rest()
        incoming = client.begin_response(method)
    late = time.monotonic() + LONGEST
    body = bytearray()
    for piece in incoming.pieces:
        body += piece
        if len(body) > LARGEST or time.monotonic() > late:
            raise Failed(
                f"the answer goes on after {len(body):,} bytes or {LONGEST:g} s; name a path whose answer ends"
            )
    incoming.response.body = bytes(body)
    return incoming.response


def _ask(site: Site, method: str, target: str, *lines: str) -> Response:
    with site.connect() as client:
        return _exchange(client, head(method, target, *lines), method)


def _seen(response: Response) -> dict[str, Any]:
    """Return what of a response is the application's."""
    if response.status >= 500:
        return {"status": response.status}  # the page may be the server's: each has its own for an exception
    headers: dict[str, list[str]] = {}
    for name, value in response.headers:
        if name not in OF_THE_SERVER:
            # Frameworks make Allow of sets.
            steady = ", ".join(sorted(re.split(r"\s*,\s*", value))) if name == "allow" else value
            headers.setdefault(name, []).append(steady)
    return {
        "status": response.status,
        "headers": headers,
        "body": response.body.decode("latin-1"),
        "complete": response.complete,
    }


def _like_alone(page: _Page, site: Site, what: str, others: Callable[[], Iterable[Response]]) -> None:
    """Raise ``Failed`` unless answers to GET are like those to single requests to this server before and after them.

    In that order: what changes with the time has then changed between those two as well.
    """
    before = _seen(_ask(site, "GET", page.path))
    answers = [_seen(answer) for answer in others()]
    after = _seen(_ask(site, "GET", page.path))
    for seen in answers:
        (steady,) = _steady([[before], [after]], [seen])
        for part in ("status", "complete", "headers", "body"):
            expect(f"{what}: {part}", (steady or {}).get(part), before.get(part))


# -- oracle checks: compared with the native run ----------------------------------------------------------------------


def _get(page: _Page, site: Site) -> Answers:
    """GET is answered as it is natively: status, headers and body."""
    return [_seen(_ask(site, "GET", page.path))]


def _head(page: _Page, site: Site) -> Answers:
    """HEAD is answered as it is natively."""
    return [_seen(_ask(site, "HEAD", page.path))]


def _query(page: _Page, site: Site) -> Answers:
    """A query with repeated, empty, escaped and broken arguments is answered as it is natively."""
    return [_seen(_ask(site, "GET", page.with_query))]


def _headers(page: _Page, site: Site) -> Answers:
    """Odd headers, empty, long, broken and in mixed case, are answered as they are natively."""
    return [_seen(_ask(site, "GET", page.path, *_ODD_LINES))]


def _mounted(page: _Page, site: Site) -> Answers:
    """Below a mount GET is answered as it is there natively."""
    return [_seen(_ask(site, "GET", page.below(site.mount)))]


def _options(page: _Page, site: Site) -> Answers:
    """OPTIONS is answered as it is natively."""
    return [_seen(_ask(site, "OPTIONS", page.path))]


def _method(page: _Page, site: Site) -> Answers:
    """A method that the application hardly knows (PROPFIND) is answered as it is natively."""
    return [_seen(_ask(site, _METHOD, page.path))]


def _conditional(page: _Page, site: Site) -> Answers:
    """A GET with the ETag and the Last-Modified that the application has given is answered as it is natively."""
    first = _ask(site, "GET", page.path)
    answers: Answers = []
    for name, asks in (("etag", "If-None-Match"), ("last-modified", "If-Modified-Since")):
        values = first.all(name)
        answers.append(_seen(_ask(site, "GET", page.path, f"{asks}: {values[0]}")) if values else None)
    if answers == [None, None]:
        raise NotApplicable("the answer has neither an ETag nor a Last-Modified")
    return answers


def _keep_alive(page: _Page, site: Site) -> Answers:
    """The same request twice on one connection is answered as it is natively."""
    request = head("GET", page.path)
    with site.connect() as client:
        first = _exchange(client, request)
        if "close" in (value.lower() for value in first.all("connection")):
            expect("the connection ends after Connection: close", client.ended(), True)
        elif first.status < 500:  # after a failure some servers close, and do not say so
            return [_seen(first), _seen(_exchange(client, request))]
    return [_seen(first), _seen(_ask(site, "GET", page.path))]


def _http10(page: _Page, site: Site) -> Answers:
    """A client of HTTP/1.0 is answered as it is natively, without chunks."""
    with site.connect() as client:
        response = _exchange(client, f"GET {page.path} HTTP/1.0\r\nHost: test\r\n\r\n".encode("latin-1"))
    expect("Transfer-Encoding for HTTP/1.0", response.all("transfer-encoding"), [])
    return [_seen(response)]


# -- contract checks --------------------------------------------------------------------------------------------------


def _bare(page: _Page, site: Site) -> None:
    """After the header section of an answer to HEAD nothing follows."""
    with site.connect() as client:
        response = _exchange(client, head("HEAD", page.path, "Connection: close"), "HEAD")
        # A failure's page may be the server's.
        if not site.recipe.ends_head and (response.status >= 500 or not response.all("content-length")):
            raise NotApplicable(f"{site.recipe.name} itself sends something after HEAD where the length is unknown")
        expect("nothing follows the header section", client.ended(), True)


def _length(page: _Page, site: Site) -> None:
    """Content-Length is the body's length, also in the answer to HEAD, and stands beside no Transfer-Encoding."""
    before = _measured(page, site)
    of_head = _ask(site, "HEAD", page.path)
    after = _measured(page, site)
    lengths = of_head.all("content-length")
    if lengths and site.recipe.knows_head and of_head.status == before.status and before.body == after.body:
        expect("Content-Length for HEAD", lengths, [str(len(before.body))])


def _measured(page: _Page, site: Site) -> Response:
    with site.connect() as client:
        response = _exchange(client, head("GET", page.path, "Connection: close"))
        # By the connection's end, not by what is to be checked.
        expect("nothing follows the body", client.ended(), True)
    expect("the response is complete", response.complete, True)
    lengths = response.all("content-length")
    if lengths and response.status not in (204, 304):
        expect("Content-Length", lengths, [str(len(response.body))])
        expect("Transfer-Encoding beside Content-Length", response.all("transfer-encoding"), [])
    return response


def _concurrent(page: _Page, site: Site) -> None:
    """Eight requests at once are answered like one alone."""

    def at_once() -> list[Response]:
        with ExitStack() as stack:
            clients = [stack.enter_context(site.connect()) for _ in range(AT_ONCE)]
            for client in clients:
                # Without "Connection: close": Gunicorn 27.0's gthread leaves some of several such requests unanswered.
                client.get(page.path)
            return [_exchange(client, b"") for client in clients]

    _like_alone(page, site, "one of eight at once", at_once)


def _left(page: _Page, site: Site) -> None:
    """Clients that leave at once, or after the first byte of their answer, harm no later request."""

    def after_leaving() -> list[Response]:
        for _ in range(2):
            with site.connect() as client:
                client.get(page.path)
                client.reset()
        with site.connect() as client:
            client.get(page.path)
            client.receive()
            client.reset()
        return [_ask(site, "GET", page.path)]

    _like_alone(page, site, "the next answer", after_leaving)


def _validated(page: _Page, site: Site) -> None:
    """Validators on both sides of the adapter (wsgiref's, Werkzeug's, asgion) have nothing to complain about."""
    _ask(site, "GET", COMPLAINTS)  # what another path has left
    for method, target, lines in (
        ("GET", page.path, ()),
        ("GET", page.with_query, _ODD_LINES),
        ("HEAD", page.path, ()),
        ("OPTIONS", page.path, ()),
    ):
        _ask(site, method, CHECKED + target, *lines)
        said = _ask(site, "GET", COMPLAINTS)
        expect("status of the complaints", said.status, 200)
        if complaints := said.json():
            raise Failed(f"{method} {target}: {'; '.join(complaints)}")


def _log(standard: Standard, site: Site) -> None:
    """The server's log has no traceback, and no word of what was lost, that the native server's has not."""
    # The whole log: what the checks before this one have caused is long here. The last in the list for that.
    log = site.running.log()
    if site.recipe.own_noise is not None:
        log = site.recipe.own_noise.sub("", log)
    said = complaints_of(log)
    if standard.is_at(site):
        standard.said.update(said)
    elif new := [line for line in said if line not in standard.said]:
        raise Failed(f"in the log, and natively not: {'; '.join(new[:5])}")


_LOST: Final = re.compile(r"Exception ignored |was never awaited|Task was destroyed|ResourceWarning|Fatal Python error")
_PREFIX: Final = re.compile(r"^(\[[^\]]*\] )+")  # as Apache puts before each line
_NUMBER: Final = re.compile(r"0x[0-9a-f]+|\d+")
# What servers say of clients that leave, as one check makes them do: eventlet does, in whatever it was doing then.
_LEAVING: Final = ("ConnectionResetError", "BrokenPipeError", "ConnectionAbortedError")


def complaints_of(log: str) -> list[str]:
    """Return how each traceback of a log ends, and lines about what was lost, each once and without its numbers."""
    said = []
    in_traceback = False
    for line in (_PREFIX.sub("", line) for line in log.splitlines()):
        if "Traceback (most recent call last)" in line:
            in_traceback = True
        elif in_traceback:
            if not line.strip() or line[0] in " \t|+":
                continue
            in_traceback = False
            said.append(line)
        elif _LOST.search(line):
            said.append(line)
    if in_traceback:
        said.append("a traceback without an end")
    return list(dict.fromkeys(_NUMBER.sub("N", line) for line in said if not line.startswith(_LEAVING)))


# -- all of them ------------------------------------------------------------------------------------------------------

_ORACLE: Final[tuple[tuple[str, str, Callable[[_Page, Site], Answers], dict[str, object]], ...]] = (
    ("get", "RFC 9110, 9.3.1", _get, {}),
    ("head", "RFC 9110, 9.3.2", _head, {}),
    ("query", "RFC 3986, 3.4; PEP 3333, environ Variables: QUERY_STRING", _query, {}),
    ("headers", "RFC 9110, 5", _headers, {}),
    (
        "mounted",
        "PEP 3333, environ Variables: SCRIPT_NAME, PATH_INFO; ASGI HTTP specification: root_path",
        _mounted,
        {},
    ),
    ("conditional", "RFC 9110, 13.1.2 and 13.1.3", _conditional, {}),
    ("options", "RFC 9110, 9.3.7", _options, {}),
    ("method", "RFC 9110, 9.1 and 16.1", _method, {}),
    ("http10", "RFC 9112, 2.3, 6.1 and 7.1", _http10, {"speaks_http10": True}),
    ("keep_alive", "RFC 9112, 9.3", _keep_alive, {"keep_alive": True}),
)
_CONTRACT: Final[tuple[tuple[str, str, Callable[[_Page, Site], None], dict[str, object]], ...]] = (
    ("head.bare", "RFC 9110, 9.3.2; RFC 9112, 6.3", _bare, {}),
    ("length", "RFC 9110, 8.6; RFC 9112, 6.1 and 6.2", _length, {}),
    ("concurrent", 'PEP 3333, "Thread Support"; ASGI, "Applications"', _concurrent, {"concurrent": True}),
    ("left", "RFC 9112, 9.5; ASGI HTTP specification, Disconnect", _left, {}),
    ("validators", "PEP 3333; ASGI HTTP specification: as their validators read them", _validated, {}),
)


def checks_of(paths: Iterable[str], standard: Standard) -> list[Check]:
    """Return the checks of these paths, in the order in which they are to be asked: ``path.get[/api/items]``, ..."""
    checks = []
    for path in paths:
        page = _Page(path, standard)
        for name, clause, question, where in _ORACLE:
            id = f"path.{name}[{path}]"
            run = partial(_compare, id, standard, partial(question, page))
            checks.append(_check(id, question, clause, "oracle", run, where))
        for name, clause, judge, where in _CONTRACT:
            checks.append(_check(f"path.{name}[{path}]", judge, clause, "contract", partial(judge, page), where))
    checks.append(_check("log", _log, 'PEP 3333, "Error Handling"', "contract", partial(_log, standard), {}))
    return checks


def _check(
    id: str,
    described: Callable[..., Any],
    clause: str,
    kind: Literal["oracle", "contract"],
    run: Callable[[Site], Any],
    where: dict[str, object],
) -> Check:
    return Check(id, (described.__doc__ or "").strip(), clause, kind, run, where=where)


def notes(paths: Iterable[str], standard: Standard) -> list[str]:
    """Say which paths may not be those that were meant: they are no success natively."""
    return [
        f"{path} is answered {answer['status']} natively"
        for path in paths
        for answer in standard.answers.get(f"path.get[{path}]", [])
        if answer is not None and answer["status"] >= 400
    ]

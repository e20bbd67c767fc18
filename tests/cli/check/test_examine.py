"""What the examination finds: nothing wrong with what is right, and what is wrong with what is not."""

from __future__ import annotations

import itertools
import logging
import sqlite3
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.cli.check import sides
from bridge.cli.check.examine import examine
from bridge.cli.check.model import Report, Result
from bridge.wsgi_to_asgi.environ import build_environ
from tests.cli.check import applications

if TYPE_CHECKING:
    from collections.abc import Iterable

TIMEOUT = 5.0  # seconds that a request may take; none of these needs one


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time a few requests, which is enough where the time is not looked at."""
    monkeypatch.setattr("bridge.cli.check.observe.TIMED_SECONDS", 0.01)


def examined(application: object, *paths: str, timeout: float = TIMEOUT) -> Report:
    return examine("nowhere:app", application, paths or ("/",), (("host", "localhost"),), timeout)


def result(report: Report, check: str) -> Result:
    return next(found for found in report.results if found.check == check)


def states(report: Report, check: str) -> tuple[str, str]:
    found = result(report, check)
    return found.native.state, found.bridged.state


# -- what is right --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("application", "interface", "lifespan", "loop"),
    [
        pytest.param(applications.good, "wsgi", "none", None, id="WSGI"),
        pytest.param(applications.echoing, "wsgi", "none", None, id="repeats the request's identifier"),
        pytest.param(applications.good_asgi, "asgi3", "taken part", "shared", id="ASGI 3"),
        pytest.param(applications.without_lifespan, "asgi3", "not taken part", "request", id="no lifespan"),
        pytest.param(applications.good_asgi_2, "asgi2", "taken part", "shared", id="ASGI 2"),
    ],
)
def test_a_right_application_has_nothing_to_worry_about(
    application: object, interface: str, lifespan: str, loop: str | None
) -> None:
    """Each kind is recognised, no check fails, and nothing differs."""
    report = examined(application)
    assert [found for found in report.results if "fail" in (found.native.state, found.bridged.state)] == []
    assert (report.reasons, report.differences, report.warnings) == ((), (), ())
    assert (report.interface, report.lifespan, report.loop) == (interface, lifespan, loop)


@pytest.mark.parametrize("application", [applications.good, applications.good_asgi])
def test_a_request_is_timed_on_both_sides(application: object) -> None:
    """Each path has a median of a request of several, which is more than nothing and less than the time limit."""
    (time,) = examined(application).times
    assert time.requests > 1
    assert 0 < time.native < TIMEOUT
    assert 0 < time.bridged < TIMEOUT


@pytest.mark.parametrize("application", [applications.Streaming(), applications.streaming_asgi])
def test_a_stream_is_checked_as_one(application: object) -> None:
    """Chunks that arrive one by one, and a client that leaves, are asked about where there are chunks."""
    report = examined(application)
    assert (states(report, "streaming"), states(report, "disconnect")) == (("pass", "pass"), ("pass", "pass"))
    assert report.reasons == ()


def test_every_response_that_is_begun_is_closed() -> None:
    """PEP 3333 has close() called once, also for a client that leaves."""
    application = applications.Streaming()
    examined(application)
    assert application.begun == application.closed


@pytest.mark.parametrize("application", [applications.endless, applications.endless_asgi])
def test_an_endless_stream_is_no_hang(application: object) -> None:
    """What was read of it is compared, and it ends when its client leaves."""
    report = examined(application)
    assert report.reasons == ()
    assert states(report, "disconnect") == ("pass", "pass")
    assert not report.stuck


@pytest.mark.parametrize("application", [applications.endless, applications.endless_asgi])
def test_a_stream_is_read_for_a_limited_time(application: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that sends little at a time would take for ever to reach the limit of bytes."""
    monkeypatch.setattr("bridge.cli.check.wsgi_caller.MOST_BODY", 1 << 40)
    monkeypatch.setattr("bridge.cli.check.asgi_caller.MOST_BODY", 1 << 40)
    monkeypatch.setattr("bridge.cli.check.wsgi_caller.LONG_STREAM", 0.0)
    monkeypatch.setattr("bridge.cli.check.asgi_caller.LONG_STREAM", 0.0)
    report = examined(application)
    assert (report.reasons, report.stuck) == ((), False)


def test_what_changes_with_each_answer_is_not_compared() -> None:
    """Nonces, timestamps and the like are told, and are no difference."""
    report = examined(applications.counting())
    assert (report.reasons, report.differences) == ((), ())
    assert {"body", "header etag"} <= {excused.what for excused in report.excused if excused.method == "GET"}


def test_paths_are_asked_as_they_are_given() -> None:
    """Each path has its own results, in the order in which they were named; one that comes twice is asked once."""
    report = examined(applications.good, "/b", "/a?x=1", "/b")
    assert list(report.statuses.items()) == [("/b", 200), ("/a?x=1", 200)]
    assert {found.path for found in report.results} == {"/b", "/a?x=1", None}


# -- what is wrong --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("application", "check", "reason"),
    [
        pytest.param(applications.raising, "answers", "RuntimeError: out of order", id="raises"),
        pytest.param(applications.raising_asgi, "answers", "RuntimeError: out of order", id="raises, ASGI"),
        pytest.param(applications.failing, "status", "503", id="5xx"),
        pytest.param(applications.out_of_order, "answers", "before http.response.start", id="order"),
        pytest.param(applications.not_starting, "lifespan", "no database", id="startup"),
        pytest.param(applications.not_stopping, "lifespan", "still busy", id="shutdown"),
    ],
)
def test_what_does_not_answer_natively_is_a_reason_to_worry(
    application: object, check: str, reason: str, bridge_log: list[logging.LogRecord]
) -> None:
    """There is nothing to compare with, so nobody can say that it will do."""
    report = examined(application)
    native = result(report, check).native
    assert native.state == "fail"
    assert reason in native.reason
    assert any(check in text for text in report.reasons)


@pytest.mark.parametrize(
    ("application", "check", "reason"),
    [
        pytest.param(applications.redirecting, "mount", "/login, which is outside", id="mount"),
        pytest.param(applications.unlike_pep_3333, "conformance", "X-Bad-", id="validator"),
        pytest.param(applications.too_short, "length", "100, the body has 5 bytes", id="length"),
        pytest.param(applications.hop_by_hop, "hop-by-hop", "keep-alive", id="hop-by-hop"),
    ],
)
def test_what_is_wrong_natively_is_said(
    application: object, check: str, reason: str, bridge_log: list[logging.LogRecord]
) -> None:
    """An application's own mistake is found, whether the bridge keeps it or not."""
    native = result(examined(application), check).native
    assert native.state == "fail"
    assert reason in native.reason


def test_the_validator_looks_behind_the_bridge_too() -> None:
    """Around the application, where the bridge is its server."""
    assert states(examined(applications.unlike_pep_3333), "conformance") == ("fail", "fail")


def test_logging_is_left_as_it_was() -> None:
    """Exceptions that frameworks log are heard for as long as the examination runs."""
    before = logging.getLogRecordFactory(), list(logging.getLogger("bridge").handlers)
    examined(applications.good)
    assert (logging.getLogRecordFactory(), logging.getLogger("bridge").handlers) == before


def test_a_body_that_is_too_short_is_a_difference() -> None:
    """A server passes it on, and the bridge cuts the connection, since the response looks complete otherwise."""
    report = examined(applications.too_short)
    assert ("GET", "error") in {(found.method, found.part) for found in report.differences}
    assert report.reasons != ()


@pytest.mark.parametrize("application", [applications.redirecting, applications.hop_by_hop])
def test_an_own_mistake_that_the_bridge_keeps_or_mends_is_no_reason(
    application: object, bridge_log: list[logging.LogRecord]
) -> None:
    """It is like that already."""
    assert examined(application).reasons == ()


def test_threads_that_mix_answers_are_a_reason() -> None:
    """The bridge runs several worker threads, so it counts however the application does natively."""
    report = examined(applications.Mixing())
    assert result(report, "concurrency").bridged.state == "fail"
    assert any("concurrency" in text for text in report.reasons)


def test_a_connection_of_one_thread_passes_natively_only() -> None:
    """It works on a server of one thread, which is what the application is at home on."""
    application = applications.Database()
    report = examined(application)
    application.connection.close()
    assert states(report, "answers") == ("pass", "fail")
    assert "thread-bound-error" in {warning.id for warning in report.warnings}
    assert any("answers of / passes natively and fails bridged" in text for text in report.reasons)


def test_an_application_that_asks_for_threads_is_told_of() -> None:
    """Behind the bridge wsgi.multithread is true, on a server of one thread it is not."""
    (warning,) = examined(applications.behind_another).warnings
    assert warning.id == "multithread"
    assert "body" in warning.text


def test_an_application_that_blocks_its_event_loop_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something that keeps the loop in each request, for longer than the limit, is no one-time import."""
    monkeypatch.setattr("bridge.cli.check.report.BLOCKING", 0.02)
    report = examined(applications.blocking)
    assert [warning.id for warning in report.warnings] == ["blocks-event-loop"]
    assert report.reasons == ()


def test_tasks_that_are_left_behind_are_told_of(bridge_log: list[logging.LogRecord]) -> None:
    """A loop for each request ends with its request, and its tasks with it; the bridge says so once."""
    report = examined(applications.leaving_tasks)
    (warning,) = report.warnings
    assert warning.id == "bridge-log"
    assert "task(s) behind" in warning.text
    applications.kept.clear()
    assert report.reasons == ()


# -- time limits ----------------------------------------------------------------------------------------------


@pytest.fixture
def hanging() -> Iterable[applications.Hanging]:
    application = applications.Hanging()
    yield application
    application.let_go.set()


def test_an_application_that_hangs_does_not_stop_the_check(hanging: applications.Hanging) -> None:
    """The time limit ends it, and the bridge is not asked for what has no answer."""
    report = examined(hanging, timeout=0.2)
    assert result(report, "answers").native.reason == "GET: no answer in time"
    assert result(report, "answers").bridged.state == "n/a"
    assert report.stuck


def test_an_asgi_application_that_waits_for_ever_is_cancelled() -> None:
    """Nothing of it is left behind when the next path is asked."""
    application = applications.Waiting()
    report = examined(application, "/wait", "/", timeout=0.2)
    assert result(report, "answers").native.reason == "GET: no answer in time"
    assert (application.remembered, report.stuck) == ({1}, False)


def test_other_paths_are_asked_after_one_that_hangs(hanging: applications.Hanging) -> None:
    """A thread that hangs keeps itself only."""

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        return (hanging if environ["PATH_INFO"] == "/slow" else applications.good)(environ, start_response)

    report = examined(application, "/slow", "/", timeout=0.2)
    outcomes = {found.path: found.bridged.state for found in report.results if found.check == "answers"}
    assert outcomes == {"/slow": "n/a", "/": "pass"}


def test_what_there_was_no_time_for_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """All requests for a path have about the time limit of one, and what is left out is no silent pass."""
    clock = itertools.count()  # seconds; one for each look
    monkeypatch.setattr("bridge.cli.check.observe.time", SimpleNamespace(monotonic=lambda: next(clock)))
    report = examined(applications.good, timeout=2.5)
    assert [(one.path, one.side) for one in report.unasked] == [("/", "native"), ("/", "bridged")]
    assert states(report, "mount") == ("n/a", "n/a")
    assert report.reasons == ()


# -- what a broken bridge does --------------------------------------------------------------------------------


class Broken:
    """The adapter, but for one thing in what it sends."""

    def __init__(self, adapter: Any, spoil: Any) -> None:
        self._adapter = adapter
        self._spoil = spoil

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def spoiled(message: Any) -> None:
            await send(self._spoil(dict(message)))

        await self._adapter(scope, receive, spoiled if scope["type"] == "http" else send)


def break_wsgi_to_asgi(monkeypatch: pytest.MonkeyPatch, spoil: Any) -> None:
    monkeypatch.setattr(sides, "WsgiToAsgi", lambda *args, **options: Broken(WsgiToAsgi(*args, **options), spoil))


def other_status(message: Any) -> Any:
    return message | ({"status": 201} if "status" in message else {})


def lost_header(message: Any) -> Any:
    if "headers" in message:
        message["headers"] = [header for header in message["headers"] if header[0] != b"content-type"]
    return message


def other_order(message: Any) -> Any:
    if "headers" in message:
        message["headers"] = message["headers"][::-1]
    return message


def other_body(message: Any) -> Any:
    if message.get("body"):
        message["body"] = b"jello"
    return message


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        pytest.param(other_status, ("status", "", "200", "201"), id="status"),
        pytest.param(lost_header, ("header", "content-type", "text/plain", "none"), id="a header is lost"),
        pytest.param(other_order, ("header", "x-two", "1, 2", "2, 1"), id="repeated headers change places"),
    ],
)
def test_what_a_broken_adapter_changes_is_a_difference(
    spoil: Any, expected: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both values are told, of each method and below a mount."""
    break_wsgi_to_asgi(monkeypatch, spoil)
    report = examined(applications.good)
    assert {(found.part, found.name, found.native, found.bridged) for found in report.differences} == {expected}
    asked = [(found.method, found.mount) for found in report.differences]
    assert asked == [("GET", ""), ("HEAD", ""), ("OPTIONS", ""), ("GET", "/mounted")]
    assert report.reasons != ()


def test_another_body_is_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told from where on."""
    break_wsgi_to_asgi(monkeypatch, other_body)
    found = examined(applications.good).differences[0]
    assert (found.part, found.bridged) == ("body", "5 bytes, from byte 0 on: b'jello'")


class Collecting:
    """An AsgiToWsgi that gives the whole body at once."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self.startup, self.close = adapter.startup, adapter.close

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        chunks = self._adapter(environ, start_response)
        try:
            return [b"".join(chunks)]
        finally:
            chunks.close()


class Holding:
    """A WsgiToAsgi that sends its messages when it has the last one."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._adapter(scope, receive, send)
            return
        held: list[Any] = []

        async def hold(message: Any) -> None:
            held.append(message)

        await self._adapter(scope, receive, hold)
        for message in held:
            await send(message)


@pytest.mark.parametrize(
    ("name", "broken", "application"),
    [
        ("AsgiToWsgi", lambda *args, **options: Collecting(AsgiToWsgi(*args, **options)), applications.streaming_asgi),
        ("WsgiToAsgi", lambda *args, **options: Holding(WsgiToAsgi(*args, **options)), applications.Streaming()),
    ],
    ids=["AsgiToWsgi", "WsgiToAsgi"],
)
def test_an_adapter_that_holds_chunks_back_is_seen(
    name: str, broken: Any, application: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk has to reach the client while the application waits for nothing else."""
    monkeypatch.setattr(sides, name, broken)
    monkeypatch.setattr("bridge.cli.check.gate.GATE", 0.1)
    assert states(examined(application), "streaming") == ("pass", "fail")


@pytest.mark.parametrize(
    ("times", "reason"),
    [
        pytest.param(0, "close() was not called", id="never"),
        pytest.param(2, "close() was called 2 times", id="twice"),
    ],
)
def test_an_adapter_that_does_not_close_once_is_seen(times: int, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """PEP 3333 has close() called once, whatever happens."""
    monkeypatch.setattr(sides, "WsgiToAsgi", lambda application, **options: _Closing(application, times))
    found = result(examined(applications.good, timeout=0.3), "closed")
    assert (found.native.state, found.bridged.reason) == ("pass", reason)


class _Closing:
    def __init__(self, application: Any, times: int) -> None:
        self._application = application
        self._times = times

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            raise ValueError("no lifespan")
        started: list[Any] = []
        chunks = self._application(build_environ(scope), lambda *args: started.extend(args))
        body = b"".join(chunks)
        for _ in range(self._times):
            getattr(chunks, "close", str)()
        headers = [(name.lower().encode(), value.encode()) for name, value in started[1]]
        await send({"type": "http.response.start", "status": int(started[0][:3]), "headers": headers})
        await send({"type": "http.response.body", "body": body})


# -- suspects -------------------------------------------------------------------------------------------------


def test_a_connection_that_any_thread_may_use_is_no_suspect() -> None:
    """check_same_thread=False is what an application with threads wants."""
    from bridge.cli.check.suspects import belongs_to_this_thread

    bound, free = sqlite3.connect(":memory:"), sqlite3.connect(":memory:", check_same_thread=False)
    try:
        assert (belongs_to_this_thread(bound), belongs_to_this_thread(free)) == (True, False)
    finally:
        bound.close()
        free.close()

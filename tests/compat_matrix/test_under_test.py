"""Applications of users: what is asked of them, what is compared, and that a broken adapter is found out by it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from compat_matrix import adapters, under_test
from compat_matrix.checks import anywhere
from compat_matrix.checks.registry import NotApplicable
from compat_matrix.command import main
from compat_matrix.model import Adapter

WSGI = """
import os
import time
from itertools import count

import colours

numbers = count()


def app(environ, start_response):
    path, environ_of = environ["PATH_INFO"], environ.get
    tag = '"v1"'
    status, headers, body = "200 OK", [("Content-Type", "text/plain"), ("ETag", tag)], b"shop"
    if path == "/where":
        mount, query = environ_of("SCRIPT_NAME"), environ_of("QUERY_STRING")
        body = f"{os.getcwd()} {mount} {query} {colours.RED} {sorted(environ_of('HTTP_X_LONG', ''))}".encode()
    elif path == "/words":
        body = b"no. <%d>, pid %d, at %d" % (next(numbers), os.getpid(), time.time_ns())
    elif path == "/shapeless":
        body = b"x " * (next(numbers) + os.getpid() % 1000)
    if environ_of("HTTP_IF_NONE_MATCH") == tag:
        status, headers, body = "304 Not Modified", [("ETag", tag)], b""
    start_response(status, headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    if scope["path"].endswith("/fails"):
        raise ValueError("as at home")
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else b"shop"})
"""
ASGI_2 = """
def app(scope):
    async def instance(receive, send):
        ...
    return instance
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of a user's project, which is the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text(WSGI)
    (tmp_path / "colours.py").write_text("RED = 'red'")
    (tmp_path / "api.py").write_text(ASGI)
    return tmp_path


def run(*options: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(main, [*options, "--report", "report"], catch_exceptions=False)


def outcomes(directory: Path, adapter: str = "bridge") -> dict[str, dict[str, Any]]:
    """Return what became of each check behind an adapter, of a run on one server."""
    document = json.loads((directory / "report" / "matrix.json").read_text())
    (cell,) = (cell for cell in document["cells"] if cell["adapter"] == adapter)
    assert cell["not_run"] == ""
    return {outcome["check"]: outcome for outcome in cell["outcomes"]}


# -- the whole of it --------------------------------------------------------------------------------------------------


def test_wsgi_application_behaves_behind_the_bridge_as_natively(shop: Path) -> None:
    """Its modules and files are found, what changes by itself is no failure, and nothing is left in the environment."""
    before = dict(os.environ)
    result = run("--app-under-test", "shop:app", "--paths", "/,/where,/words,/shapeless", "--server", "uvicorn-h11")

    assert result.exit_code == 0, result.output
    seen = outcomes(shop)
    assert {name: one["outcome"] for name, one in seen.items() if one["outcome"] == "fail"} == {}
    assert seen["path.get[/words]"]["outcome"] == "pass"
    assert seen["path.get[/where]"]["outcome"] == "pass"
    assert seen["path.conditional[/]"]["outcome"] == "pass"
    assert seen["path.get[/shapeless]"]["outcome"] == "n/a"
    assert seen["path.get[/shapeless]"]["reason"].startswith("not comparable: two native answers differ: body: 'x ")
    assert seen["log"]["outcome"] == "pass"
    assert dict(os.environ) == before
    assert {path.name for path in (shop / "report").iterdir()} == {"matrix.json", "matrix.xml", "matrix.html"}


def test_asgi_application_behaves_behind_the_bridge_as_natively(shop: Path) -> None:
    """Its own failures are not the bridge's, in its answers and in the log; the user hears of them."""
    result = run("--app-under-test", "api:app", "--paths", "/", "--paths", "/fails", "--server", "waitress")

    assert result.exit_code == 0, result.output
    assert "note: /fails is answered 500 natively" in result.output
    seen = outcomes(shop)
    assert seen["path.get[/fails]"]["outcome"] == "pass"
    assert seen["log"]["outcome"] == "pass"
    assert seen["path.conditional[/]"] | {"seconds": 0} == {
        "check": "path.conditional[/]",
        "outcome": "n/a",
        "reason": "the answer has neither an ETag nor a Last-Modified",
        "seconds": 0,
    }


BROKEN = """
import sys
import traceback

from bridge import WsgiToAsgi


class Adapter(WsgiToAsgi):
    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await super().__call__(scope, receive, send)
        if scope["query_string"]:
            scope = {**scope, "query_string": b"lost"}
        if scope["root_path"] == "/mounted":
            scope = {**scope, "root_path": ""}
        headers = [(name, value) for name, value in scope["headers"] if name != b"if-none-match"]
        if any(name == b"x-long" for name, value in headers):
            headers = [(name, value) for name, value in headers if name != b"x-long"]
        if scope["method"] == "PROPFIND":
            try:
                raise KeyError("left in the log")
            except KeyError:
                traceback.print_exc()

        async def changed(message):
            if message["type"] == "http.response.start" and scope["method"] == "OPTIONS":
                message = {**message, "headers": [*message["headers"], (b"x-adapter", b"broken")]}
            await send(message)

        await super().__call__({**scope, "headers": headers}, receive, changed)
"""


def test_broken_adapter_is_found_out(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thing that it breaks fails the check that is about it, and no other."""
    (shop / "broken.py").write_text(BROKEN)
    broken = Adapter("bridge", "wsgi", "broken:Adapter", ("bridge",))
    monkeypatch.setattr(adapters, "ADAPTERS", (broken,))
    result = run("--app-under-test", "shop:app", "--paths", "/where", "--server", "uvicorn-h11")

    assert result.exit_code == 1
    assert {name for name, one in outcomes(shop).items() if one["outcome"] == "fail"} == {
        "path.query[/where]",
        "path.mounted[/where]",
        "path.headers[/where]",
        "path.conditional[/where]",
        "path.options[/where]",
        "log",
    }
    options = outcomes(shop)["path.options[/where]"]
    assert options["reason"].startswith("differs from the native run: [0].headers.x-adapter: expected None, got")
    assert options["evidence"]["request"].startswith("OPTIONS /where HTTP/1.1")


# -- what it refuses --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["shop:nothing"], "module 'shop' has no attribute 'nothing'", id="no attribute"),
        pytest.param(["shops:app"], "there is no module 'shops'", id="no module"),
        pytest.param(["shop:numbers"], "cannot be called; name a WSGI or an ASGI application", id="no application"),
        pytest.param(["shop:app", "--paths", "api"], "a path begins with a slash, 'api' does not", id="path"),
        pytest.param(["shop:app", "--paths", "/,"], "a path begins with a slash, '' does not", id="empty path"),
        pytest.param(["shop:app", "--server", "waitress"], "speaks WSGI: it needs no adapter", id="server"),
    ],
)
def test_what_cannot_be_checked_is_one_line_and_status_2(shop: Path, options: list[str], said: str) -> None:
    result = run("--app-under-test", *options)

    assert result.exit_code == 2
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert said in line
    assert not (shop / "report").exists()


@pytest.mark.parametrize(
    ("source", "last_line"),
    [
        ("import colour", "importing 'wrong' raised ModuleNotFoundError, shown above; correct it there"),
        ("import os; os._exit(3)", "importing it ended the process with status 3"),
    ],
)
def test_application_that_fails_on_import_is_shown(shop: Path, source: str, last_line: str) -> None:
    """Its traceback has its own code only; the runner survives whatever it does."""
    (shop / "wrong.py").write_text(source)
    result = run("--app-under-test", "wrong:app")

    assert result.exit_code == 2
    *details, line = result.stderr.splitlines()
    assert line == f"Error: cannot check wrong:app: {last_line}"
    assert not any("importlib" in detail for detail in details)
    assert (f'  File "{shop}/wrong.py", line 1, in <module>' in details) is ("colour" in source)


def test_application_that_does_not_start_natively_is_no_success(shop: Path) -> None:
    """It was importable once, and its servers cannot start: nothing is left to compare."""
    (shop / "once.py").write_text(f"open('once', 'x')\n{WSGI}")
    result = run("--app-under-test", "once:app", "--server", "uvicorn-h11")

    assert result.exit_code == 1
    assert "could not be compared" in result.output or "nothing was checked" in result.output


def test_interface_of_legacy_applications_is_asgi(shop: Path) -> None:
    (shop / "legacy.py").write_text(ASGI_2)

    assert under_test.find("legacy:app", shop).interface == "asgi"


@pytest.mark.parametrize("target", ["shop.py", "pages/front.py", "pages/front.py:create()", "pages.front:app"])
def test_application_is_named_as_for_serving(shop: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    """Files and factories too, found out about and then loaded where they are served."""
    (shop / "pages").mkdir()
    (shop / "pages" / "front.py").write_text(f"{ASGI}\ndef create(): return app")
    found = under_test.find(target, shop)
    monkeypatch.setattr(sys, "path", sys.path[:])
    with under_test.environment(found, shop):
        application = under_test.from_environment()
    del sys.modules[application.__module__]

    assert (found.name, found.interface) == (target, "wsgi" if target == "shop.py" else "asgi")
    assert (application.__name__, application.__code__.co_filename.startswith(str(shop))) == ("app", True)


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["/"], ["/"]),
        (["/,/api/items", "/a?b=c,/"], ["/", "/api/items", "/a?b=c"]),
        (["/mountedly"], ["/mountedly"]),
    ],
)
def test_paths_are_separated_by_commas(texts: list[str], found: list[str]) -> None:
    assert under_test.paths(texts) == found


@pytest.mark.parametrize("path", ["/caf\xe9", "/a b", "/a#b", "/a\r\nX: y", "/mounted/a", "/checked", "/complaints?a"])
def test_paths_that_cannot_be_asked_for_are_refused(path: str) -> None:
    with pytest.raises(under_test.UnfitError, match=r"path|needs"):
        under_test.paths([path])


# -- what is compared -------------------------------------------------------------------------------------------------


def answer(body: str = "", status: int = 200, **headers: str) -> dict[str, Any]:
    return {
        "status": status,
        "headers": {name: [value] for name, value in headers.items()},
        "body": body,
        "complete": True,
    }


@pytest.mark.parametrize(
    ("home", "again", "got", "same"),
    [
        pytest.param(answer("a"), answer("a"), answer("b"), False, id="body"),
        pytest.param(answer("a"), answer("b"), answer("c"), True, id="a word that changes"),
        pytest.param(answer("a x"), answer("b x"), answer("c y"), None, id="more than that word"),
        pytest.param(answer("a"), answer("b"), answer("c", 500), False, id="the status of a changing body"),
        pytest.param(answer("a"), answer("a b"), answer(""), None, id="words that come and go"),
        pytest.param(answer(etag="1"), answer(etag="2"), answer(etag="3"), True, id="a header that changes"),
        pytest.param(answer(etag="1"), answer(etag="2"), answer(), False, id="a changing header that is lost"),
        pytest.param(answer(etag="1"), answer(), answer(etag="3"), True, id="a header that comes and goes"),
        pytest.param(answer(etag="1"), answer(etag="1"), answer(etag="1", x="2"), False, id="a header more"),
        pytest.param(answer(), answer(status=503), answer(status=500), None, id="a status that changes"),
    ],
)
def test_only_what_is_steady_natively_is_compared(
    home: dict[str, Any], again: dict[str, Any], got: dict[str, Any], same: bool | None
) -> None:
    """None: nothing else differs, and what is left is too little to say so."""
    if same is None:
        with pytest.raises(NotApplicable, match=r"^not comparable: two native answers differ: (body|status)"):
            anywhere._steady([[home], [again]], [got])
    else:
        assert (anywhere._steady([[home], [again]], [got]) == [home]) is same


TRACEBACK = 'Traceback (most recent call last):\n  File "a.py", line 1\n    1/0\n{}\n'


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("INFO: GET / 200\n", []),
        (TRACEBACK.format("ValueError: 17"), ["ValueError: N"]),
        (TRACEBACK.format("ValueError: 1") + TRACEBACK.format("ValueError: 2"), ["ValueError: N"]),
        ("".join(f"[x] [pid 1] {line}\n" for line in TRACEBACK.format("E: 0x7f").splitlines()), ["E: N"]),
        (TRACEBACK.format("ConnectionResetError: [Errno 104]"), []),
        ("Task was destroyed but it is pending!\n", ["Task was destroyed but it is pending!"]),
        (TRACEBACK.format(""), ["a traceback without an end"]),
    ],
)
def test_log_is_searched_for_tracebacks(log: str, said: list[str]) -> None:
    assert anywhere.complaints_of(log) == said


def test_checks_are_of_one_run_and_told_apart(shop: Path) -> None:
    """Nothing is registered; each check names its path."""
    nothing: Callable[[], Any] = lambda: None  # noqa: E731
    app = under_test.find("shop:app", shop)
    checks = anywhere.checks_of(["/", "/a"], anywhere.Standard(app, "gunicorn-gthread", nothing))

    assert len({check.id for check in checks}) == len(checks) == 31
    assert all(check.meaning.endswith(".") and "\n" not in check.meaning for check in checks)

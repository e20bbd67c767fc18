"""``bridge check`` as a user runs it: what it says, to people and to programs, and its exit status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result

from bridge.cli.commands import bridge

if TYPE_CHECKING:
    from tests.cli.conftest import WriteModule

REPOSITORY = Path(__file__).parents[3]
PATIENCE = 50.0  # seconds until a command that does not end is killed

GOOD = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ.get("HTTP_HOST", "").encode()]
"""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(bridge, ["check", *arguments])


def document(*arguments: str) -> tuple[int, Any]:
    """Run with --json; gives the exit status and what stdout holds."""
    ended = invoke(*arguments, "--json")
    return ended.exit_code, json.loads(ended.stdout)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, to its end."""
    return subprocess.run(
        [sys.executable, "-m", "bridge", "check", *arguments],
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


# -- good applications ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "kind", "begin"),
    [
        ("compat_matrix.apps.flask_app:app", "wsgi", "invoke"),
        ("compat_matrix.apps.fastapi_app:app", "asgi3", "invoke"),
        # In a process of their own, since both set up the one Django that a process can have.
        ("compat_matrix.apps.django_app.wsgi:application", "wsgi", "run"),
        ("compat_matrix.apps.django_app.asgi:app", "asgi3", "run"),
    ],
)
def test_a_good_application_of_a_framework_passes(target: str, kind: str, begin: str) -> None:
    """There is no false alarm: what a framework's users write is right behind the bridge."""
    ended = (run if begin == "run" else invoke)(
        target, "--path", "/", "--path", "/json", "--path", "/nothing", "--json"
    )
    found = json.loads(ended.stdout)
    assert (found["reasons"], found["differences"], found["warnings"]) == ([], [], [])
    assert (found["kind"], found["ok"]) == (kind, True)
    assert (ended.exit_code if isinstance(ended, Result) else ended.returncode) == 0


def test_an_application_that_starts_only_once_in_a_process_is_asked_in_another(
    write_module: WriteModule, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sanic refuses a second startup, which is not the bridge's doing; the new process finds the same modules."""
    monkeypatch.syspath_prepend(str(tmp_path / "elsewhere"))
    write_module(
        "elsewhere/web.py",
        "started = False\n"
        "async def app(scope, receive, send):\n"
        "    global started\n"
        "    if scope['type'] == 'lifespan':\n"
        "        await receive()\n"
        "        await send({'type': 'lifespan.startup.' + ('failed' if started else 'complete')})\n"
        "        started = True\n"
        "        await receive()\n"
        "        await send({'type': 'lifespan.shutdown.complete'})\n"
        "        return\n"
        "    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n"
        "    await send({'type': 'http.response.body', 'body': b'hello'})\n",
    )
    status, found = document("web:app")
    assert (status, found["reasons"], found["lifespan"]) == (0, [], "taken part")
    answers = next(one for one in found["checks"] if one["check"] == "answers")
    assert (answers["native"]["state"], answers["bridged"]["state"]) == ("pass", "pass")


# -- what it says ---------------------------------------------------------------------------------------------


def test_the_text_says_that_a_refusal_is_all_that_was_asked(write_module: WriteModule) -> None:
    """An API often has nothing at /, and Django refuses a Host that it does not know: to agree on that says little."""
    write_module("web.py", GOOD.replace("200 OK", "404 Not Found"))
    said = " ".join(invoke("web:app", "--path", "/a").stdout.split())
    assert "Little was asked: the application refused natively - /a is answered 404; --path names another" in said
    write_module("well.py", GOOD)
    assert "Little was asked" not in invoke("well:app").stdout


def test_the_text_says_why_an_application_does_not_start_without_a_traceback(write_module: WriteModule) -> None:
    """Starlette sends all of it to the server; the document has it."""
    write_module(
        "web.py",
        "import traceback\n"
        "async def app(scope, receive, send):\n"
        "    await receive()\n"
        "    try:\n"
        "        raise RuntimeError('no database')\n"
        "    except RuntimeError:\n"
        "        await send({'type': 'lifespan.startup.failed', 'message': traceback.format_exc()})\n",
    )
    ended = invoke("web:app")
    assert ended.exit_code == 1
    assert "natively: startup: RuntimeError: no database" in " ".join(ended.stdout.split())
    assert "Traceback" not in ended.stdout
    assert "Traceback" in document("web:app")[1]["reasons"][0]


def test_the_text_says_what_people_want_to_know(write_module: WriteModule) -> None:
    """Kind, adapter, checks on both sides, differences, times, and a verdict."""
    write_module("web.py", GOOD)
    ended = invoke("web:app")
    assert ended.exit_code == 0
    for said in ("WSGI", "bridge.WsgiToAsgi", "Natively", "Bridged", "Differences: none", "ms", "Nothing was found"):
        assert said in ended.stdout


def test_the_text_says_why_an_application_is_not_ready(write_module: WriteModule) -> None:
    """A reason names the check and what was raised, and the path."""
    write_module("web.py", "def app(environ, start_response):\n    raise RuntimeError('out of order')")
    ended = invoke("web:app", "--path", "/shop")
    assert ended.exit_code == 1
    assert "Not ready" in ended.stdout
    assert "answers of /shop fails natively: GET: RuntimeError: out of order" in " ".join(ended.stdout.split())


def test_an_answer_cannot_write_to_the_terminal(write_module: WriteModule) -> None:
    """What an application raises may hold what a client sent."""
    write_module("web.py", "def app(environ, start_response):\n    raise RuntimeError('\\x1b[2J')")
    assert "\x1b" not in invoke("web:app").stdout


def test_the_document_has_the_names_that_are_promised(write_module: WriteModule) -> None:
    """Programs rely on them: docs/command-line.md."""
    write_module("web.py", GOOD)
    status, found = document("web:app")
    assert status == 0
    assert list(found) == [
        *("schema", "bridge", "application", "kind", "lifespan", "adapter", "loop", "statuses", "ok", "reasons"),
        *("checks", "differences", "not_compared", "not_asked", "warnings", "times"),
    ]
    assert (found["schema"], found["application"], found["adapter"]) == (1, "web:app", "WsgiToAsgi")
    for one in found["checks"]:
        assert set(one) == {"check", "meaning", "clause", "path", "native", "bridged"}
        assert {one["native"]["state"], one["bridged"]["state"]} <= {"pass", "fail", "n/a"}
    (time,) = found["times"]
    assert set(time) == {"path", "native_seconds", "bridged_seconds", "requests"}


def test_the_document_tells_a_difference_by_its_parts(write_module: WriteModule) -> None:
    """Which request, what of the answer, and both values."""
    write_module(
        "web.py",
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [('X-Behind', 'bridge' if 'asgi.scope' in environ else 'none')])\n"
        "    return [b'hello']\n",
    )
    status, found = document("web:app")
    assert status == 1
    assert found["differences"][0] == {
        "path": "/",
        "method": "GET",
        "mount": "",
        "part": "header",
        "name": "x-behind",
        "native": "none",
        "bridged": "bridge",
    }


def test_suspicious_objects_of_the_module_are_warnings(write_module: WriteModule) -> None:
    """They may go wrong later, and do not change the exit status."""
    write_module(
        "web.py",
        "import asyncio, sqlite3\n"
        "database = sqlite3.connect(':memory:')\n"
        "lock = asyncio.Lock()\n"
        "async def app(scope, receive, send):\n"
        "    if scope['type'] != 'http':\n"
        "        raise ValueError\n"
        "    await send({'type': 'http.response.start', 'status': 200})\n"
        "    await send({'type': 'http.response.body'})\n",
    )
    status, found = document("web:app")
    assert status == 0
    assert [(one["id"], one["text"].split(" is ")[0]) for one in found["warnings"]] == [
        ("thread-bound-object", "web.database"),
        ("loop-bound-object", "web.lock"),
    ]
    sys.modules["web"].database.close()


def test_headers_go_with_each_request(write_module: WriteModule) -> None:
    """One that is given takes the place of the default."""
    write_module(
        "web.py",
        "def app(environ, start_response):\n"
        "    right = (environ['HTTP_HOST'], environ['HTTP_X_ONE']) == ('shop.example', '1')\n"
        "    start_response('200 OK' if right else '500 Wrong', [])\n"
        "    return []\n",
    )
    assert invoke("web:app", "--header", "Host: shop.example", "--header", "X-One: 1").exit_code == 0


def test_a_path_is_sent_as_a_client_would(write_module: WriteModule) -> None:
    """What is not ASCII is percent-encoded, what is encoded stays."""
    write_module("web.py", GOOD)
    _, found = document("web:app", "--path", "/café?q=%20", "--path", "/a b")
    assert found["statuses"] == {"/caf%C3%A9?q=%20": 200, "/a%20b": 200}


# -- stdout, and the end --------------------------------------------------------------------------------------


def test_what_the_application_prints_is_not_in_the_document(write_module: WriteModule) -> None:
    """At import, in requests, by programs that it starts, and at exit."""
    write_module(
        "web.py",
        "import atexit, os\nprint('imported')\nos.system('echo started')\natexit.register(print, 'ended')\n"
        + GOOD.replace("    start_response", "    print('called')\n    start_response"),
    )
    ended = run("web:app", "--json")
    assert ended.returncode == 0
    assert json.loads(ended.stdout)["ok"] is True
    for said in ("imported", "started", "called", "ended"):
        assert said in ended.stderr


def test_what_is_printed_stays_out_where_stdout_is_no_file(write_module: WriteModule) -> None:
    """A caller in the same process, such as a test, has the document alone as well."""
    write_module("web.py", "print('imported')\n" + GOOD)
    ended = invoke("web:app", "--json")
    assert json.loads(ended.stdout)["ok"] is True
    assert "imported" in ended.stderr


def test_a_command_whose_application_hangs_ends(write_module: WriteModule) -> None:
    """A thread that is no daemon, and waits for ever, cannot keep it."""
    write_module(
        "web.py",
        "import threading\n"
        "def app(environ, start_response):\n"
        "    thread = threading.Thread(target=threading.Event().wait, daemon=False)\n"
        "    thread.start()\n"
        "    thread.join()\n",
    )
    ended = run("web:app", "--timeout", "0.2")
    assert ended.returncode == 1
    assert "no answer in time" in ended.stdout


def test_a_blocked_event_loop_does_not_keep_the_command(write_module: WriteModule) -> None:
    """What blocks the loop cannot be cancelled."""
    write_module("web.py", "import threading\nasync def app(scope, receive, send):\n    threading.Event().wait()\n")
    ended = run("web:app", "--timeout", "0.2")
    assert ended.returncode == 1
    assert "blocked the event loop" in " ".join(ended.stdout.split())


# -- mistakes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["web:ap"], "did you mean 'app'?", id="misspelt attribute"),
        pytest.param(["wbe:app"], "there is no module 'wbe'", id="misspelt module"),
        pytest.param(["web:number"], "cannot be called", id="no application"),
        pytest.param(["web:app", "--path", "shop"], "a path starts with '/'", id="path"),
        pytest.param(["web:app", "--path", "/#top"], "a fragment is never sent", id="fragment"),
        pytest.param(["web:app", "--header", "Host"], "'NAME: VALUE'", id="header"),
        pytest.param(["web:app", "--header", "Ho st: x"], "a header name is a token", id="header name"),
        pytest.param(
            ["web:app", "--header", "X_Forwarded_For: ::1"], "'X_Forwarded_For' cannot be given", id="underscore"
        ),
        pytest.param(["web:app", "--header", "Upgrade: h2c"], "'Upgrade' cannot be given", id="of the connection"),
        pytest.param(["web:app", "--timeout", "0"], "--timeout", id="timeout"),
    ],
)
def test_a_mistake_of_the_user_is_told_without_a_traceback(
    arguments: list[str], said: str, write_module: WriteModule
) -> None:
    """The exit status is 2, and nothing is on stdout."""
    write_module("web.py", GOOD + "number = 1\n")
    ended = invoke(*arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr


def test_an_application_whose_own_code_fails_is_shown(write_module: WriteModule) -> None:
    """Its traceback is what the user needs; the exit status is 1."""
    write_module("web.py", "1 / 0")
    ended = invoke("web:app", "--json")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "ZeroDivisionError" in ended.stderr


def test_help_teaches() -> None:
    """It has examples, and what the exit status means."""
    said = invoke("--help").stdout
    assert "bridge check web:app --json" in said
    assert "exit status" in said

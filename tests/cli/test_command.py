"""``bridge serve`` as a user runs it: what it says, its exit status, and what it hands over to the server."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from click.testing import CliRunner, Result

from bridge import __version__
from bridge.cli import servers
from bridge.cli.commands import bridge
from bridge.cli.composition import Description
from bridge.cli.handover import described
from bridge.cli.serve import serve
from tests.cli.serving import REPOSITORY, run, serving
from tests.cli.sources import ASGI, WSGI

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import WriteModule

VARIABLE = "BRIDGE_SERVE"


class Become:
    """What this process would have become."""

    def __init__(self) -> None:
        self.command: list[str] = []
        self.environment: dict[str, str] = {}
        self.directory = ""

    @property
    def description(self) -> Description:
        return Description.from_json(self.environment[VARIABLE])


@pytest.fixture
def become(monkeypatch: pytest.MonkeyPatch) -> Become:
    """In place of it, this process goes on."""
    seen = Become()

    def execve(path: str, command: list[str], environment: dict[str, str]) -> None:
        assert path == command[0] == sys.executable
        seen.command, seen.environment, seen.directory = command[1:], environment, os.getcwd()

    monkeypatch.setattr(os, "execve", execve)
    return seen


@pytest.fixture
def web(write_module: WriteModule) -> None:
    """Modules with an application of each interface."""
    write_module("web.py", WSGI)
    write_module("api.py", ASGI)


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(bridge, ["serve", *arguments])


def test_the_readmes_application_answers_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's command serves a WSGI application on an ASGI server, its asynchronous views too."""
    monkeypatch.chdir(REPOSITORY)
    with serving("compat_matrix.apps.flask_app:app") as running:
        answers = [httpx.get(running.url + path).text for path in ("/", "/async")]
    assert answers == ["Hello from Flask\n", "async"]


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "said"),
    [
        pytest.param("wbe:app", "no module 'wbe'", id="module"),
        pytest.param("web:ap", "did you mean 'app'?", id="attribute"),
        pytest.param("web", "not of the form MODULE:APP", id="form"),
        pytest.param("wbe.py", "no file 'wbe.py'", id="file"),
        pytest.param("web:__name__", "cannot be called", id="not callable"),
        pytest.param("web:create", "call it, on the command line as MODULE:FACTORY()", id="factory"),
        pytest.param("http://", "it has no host", id="upstream"),
    ],
)
def test_a_wrong_target_gets_one_line_and_status_2(write_module: WriteModule, target: str, said: str) -> None:
    """A slip of the command line needs a sentence, not a traceback; also in a mount."""
    write_module("web.py", f"{WSGI}\ndef create(): ...")
    for arguments in ((target,), ("web:app", "--mount", f"/a={target}")):
        result = invoke(*arguments, "--bind", "127.0.0.1:0")
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
        assert result.stderr.startswith(f"Error: cannot serve {target}: ")
        assert said in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--threads", "0"], "Invalid value for '--threads'"),
        (["--workers", "0"], "Invalid value for '--workers'"),
        (["--bind", "80"], "an example is 127.0.0.1:8000 (bridge serve --help says more)"),
        (["--server", "gnuicorn"], "'gnuicorn' is not one of 'uvicorn', 'hypercorn'"),
        (["--prot", "80"], "No such option"),
        (["--port", "80"], "No such option '--port'; --bind HOST:PORT is the address (bridge serve --help says more)"),
        (["--log-level", "debug"], "The server's own options come last, after --. (bridge serve --help says more)"),
        (["--mount"], "Option '--mount' requires an argument. (bridge serve --help says more)"),
        (["api:app"], "Got unexpected extra argument (api:app)"),
        (["--mount", "/api"], "--mount /api is not of the form /PREFIX=APP"),
        (["--mount", "api=api:app"], "cannot mount: a prefix is a path such as"),
        (["--mount", "/a=api:app", "--mount", "/a=web:app"], "cannot mount: two applications are mounted at '/a'"),
        (["--server", "waitress", "--reload"], "Waitress has no --reload; Uvicorn, Hypercorn"),
        (["--server", "granian", "--bind", "a:0"], "Granian does not say which port"),
        (["--bind", "unix:nowhere/s"], "cannot listen on unix:nowhere/s: there is no directory"),
    ],
)
@pytest.mark.usefixtures("web")
def test_a_mistake_gets_one_line_and_status_2(become: Become, arguments: list[str], said: str) -> None:
    """And nothing is served."""
    result = invoke("web:app", "--bind", "127.0.0.1:0", *arguments)
    assert (result.exit_code, result.stdout, result.stderr.count("\n"), become.command) == (2, "", 1, [])
    assert result.stderr.startswith("Error: ")
    assert said in result.stderr


@pytest.mark.usefixtures("web")
def test_a_current_directory_that_is_gone_gets_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it was deployed anew meanwhile."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for command in ("serve", "check"):
        result = CliRunner().invoke(bridge, [command, "web:app"])
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert "there is no current directory" in result.stderr


@pytest.mark.parametrize("command", ["serve", "check"])
def test_the_end_of_the_help_fits_a_terminal_of_80_columns(command: str) -> None:
    """Its lines are shown as they were written, so an example can be copied: none goes on at the margin."""
    text = CliRunner().invoke(bridge, [command, "--help"], env={"COLUMNS": "80"}).stdout
    epilog = bridge.commands[command].epilog
    assert epilog is not None
    assert {line.strip() for line in epilog.splitlines()} <= {line.strip() for line in text.splitlines()}


def test_a_wrong_command_gets_one_line() -> None:
    """Of the group, too."""
    for arguments, said in ((["srve"], "No such command 'srve'"), (["--hlp"], "No such option")):
        result = CliRunner().invoke(bridge, arguments)
        assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
        assert said in result.stderr


@pytest.mark.usefixtures("web")
def test_a_server_that_is_not_installed_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """It names what to install."""
    monkeypatch.setattr(servers, "find_spec", lambda name: None)
    result = invoke("web:app", "--server", "daphne")
    assert (result.exit_code, result.stderr) == (
        2,
        f"Error: cannot serve on Daphne: {servers.missing(servers.SERVERS['daphne'], reload=False)}\n",
    )


@pytest.mark.usefixtures("web")
def test_a_port_in_use_gets_one_line(become: Become, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the server may listen elsewhere, by an option of its own or by systemd."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        bind = f"127.0.0.1:{other.getsockname()[1]}"
        result = invoke("web:app", "--bind", bind)
        assert (result.exit_code, become.command) == (2, [])
        assert result.stderr.startswith(f"Error: cannot listen on {bind}: Address already in use")
        assert invoke("web:app", "--bind", bind, "--", "--fd", "3").exit_code == 0
        monkeypatch.setenv("LISTEN_FDS", "1")
        assert invoke("web:app", "--bind", bind).exit_code == 0


def test_a_wrong_target_ends_the_process_with_one_line(write_module: WriteModule) -> None:
    """What the process itself says and returns is what the command decided."""
    write_module("web.py")
    status, out, error = run("-m", "bridge", "serve", "web:app", "--bind", "127.0.0.1:0")
    assert (status, out, error.splitlines()) == (
        2,
        "",
        ["Error: cannot serve web:app: module 'web' has no attribute 'app'; check the name"],
    )


def test_an_error_of_the_module_shows_its_traceback(write_module: WriteModule, tmp_path: Path) -> None:
    """The user's own code failed: its lines are shown, none of bridge's, then one line and status 1."""
    write_module("web.py", "def create():\n    import not_installed\n")
    said = "calling 'create' raised ModuleNotFoundError, shown above; correct it there"
    status, out, error = run("-m", "bridge", "serve", "web.py:create()", "--bind", "127.0.0.1:0")
    assert (status, out, error.splitlines()) == (
        1,
        "",
        [
            "Traceback (most recent call last):",
            f'  File "{tmp_path}/web.py", line 2, in create',
            "    import not_installed",
            "ModuleNotFoundError: No module named 'not_installed'",
            f"Error: cannot serve web.py:create(): {said}",
        ],
    )


@pytest.mark.parametrize("missing", ["click", "rich", "rich_click"])
def test_a_missing_extra_is_named(missing: str) -> None:
    """Without the extra, the installed script says what to install, with status 2."""
    finder = f"""
import sys
class Gone:
    def find_spec(self, name, *_):
        if name == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Gone())
from bridge.cli import main
main()
"""
    status, out, error = run("-c", finder)
    assert (status, out, error.count("\n")) == (2, "", 1)
    assert error.startswith(f"Error: the command line needs {missing}, which is not installed; ")
    assert error.endswith("pip install 'wsgi-asgi-bridge[serve]'\n")


def test_importing_bridge_imports_nothing_optional() -> None:
    """Only the command line needs the extra, and it imports no server."""
    optional = "{'click', 'rich', 'uvicorn', 'flask', 'wsproto', 'httpx'}"
    code = f"import sys, bridge, bridge.cli; print(sorted({optional} & set(sys.modules)))"
    assert run("-c", code) == (0, "[]\n", "")
    code = "import sys, bridge.cli.commands; print(sorted({'uvicorn', 'httpx', 'hypercorn'} & set(sys.modules)))"
    assert run("-c", code) == (0, "[]\n", "")


# -- what is handed over ----------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("web")
def test_options_reach_the_server(become: Become, tmp_path: Path) -> None:
    """With what to serve in the environment, and no directory to watch but the current one."""
    mounts = ["--mount", "/a=api:app", "--mount", "/b=api.py"]
    result = invoke("web:app", *mounts, "--bind", "[::1]:0", "--workers", "2", "--threads", "3", "--reload", "--", "-x")
    assert (result.exit_code, result.stdout) == (0, "")
    assert become.command == [
        *("-m", "uvicorn", "--interface=asgi3", "--host=::1", "--port=0", "--workers=2", "--reload"),
        *(servers.TARGET, "-x"),
    ]
    assert become.description == Description([("", "web:app"), ("/a", "api:app"), ("/b", "api.py")], "asgi", 3)
    assert become.directory == str(tmp_path)
    assert result.stderr.splitlines() == [
        "/   web:app  WSGI",
        "/a  api:app  ASGI",
        "/b  api.py   ASGI",
        f"$ python {shlex.join(become.command)}",
    ]


def test_a_file_elsewhere_is_watched(become: Become, write_module: WriteModule, tmp_path: Path) -> None:
    """Besides the current directory."""
    write_module("here/web.py", WSGI)
    write_module("there/api.py", ASGI)
    os.chdir("here")
    invoke("web:app", "--mount", "/a=../there/api.py", "--bind", "127.0.0.1:0", "--reload")
    watched = [option for option in become.command if "reload-dir" in option]
    assert watched == [f"--reload-dir={tmp_path}/{name}" for name in ("here", "there")]


def test_nothing_that_an_application_has_changed_is_handed_over(
    become: Become, write_module: WriteModule, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It is imported once more, in the process that serves it, and shall find things as the user has left them."""
    monkeypatch.setenv("CHANGED", "before")
    changes = "import os\nos.environ['CHANGED'] = 'after'\nos.environ['ADDED'] = 'too'\nos.chdir('/')"
    write_module("web.py", f"{changes}\n{WSGI}")
    try:
        assert invoke("web:app", "--bind", "127.0.0.1:0").exit_code == 0
    finally:
        os.environ.pop("ADDED", None)
    assert (become.environment["CHANGED"], "ADDED" in become.environment) == ("before", False)
    assert become.directory == str(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        pytest.param(["api:app", "--threads", "2"], ["--threads has no effect on Uvicorn"], id="ASGI with threads"),
        pytest.param(["api:app"], [], id="ASGI"),
        pytest.param(["web:app", "--threads", "2"], [], id="WSGI with threads"),
        pytest.param(["api:app", "--mount", "/w=web:app", "--threads", "2"], [], id="WSGI mounted"),
        pytest.param(["api:app", "--server", "waitress", "--threads", "2"], [], id="a server with threads"),
    ],
)
@pytest.mark.usefixtures("web")
def test_threads_without_effect_are_told(become: Become, arguments: list[str], said: list[str]) -> None:
    """An ASGI application has no worker threads: one line says so, and it is served all the same."""
    result = invoke(*arguments, "--bind", "127.0.0.1:0")
    lines = [line.partition(":")[0] for line in result.stderr.splitlines() if line.startswith("--")]
    assert (lines, result.exit_code, bool(become.command)) == (said, 0, True)


@pytest.fixture
def served_afresh() -> Iterator[None]:
    """The module that servers import, as in a new process."""
    sys.modules.pop("bridge.cli.served", None)
    yield
    sys.modules.pop("bridge.cli.served", None)


@pytest.mark.usefixtures("web", "served_afresh")
def test_the_server_imports_what_was_described(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ASGI application on an ASGI server is itself."""
    description = Description([("", "api:app")], "asgi", 40)
    monkeypatch.setenv(VARIABLE, description.to_json())
    assert described() == description
    app: Any = importlib.import_module("bridge.cli.served").app
    assert app is sys.modules["api"].app


@pytest.mark.parametrize(("source", "error"), [("def broken(:", "SyntaxError"), ("ap = 1", "LoadError")])
@pytest.mark.usefixtures("served_afresh")
def test_a_mistake_of_a_later_edit_is_what_the_server_sees(
    write_module: WriteModule, monkeypatch: pytest.MonkeyPatch, source: str, error: str
) -> None:
    """Gunicorn waits for the correction of a SyntaxError."""
    write_module("web.py", source)
    monkeypatch.setenv(VARIABLE, Description([("", "web:app")], "asgi", 40).to_json())
    with pytest.raises(Exception, match=r"invalid syntax|no attribute 'app'") as caught:
        importlib.import_module("bridge.cli.served")
    assert type(caught.value).__name__ == error


# -- help -------------------------------------------------------------------------------------------------------------


def test_help_has_every_option_in_a_group_and_every_server() -> None:
    """With what the options mean, not only their names."""
    text = CliRunner().invoke(bridge, ["serve", "--help"], env={"COLUMNS": "200"}).stdout
    groups = re.findall(r"╭─ ([\w ]+) ─", text)
    assert groups == ["What to serve", "How to serve it", "While you develop", "Options"]
    own_group = text.partition("╭─ Options")[0]
    for parameter in serve.params:
        assert any(f" {option} " in own_group or option == "app" for option in parameter.opts)
    assert all(name in text for name in servers.SERVERS)
    assert "_BRIDGE_COMPLETE=bash_source" in text


def test_help_without_a_command_is_shown() -> None:
    """Who types ``bridge`` sees which commands there are."""
    result = CliRunner().invoke(bridge, [])
    assert "serve" in result.output
    assert "Error" not in result.output


@pytest.mark.parametrize("example", re.findall(r"^  bridge (serve .*)$", serve.epilog or "", re.MULTILINE))
def test_examples_of_the_help_are_right(example: str) -> None:
    """click takes each of them."""
    arguments = shlex.split(example)[1:]
    context = serve.make_context("serve", list(arguments))
    assert context.params["app"] == arguments[0]


def test_version_is_the_package_version() -> None:
    """``bridge --version`` prints what ``bridge.__version__`` holds."""
    assert CliRunner().invoke(bridge, ["--version"]).output.split()[-1] == __version__

"""What DESIGN.md and EXAMPLES.md claim about the package as a whole."""

import ast
import builtins
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import bridge
from bridge import errors

PACKAGE = Path(bridge.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

EXCEPTIONS = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, BaseException)]

# EXAMPLES.md, 1: the files of a crossing. Loops and threads of the direction ASGI -> WSGI have several.
CROSSINGS = {"exchange.py", "loop_thread.py", "workers.py", "loops.py"} | {
    "crew.py",
    "gate.py",
    "green.py",
    "left_overs.py",
    "loop_threads.py",
    "process.py",
    "read_ahead.py",
    "request_loops.py",
    "websocket_gevent.py",
    "websocket_lazy.py",
    "websocket_link.py",
    "websocket_tasks.py",
}
# What calls applications in both interfaces has both kinds of threads, and a2wsgi's loop is its caller's.
CROSSINGS |= {"compat/a2wsgi.py", "mount/cascade/recording.py"} | {
    f"cli/check/{name}.py" for name in ("asgi_caller", "event_loop", "helper_thread", "probes", "suspects")
}


def name_in_package(path: Path) -> str:
    """A module's path as DESIGN.md writes it."""
    return path.relative_to(PACKAGE).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    """The top-level names that a module imports, at its top or in a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def without_annotations_only(tree: ast.Module) -> ast.Module:
    """The module without its ``if TYPE_CHECKING:`` block, which never runs."""
    tree.body = [
        node
        for node in tree.body
        if not (isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING")
    ]
    return tree


@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: error.__name__)
def test_every_error_is_a_bridge_error(error: type[BaseException]) -> None:
    """One except clause catches all that the package raises."""
    assert issubclass(error, errors.BridgeError)


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ClientDisconnected, OSError),
        (errors.NoEventLoop, RuntimeError),
        (errors.ConfigurationError, ValueError),
    ],
)
def test_error_is_what_python_code_expects(error: type[errors.BridgeError], builtin: type[Exception]) -> None:
    """Code that knows nothing of bridge catches a failed read as OSError, a bad option as ValueError."""
    assert issubclass(error, builtin)


@pytest.mark.parametrize(
    ("refusal", "status"), [(errors.BadRequest, 400), (errors.ContentTooLarge, 413), (errors.Overloaded, 503)]
)
def test_refusal_carries_the_status_it_is_answered_with(refusal: type[errors.RequestRefused], status: int) -> None:
    """RFC 9110, 15.5.1, 15.5.12, 15.5.14 and 15.6.4."""
    assert refusal("why").status == status


def test_overload_tells_the_client_when_to_come_back() -> None:
    """RFC 9110, 10.2.3: Retry-After is a number of seconds."""
    assert [(name, value.isdigit()) for name, value in errors.Overloaded("busy").headers] == [(b"retry-after", True)]


def test_every_public_exception_class_is_in_errors() -> None:
    """DESIGN.md, "Layout". LoopClosed is the one that never leaves the package."""
    raisable = {error.__name__ for error in EXCEPTIONS} | {name for name in vars(builtins) if name.endswith("Error")}
    elsewhere = {
        node.name
        for path in MODULES
        if path.name != "errors.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
        if {ast.unparse(base).rpartition(".")[2] for base in node.bases} & {*raisable, "Exception", "BaseException"}
    }

    assert elsewhere == {"LoopClosed"}


def test_public_errors_are_those_of_the_errors_module() -> None:
    """``bridge.ClientDisconnected`` and ``bridge.errors.ClientDisconnected`` are one class."""
    public = [name for name in bridge.__all__ if hasattr(errors, name)]

    assert {"ApplicationError", "BridgeError", "ClientDisconnected", "ServerError"} <= set(public)
    assert all(getattr(bridge, name) is getattr(errors, name) for name in public)


def test_bridge_holds_the_public_names_and_nothing_else() -> None:
    """DESIGN.md, "Layout"; each of them where the type checkers are told that it is."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    homes = {
        alias.name: str(node.module)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert sorted(homes) == sorted(bridge.__all__)
    assert all(getattr(bridge, name) is getattr(import_module(home), name) for name, home in homes.items())
    with pytest.raises(AttributeError, match="nothing"):
        bridge.nothing  # noqa: B018


def test_one_direction_does_not_import_the_other() -> None:
    """Who serves Flask on Uvicorn does not pay for event loops behind Gunicorn."""
    script = (
        "import sys, bridge; getattr(bridge, sys.argv[1]);"
        "print(*sorted({name.split('.')[1] for name in sys.modules if name.startswith('bridge.')}))"
    )
    for name, other in (("WsgiToAsgi", "asgi_to_wsgi"), ("AsgiToWsgi", "wsgi_to_asgi")):
        shown = subprocess.run(
            [sys.executable, "-c", script, name],
            cwd=PACKAGE.parent,
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
        assert other not in shown.stdout.split()


def test_importing_bridge_imports_the_standard_library_only() -> None:
    """DESIGN.md, "Dependencies": no server, no framework, no optional package; anyio and asgiref on first use."""
    script = (
        "import sys; before = set(sys.modules); import bridge;"
        "names = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(*sorted(names - sys.stdlib_module_names))"
    )
    shown = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )

    assert shown.stdout.split() == ["bridge"]


@pytest.mark.parametrize("path", MODULES, ids=name_in_package)
def test_module_opens_with_one_line(path: Path) -> None:
    """EXAMPLES.md, 1: "what it is and what it must not know"."""
    docstring = ast.get_docstring(ast.parse(path.read_text()), clean=False)

    assert docstring is not None
    assert docstring.strip()
    assert "\n" not in docstring


def test_only_crossings_import_threading_or_asyncio() -> None:
    """EXAMPLES.md, 1: translation and order are pure, everything else leaves threads and loops to a crossing."""
    crossing = {
        name_in_package(path)
        for path in MODULES
        if {"threading", "asyncio"} & set(imported(without_annotations_only(ast.parse(path.read_text()))))
    }

    assert {name for name in crossing if not {name, name.rpartition("/")[2]} & CROSSINGS} == set()


@pytest.mark.parametrize("path", MODULES, ids=name_in_package)
def test_bridge_does_not_know_what_checks_it(path: Path) -> None:
    """DESIGN.md, "Layout": compat_matrix imports bridge and is never imported by it; nor are tests, nor peers."""
    assert not {"compat_matrix", "benchmarks", "tests", "a2wsgi"} & set(imported(ast.parse(path.read_text())))


def test_nothing_sleeps() -> None:
    """DESIGN.md, "Rules": no polling and no sleeping; EXAMPLES.md, 6: sleep is allowed only with zero."""
    sleeps = [
        f"{path}:{call.lineno}"
        for path in [*MODULES, *Path(__file__).parent.rglob("*.py")]
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and getattr(call.func, "attr", getattr(call.func, "id", "")) == "sleep"
        and ast.unparse(call) != f"{ast.unparse(call.func)}(0)"
    ]

    assert sleeps == []

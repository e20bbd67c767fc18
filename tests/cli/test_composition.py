"""APP and its mounts as one application: what is wrapped, what is not, and what threads they share."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from bridge import AsgiToWsgi, WsgiToAsgi
from bridge.cli.composition import Description, Part, compose, load_part
from bridge.errors import ConfigurationError, LoadError
from bridge.interface import Interface, interface_of
from bridge.mount import Dispatcher
from tests.cli.serving import PATIENCE
from tests.cli.sources import ASGI, ASGI_2, WSGI

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from tests.cli.conftest import WriteModule

SOURCES = {"wsgi": WSGI, "asgi": ASGI, "asgi2": ASGI_2}


@pytest.fixture
def parts(write_module: WriteModule) -> dict[str, Part]:
    """An application of each interface."""
    for name, source in SOURCES.items():
        write_module(f"{name}_web.py", source)
    return {name: load_part("" if name == "wsgi" else f"/{name}", f"{name}_web:app") for name in SOURCES}


def test_the_interface_is_found_out(parts: dict[str, Part]) -> None:
    assert [part.kind for part in parts.values()] == ["WSGI", "ASGI", "ASGI 2"]


@pytest.mark.parametrize(
    ("name", "server", "made"),
    [
        ("wsgi", "wsgi", None),
        ("asgi", "asgi", None),
        ("wsgi", "asgi", WsgiToAsgi),
        ("asgi", "wsgi", AsgiToWsgi),
        ("asgi2", "wsgi", AsgiToWsgi),
    ],
)
def test_one_application_is_wrapped_only_where_it_must_be(
    parts: dict[str, Part], name: str, server: Literal["asgi", "wsgi"], made: type[object] | None
) -> None:
    """On a server of its own interface it is served as it is."""
    application = compose([parts[name]], server, 40)
    assert application is parts[name].application if made is None else type(application) is made


def test_an_application_of_asgi_2_is_made_one_of_asgi_3(parts: dict[str, Part]) -> None:
    """Servers no longer call the older kind."""
    assert interface_of(compose([parts["asgi2"]], "asgi", 40)) is Interface.ASGI3


@pytest.mark.parametrize(("server", "made"), [("asgi", Dispatcher), ("wsgi", AsgiToWsgi)])
def test_several_are_dispatched(parts: dict[str, Part], server: Literal["asgi", "wsgi"], made: type[object]) -> None:
    assert type(compose(list(parts.values()), server, 40)) is made


@pytest.mark.parametrize("threads", [1, 2])
def test_wsgi_applications_share_their_worker_threads(write_module: WriteModule, threads: int) -> None:
    """``--threads 2`` runs two requests at once, of whatever applications, and never more."""
    write_module("together.py", f"import threading\nall_threads = threading.Barrier({threads})")
    source = f"""
import threading
from together import all_threads
def app(environ, start_response):
    all_threads.wait({PATIENCE})
    start_response("200 OK", [])
    return [str(threading.get_ident()).encode()]
"""
    write_module("one.py", source)
    write_module("two.py", source)
    application: Any = compose([load_part("", "one:app"), load_part("/two", "two:app")], "asgi", threads)
    assert len(set(asyncio.run(bodies(application, ["/", "/two", "/", "/two"])))) == threads


async def bodies(app: Any, paths: Sequence[str]) -> list[bytes]:
    async def body(path: str) -> bytes:
        chunks: list[bytes] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            chunks.append(message.get("body", b""))

        scope = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET"}
        await app(scope | {"path": path, "query_string": b"", "headers": []}, receive, send)
        return b"".join(chunks)

    return await asyncio.gather(*(body(path) for path in paths))


@pytest.mark.parametrize("prefixes", [["legacy"], ["/"], ["/a%20b"], ["/a", "/a"], ["/a", "/a/"]])
def test_a_bad_prefix_is_refused(parts: dict[str, Part], prefixes: list[str]) -> None:
    """One that is no path, and one that is there twice."""
    mounts = [Part(prefix, "asgi_web:app", parts["asgi"].application, "ASGI") for prefix in prefixes]
    with pytest.raises(ConfigurationError, match=r"a prefix is a path|two applications are mounted"):
        compose([parts["wsgi"], *mounts], "asgi", 40)


def test_a_factory_that_is_not_called_is_named(write_module: WriteModule) -> None:
    """The user sees what to write."""
    write_module("web.py", "def create(): ...")
    with pytest.raises(
        LoadError, match=r"like an application factory; call it, on the command line as MODULE:FACTORY\(\)"
    ):
        load_part("", "web:create")


def test_an_address_is_an_upstream() -> None:
    """What is neither WSGI nor ASGI is passed on to."""
    pytest.importorskip("httpcore", reason="Upstream needs httpcore: the extra upstream")
    part = load_part("/old", "http://127.0.0.1:9000")
    assert (part.kind, interface_of(part.application)) == ("HTTP", Interface.ASGI3)


def test_a_description_survives_its_text() -> None:
    """Another process reads what this one has written."""
    description = Description([("", "web:app"), ("/é", "a b.py")], "wsgi", 3)
    assert Description.from_json(description.to_json()) == description

"""Applications side by side: who is chosen, what it is told, and that all of them are started and shut down."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import anyio
import anyio.lowlevel
import httpx
import pytest
from flask import Flask, redirect, request, url_for
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse
from starlette.routing import Route

from bridge import ConfigurationError, WsgiToAsgi
from bridge.mount import Dispatcher, as_asgi
from tests.asgi import TIMEOUT, Message, Receive, Scope, Send, http_scope


class Seen:
    """An application that notes the scopes it gets."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            raise ValueError("no lifespan here")
        self.scopes.append(scope)


async def never(*message: Any) -> Any:
    raise AssertionError("nothing is to be sent or received")


# -- who is chosen ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("path", "chosen"),
    [
        ("/", "default"),
        ("/app", "/app"),
        ("/app/", "/app"),
        ("/app/x", "/app"),
        ("/apple", "default"),
        ("/app/deep", "/app/deep"),
        ("/app/deep/x", "/app/deep"),
        ("/app/deeper", "/app"),
        ("/x/app", "default"),
        ("", "default"),
        ("*", "default"),
        ("/café/x", "/café"),
    ],
)
async def test_longest_prefix_of_whole_segments_is_chosen(kind: str, path: str, chosen: str) -> None:
    """RFC 3986, 3.3: /app is no part of /apple."""
    applications = {name: Seen() for name in ("default", "/app", "/app/deep", "/café")}
    default, *rest = applications.items()

    await Dispatcher(default[1], dict(rest))({**http_scope(path=path), "type": kind}, never, never)

    assert [name for name, application in applications.items() if application.scopes] == [chosen]


@pytest.mark.parametrize(
    ("root_path", "path", "raw_path", "expected"),
    [
        pytest.param("", "/app/x", b"/app/x", ("/app", "/app/x", b"/app/x"), id="not mounted"),
        pytest.param("/r", "/r/app/x", b"/r/app/x", ("/r/app", "/r/app/x", b"/r/app/x"), id="mount in path"),
        pytest.param("/r", "/app/x", b"/app/x", ("/r/app", "/r/app/x", b"/r/app/x"), id="mount not in path"),
        pytest.param("/r/", "/app", b"/app", ("/r/app", "/r/app", b"/r/app"), id="slash at the end of the mount"),
        pytest.param("/é", "/app", b"/app", ("/é/app", "/é/app", b"/%C3%A9/app"), id="mount to be quoted"),
        pytest.param("/r", "/app", None, ("/r/app", "/r/app", None), id="no raw_path"),
    ],
)
async def test_mount_is_in_root_path_and_in_path(
    root_path: str, path: str, raw_path: bytes | None, expected: tuple[str, str, bytes | None]
) -> None:
    """ASGI HTTP specification: root_path is a prefix of path. Servers differ, applications need not know."""
    application = Seen()
    scope = http_scope(path=path, root_path=root_path)
    scope["raw_path"] = raw_path
    before = dict(scope)

    await Dispatcher(Seen(), {"/app": application})(scope, never, never)

    (got,) = application.scopes
    assert (got["root_path"], got["path"], got["raw_path"]) == expected
    assert scope == before  # the server's own is left alone


@pytest.mark.parametrize(
    ("path", "raw_path", "server_mount", "expected"),
    [
        pytest.param("/app/x", b"/r/app/x", "", ("/r/app", "/r/app/x", b"/r/app/x"), id="cut from path only"),
        pytest.param("/app/\ufffd", b"/r/app/%FF", "", ("/r/app", "/r/app/\ufffd", b"/r/app/%FF"), id="cut, not UTF-8"),
        pytest.param("/r/app/x", b"/r/r/app/x", "", None, id="cut, and path begins like the mount"),
        pytest.param("/r/app/x", b"/r/app/x", "/s", ("/s/r/app", "/s/r/app/x", b"/s/r/app/x"), id="server's left out"),
    ],
)
async def test_mount_of_a_framework_around_the_dispatcher(
    path: str, raw_path: bytes, server_mount: str, expected: tuple[str, str, bytes] | None
) -> None:
    """Starlette before 0.33 cut a mount from path only; later, app_root_path is what of it is the server's."""
    application, default = Seen(), Seen()
    scope = http_scope(path=path, raw_path=raw_path, root_path=f"{server_mount}/r", app_root_path=server_mount)

    await Dispatcher(default, {"/app": application})(scope, never, never)

    got = [(seen["root_path"], seen["path"], seen["raw_path"]) for seen in application.scopes]
    assert got == ([expected] if expected else [])
    assert len(default.scopes) == (0 if expected else 1)


@pytest.mark.parametrize(
    ("root_path", "path", "raw_path", "expected"),
    [
        pytest.param("", "http://h:81/app/x", b"http://h:81/app/%78", ("/app", "/app/x", b"/app/%78"), id="absolute"),
        pytest.param("", "http://u@h:81/app", b"http://u@h:81/app", ("/app", "/app", b"/app"), id="with a user"),
        pytest.param("", "http://h:81/app/x", None, ("/app", "/app/x", None), id="no raw_path"),
        pytest.param("", "http://h:81/app/x", b"/app/x", ("/app", "/app/x", None), id="another raw_path"),
        pytest.param("/r", "/rhttp://h:81/app/x", b"http://h:81/app/x", ("/r/app", "/r/app/x", b"/r/app/x"), id="root"),
    ],
)
async def test_target_in_absolute_form_goes_where_its_path_leads(
    root_path: str, path: str, raw_path: bytes | None, expected: tuple[str, str, bytes | None]
) -> None:
    """RFC 9112, 3.2.2: with its Host. A default that serves the path too must not be asked past the mount."""
    application = Seen()
    scope = http_scope(path=path, root_path=root_path, headers=[(b"x-a", b"1")])
    scope["raw_path"] = raw_path
    before = dict(scope)

    await Dispatcher(Seen(), {"/app": application})(scope, never, never)

    (got,) = application.scopes
    assert (got["root_path"], got["path"], got["raw_path"]) == expected
    assert got["headers"] == [(b"host", b"h:81"), (b"x-a", b"1")]
    assert scope == before


@pytest.mark.parametrize("path", ["/x?http://h/app", "/http://h/app", "*", "://h/app", "http://"])
async def test_target_of_no_absolute_form_is_the_defaults(path: str) -> None:
    """As it is."""
    application = Seen()
    scope = http_scope(path=path)

    await Dispatcher(application, {"/app": Seen()})(scope, never, never)

    assert application.scopes == [scope]


async def test_default_gets_the_scope_as_it_is() -> None:
    """Nothing is mounted there."""
    application = Seen()
    scope = http_scope(path="/x", root_path="/r")

    await Dispatcher(application, {"/app": Seen()})(scope, never, never)

    assert application.scopes == [scope]


@pytest.mark.parametrize("prefix", ["", "/", "app", "//", "/a//b", "/a?b", "/a#b", "/a%20b"])
def test_prefix_that_is_none_is_refused(prefix: str) -> None:
    """It would never match, or match another path than is meant."""
    with pytest.raises(ConfigurationError, match="a prefix is a path"):
        Dispatcher(Seen(), {prefix: Seen()})


def test_prefix_is_given_once() -> None:
    """With and without a slash at the end it is the same."""
    with pytest.raises(ConfigurationError, match="two applications are mounted at '/app'"):
        Dispatcher(Seen(), {"/app": Seen(), "/app/": Seen()})


# -- frameworks ---------------------------------------------------------------------------------------------------


def flask_app() -> Flask:
    app = Flask("mounted")

    @app.get("/")
    def index() -> Any:
        return f"{request.script_root} {request.path} {url_for('other')}"

    @app.get("/other")
    def other() -> Any:
        return redirect(url_for("index"))

    return app


def starlette_app() -> Starlette:
    async def index(request: Request) -> PlainTextResponse:
        return PlainTextResponse(f"{request.scope['root_path']} {request.url_for('other').path}")

    async def other(request: Request) -> RedirectResponse:
        return RedirectResponse(request.url_for("index"))

    return Starlette(routes=[Route("/", index, name="index"), Route("/other", other, name="other")])


@pytest.mark.parametrize("root_path", ["", "/outer"])
async def test_urls_of_mounted_applications_have_the_mount(root_path: str) -> None:
    """Both interfaces, below a mount of the dispatcher's own too."""
    dispatcher = Dispatcher(starlette_app(), {"/flask": flask_app(), "/star": starlette_app()})
    transport = httpx.ASGITransport(dispatcher, root_path=root_path)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        flask = await client.get(f"{root_path}/flask/")
        flask_other = await client.get(f"{root_path}/flask/other")
        star = await client.get(f"{root_path}/star/")
        star_other = await client.get(f"{root_path}/star/other")
        default = await client.get(f"{root_path}/")

    assert flask.text == f"{root_path}/flask / {root_path}/flask/other"
    assert flask_other.headers["location"] == f"{root_path}/flask/"
    assert star.text == f"{root_path}/star {root_path}/star/other"
    assert star_other.headers["location"] == f"http://test{root_path}/star/"
    assert default.text == f"{root_path} {root_path}/other"


# -- lifespans ----------------------------------------------------------------------------------------------------

LOG: list[str] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    LOG.clear()


def living(name: str, *, fails: str = "", raises: str = "") -> Callable[..., Any]:
    """Make an application that notes its lifespan, and puts its name into its state."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "lifespan":
            LOG.append(f"{name} sees {sorted(scope['state'].items())}")
            return
        for step in ("startup", "shutdown"):
            assert (await receive())["type"] == f"lifespan.{step}"
            LOG.append(f"{name} {step}")
            await anyio.lowlevel.checkpoint()
            if raises == step:
                raise RuntimeError(f"{name} is broken")
            if step == "startup":
                scope["state"].update({name: 1, "name": name})
            kind, rest = ("failed", {"message": f"{name} cannot"}) if fails == step else ("complete", {})
            await send({"type": f"lifespan.{step}.{kind}", **rest})

    return application


class Server:
    """A server's side of the lifespan."""

    def __init__(self, application: Any) -> None:
        self.state: dict[str, Any] = {"of the server": 0}
        self.said: list[Message] = []
        self._application = application
        self._asked = 0
        self._shutdown = anyio.Event()
        self._told = anyio.Event()

    async def receive(self) -> Message:
        self._asked += 1
        if self._asked == 1:
            return {"type": "lifespan.startup"}
        await self._shutdown.wait()
        return {"type": "lifespan.shutdown"}

    async def send(self, message: Message) -> None:
        self.said.append(message)
        self._told.set()

    async def live(self, *requests: str) -> list[Message]:
        """Start, make requests, shut down; return what was said."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": self.state}
        with anyio.fail_after(TIMEOUT):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._application, scope, self.receive, self.send)
                await self._told.wait()
                for path in requests:
                    await self._application(http_scope(path=path, state=dict(self.state)), never, never)
                self._shutdown.set()
        return self.said


async def test_every_application_is_started_and_shut_down() -> None:
    """In their order, and back. One without lifespan is left out."""
    dispatcher = Dispatcher(living("a"), {"/b": living("b"), "/none": Seen(), "/c": living("c")})

    said = await Server(dispatcher).live()

    assert said == [{"type": "lifespan.startup.complete"}, {"type": "lifespan.shutdown.complete"}]
    assert LOG == ["a startup", "b startup", "c startup", "c shutdown", "b shutdown", "a shutdown"]


async def test_application_that_is_mounted_twice_is_started_once() -> None:
    """It is one application."""
    app = living("a")

    await Server(Dispatcher(app, {"/b": app, "/c": living("c")})).live()

    assert LOG == ["a startup", "c startup", "c shutdown", "a shutdown"]


async def test_application_finds_its_own_state_first() -> None:
    """What another has put there under the same name does not hide it; what has another name is there."""
    dispatcher = Dispatcher(living("a"), {"/b": living("b")})

    await Server(dispatcher).live("/b", "/")

    everything = [("a", 1), ("b", 1), ("of the server", 0)]
    assert [line for line in LOG if "sees" in line] == [
        f"b sees {sorted([*everything, ('name', 'b')])}",
        f"a sees {sorted([*everything, ('name', 'a')])}",
    ]


async def test_wsgi_application_is_shut_down_too() -> None:
    """Its adapter answers the lifespan; afterwards its worker threads are gone."""
    adapter = as_asgi(flask_app())
    assert isinstance(adapter, WsgiToAsgi)

    said = await Server(Dispatcher(living("a"), {"/flask": adapter})).live()

    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert LOG == ["a startup", "a shutdown"]


async def test_startup_that_fails_ends_the_others() -> None:
    """With its message, and with what started before shut down again; what comes after is not started."""
    dispatcher = Dispatcher(living("a"), {"/b": living("b", fails="startup"), "/c": living("c")})

    said = await Server(dispatcher).live()

    assert said == [{"type": "lifespan.startup.failed", "message": "the application at /b failed to start: b cannot"}]
    assert LOG == ["a startup", "b startup", "a shutdown"]


async def test_startup_that_raises_is_no_lifespan(caplog: pytest.LogCaptureFixture) -> None:
    """As on every server: whoever wants a failure says lifespan.startup.failed."""
    dispatcher = Dispatcher(living("a", raises="startup"), {"/b": living("b")})

    with caplog.at_level(logging.DEBUG, logger="bridge"):
        said = await Server(dispatcher).live()

    assert [message["type"] for message in said] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert "a is broken" in caplog.text
    assert LOG == ["a startup", "b startup", "b shutdown"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"fails": "shutdown"}, "failed to shut down: b cannot"), ({"raises": "shutdown"}, "b is broken")],
)
async def test_shutdown_that_fails_keeps_no_other_from_its_own(
    options: dict[str, str], reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The server is told which, and why."""
    dispatcher = Dispatcher(living("a"), {"/b": living("b", **options)})

    said = await Server(dispatcher).live()

    assert said[-1]["type"] == "lifespan.shutdown.failed"
    assert "the application at /b" in said[-1]["message"]
    assert reason in said[-1]["message"]
    assert LOG == ["a startup", "b startup", "b shutdown", "a shutdown"]


async def test_nothing_is_left_to_do_once_the_server_is_told() -> None:
    """Hypercorn cancels the lifespan when it hears that the shutdown is complete, and logs what that interrupts."""
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> Message:
        return messages.pop(0)

    async def goes_on(scope: Scope, receive: Receive, send: Send) -> None:
        await living("a")(scope, receive, send)
        await anyio.sleep_forever()

    with anyio.CancelScope() as server:

        async def send(message: Message) -> None:
            if message["type"] == "lifespan.shutdown.complete":
                server.cancel()

        await Dispatcher(goes_on, {})({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)

    assert not server.cancelled_caught


@pytest.mark.parametrize("side", ["receive", "send"])
async def test_error_of_the_server_leaves_as_it_is(side: str) -> None:
    """And takes those with it that have started."""

    async def receive() -> Message:
        if side == "receive":
            raise RuntimeError("of the server")
        return {"type": "lifespan.startup"}

    async def send(message: Message) -> None:
        raise RuntimeError("of the server")

    with pytest.raises(RuntimeError, match="of the server"):
        await Dispatcher(living("a"), {})({"type": "lifespan", "asgi": {"version": "3.0"}}, receive, send)


async def test_lifespan_may_run_again() -> None:
    """A test client starts the same object many times."""
    dispatcher = Dispatcher(living("a"), {"/b": living("b")})

    for _ in range(2):
        LOG.clear()
        await Server(dispatcher).live()
        assert LOG == ["a startup", "b startup", "b shutdown", "a shutdown"]

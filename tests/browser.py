"""Headless Chromium, driven through a pipe with its DevTools protocol: no driver, no port, no further package."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import time
from base64 import b64decode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

in_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed (Debian: apt install chromium)")

_TIMEOUT = 30.0  # seconds, for each answer of the browser
_OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--disable-extensions", "--hide-scrollbars", "--mute-audio", "--remote-debugging-pipe"),
    # A page that is left is gone: by default it is kept for a while, with its WebSockets open.
    "--disable-back-forward-cache",
)

_KEYS = {
    "Enter": ("Enter", 13, "\r"),
    "Space": (" ", 32, " "),
    "Tab": ("Tab", 9, ""),
    "Escape": ("Escape", 27, ""),
    "ArrowLeft": ("ArrowLeft", 37, ""),
    "ArrowUp": ("ArrowUp", 38, ""),
    "ArrowRight": ("ArrowRight", 39, ""),
    "ArrowDown": ("ArrowDown", 40, ""),
    "Home": ("Home", 36, ""),
    "End": ("End", 35, ""),
}


class Browser:
    """The process and its pipe. One thread."""

    def __init__(self, writer: int, reader: int) -> None:
        self._writer = writer
        self._reader = reader
        self._unread = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []
        """What the browser said without being asked, oldest first."""

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """Ask for something and wait for the answer.

        Raises:
            RuntimeError: the browser says that it cannot.
            TimeoutError: it says nothing.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        _write_all(self._writer, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read(method)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                result: dict[str, Any] = answer["result"]
                return result

    def wait_for(self, method: str, session: str, after: int) -> dict[str, Any]:
        """Wait for the next event of this kind; *after* is how many events there were before it could come."""
        seen = after
        while True:
            for event in self.events[seen:]:
                if event["method"] == method and event.get("sessionId") == session:
                    return event
            seen = len(self.events)
            self._read(method)

    def _read(self, what: str) -> dict[str, Any]:
        deadline = time.monotonic() + _TIMEOUT
        while b"\0" not in self._unread:
            ready, _, _ = select.select([self._reader], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"Chromium did not answer {what} within {_TIMEOUT:g} s")
            piece = os.read(self._reader, 1 << 20)
            if not piece:
                raise RuntimeError(f"Chromium ended before it answered {what}")
            self._unread += piece
        line, _, self._unread = self._unread.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "method" in message:
            self.events.append(message)
        return message

    @contextmanager
    def page(
        self, path: Path, *, width: int = 1280, height: int = 900, scheme: str = "light", reduced: bool = True
    ) -> Iterator[Page]:
        """Open a file in a new tab and wait until it is loaded.

        Args:
            path: of the file.
            width: CSS pixels.
            height: CSS pixels.
            scheme: ``light`` or ``dark``, the user's preference.
            reduced: whether the user prefers reduced motion.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.events.clear()
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log", "Network", "DOM", "Accessibility"):
            page.call(f"{domain}.enable")
        phone = width < 600
        page.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        motion = "reduce" if reduced else "no-preference"
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        page.call("Emulation.setEmulatedMedia", features=features)
        page.go(path.as_uri())
        try:
            yield page
        finally:
            self.call("Target.closeTarget", targetId=target)

    @contextmanager
    def site(self, url: str) -> Iterator[Page]:
        """Open a URL in a new tab and wait until it is loaded.

        The tab has cookies and connections of its own, and both end with the block: a server that is told to end waits
        for connections that are kept alive. Requests are not recorded, as each message of a WebSocket would be.

        Raises:
            RuntimeError: nobody serves it.
        """
        context = self.call("Target.createBrowserContext")["browserContextId"]
        try:
            target = self.call("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
            session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            page = Page(self, session)
            page.call("Page.enable")
            page.go(url)
            yield page
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Ask the tab for something."""
        return self._browser.call(method, self._session, **parameters)

    def go(self, url: str) -> None:
        """Leave for another page, and wait until it is loaded.

        Raises:
            RuntimeError: it cannot be had. An error page of a server is one like any other.
        """
        before = len(self._browser.events)
        answer = self.call("Page.navigate", url=url)
        if "errorText" in answer:
            raise RuntimeError(f"{url}: {answer['errorText']}")
        self._browser.wait_for("Page.loadEventFired", self._session, before)

    def run(self, script: str) -> Any:
        """Return what a script comes to; a promise is waited for.

        Raises:
            RuntimeError: it threw.
        """
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def ask(self, function: str, *arguments: object) -> Any:
        """Call a function of the page with these arguments, and return what it comes to, as ``run`` does."""
        return self.run(f"{function}({', '.join(json.dumps(argument) for argument in arguments)})")

    def click(self, selector: str) -> None:
        """Click the middle of an element with the mouse."""
        place = self.run(
            f"(() => {{ const one = document.querySelector({json.dumps(selector)});"
            "one.scrollIntoView({block: 'center', inline: 'center'});"
            "const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def press(self, *names: str) -> None:
        """Press and release keys."""
        for name in names:
            key, code, text = _KEYS[name]
            facts = {"key": key, "code": name, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
            self.call("Input.dispatchKeyEvent", type="keyUp", **facts)

    def type(self, text: str) -> None:
        """Put text in where the focus is."""
        self.call("Input.insertText", text=text)

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """Save what the window shows, or the whole page."""
        path.parent.mkdir(parents=True, exist_ok=True)
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(b64decode(answer["data"]))

    def said(self) -> list[str]:
        """Return what the page has written to the console, errors and violations of its policy included."""
        lines = []
        for event in self._browser.events:
            parameters = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                lines.append(str(parameters["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled":
                lines.append(str(parameters["args"]))
            elif event["method"] == "Log.entryAdded":
                lines.append(str(parameters["entry"]["text"]))
        return lines

    def requests(self) -> list[str]:
        """Return the URLs that were asked for."""
        return [
            event["params"]["request"]["url"]
            for event in self._browser.events
            if event["method"] == "Network.requestWillBeSent"
        ]


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start Chromium with a profile of its own, and end it with all its processes."""
    assert CHROMIUM is not None
    to_read, writer = os.pipe()
    reader, to_write = os.pipe()
    # The browser expects its ends at 3 and 4; copies above them cannot be in the way of each other.
    ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (to_read, to_write)]
    with (profile.parent / "chromium.log").open("wb") as log:
        pid = os.posix_spawn(
            CHROMIUM,
            [CHROMIUM, *_OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            _environment(profile),
            file_actions=[
                (os.POSIX_SPAWN_DUP2, ends[0], 3),
                (os.POSIX_SPAWN_DUP2, ends[1], 4),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 1),
                (os.POSIX_SPAWN_DUP2, log.fileno(), 2),
            ],
            setpgroup=0,
        )
    for end in (to_read, to_write, *ends):
        os.close(end)
    browser = Browser(writer, reader)
    try:
        yield browser
    finally:
        os.close(writer)
        os.close(reader)
        _end(pid)


def _environment(profile: Path) -> Mapping[str, str]:
    return {**os.environ, "HOME": str(profile), "XDG_CONFIG_HOME": str(profile), "XDG_CACHE_HOME": str(profile)}


def _end(pid: int) -> None:
    # Nothing of the profile is to be kept, so nothing is waited for. Its children are in its process group.
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    os.waitpid(pid, 0)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]

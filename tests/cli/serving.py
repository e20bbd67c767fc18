"""``bridge serve`` as a process of its own, with its servers and workers, until a test is done with it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

REPOSITORY = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(REPOSITORY)}
PATIENCE = 30.0  # seconds until a command that neither answers nor ends is killed

# Each of them says it when it listens, in words of its own.
_LISTENS = re.compile(
    r"(?:running on|Listening at:|Serving on|TCP address) (?:http://)?(127\.0\.0\.1:[1-9]\d*)", re.IGNORECASE
)


@dataclass
class Serving:
    """A command that serves."""

    url: str
    process: subprocess.Popen[str]
    said: list[str]
    changed: threading.Condition = field(default_factory=threading.Condition)

    def wait_until_said(self, words: str) -> bool:
        """Return whether a line with *words* comes, or has come, before it is too late."""
        with self.changed:
            return self.changed.wait_for(lambda: any(words in line for line in self.said), PATIENCE)

    def wait_until_it_accepts(self) -> None:
        """For Granian, which says that it listens before its workers do."""
        url, deadline = httpx.URL(self.url), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            try:
                socket.create_connection((url.host, url.port or 0), PATIENCE).close()
            except ConnectionRefusedError:
                # Nothing tells a client that a port is about to be listened on: at the next line, or after 10 ms.
                with self.changed:
                    self.changed.wait(0.01)
            else:
                return
        pytest.fail(f"it does not accept connections:\n{''.join(self.said)}")

    def read(self) -> None:
        """Take what the command says. A thread of its own: the command would wait for room in the pipe."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self.changed:
                self.said.append(line)
                self.changed.notify_all()


@contextmanager
def serving(*arguments: str, bind: str = "127.0.0.1:0") -> Iterator[Serving]:
    """Run ``python -m bridge serve`` on a free port in the current directory; gives it when it says that it listens."""
    with subprocess.Popen(
        [sys.executable, "-m", "bridge", "serve", *arguments[:1], "--bind", bind, *arguments[1:]],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        # Its end is the end of its output, so a silent server fails the test instead of blocking it.
        watchdog = threading.Timer(PATIENCE, end, [process])
        watchdog.start()
        reader = None
        try:
            running = until_it_listens(process)
            reader = threading.Thread(target=running.read)
            reader.start()
            running.wait_until_it_accepts()
            yield running
        finally:
            watchdog.cancel()
            watchdog.join()
            end(process)
            if reader is not None:
                reader.join()


def end(process: subprocess.Popen[str]) -> None:
    """Kill the command with its workers, which would outlive it."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def until_it_listens(process: subprocess.Popen[str]) -> Serving:
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if match := _LISTENS.search(line):
            return Serving(f"http://{match[1]}", process, said)
    pytest.fail(f"bridge serve ended before it listened:\n{''.join(said)}")


def free_address() -> str:
    """An address for a server that does not say which port it has taken."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def run(*command: str) -> tuple[int, str, str]:
    """Run Python to its end; gives its exit status, stdout and stderr."""
    ended = subprocess.run(
        [sys.executable, *command],
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr

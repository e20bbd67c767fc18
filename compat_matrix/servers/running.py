"""A server as a process: started, watched through its log, ended. Knows no server in particular."""

import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from compat_matrix.servers.recipe import Recipe

READY_TIMEOUT = 30.0  # seconds; a guess, for a cold import on a busy two-core machine
STOP_TIMEOUT = 10.0  # seconds from SIGTERM to SIGKILL
PORT_ATTEMPTS = 3  # a free port can be taken by someone else before the server binds it

# They would change what is measured and tested, and come from whoever runs the tests.
_NOT_INHERITED = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONWARNINGS", "PORT", "WEB_CONCURRENCY")

_PORT_TAKEN = re.compile(r"address already in use|in use: |EADDRINUSE", re.IGNORECASE)


class ServerFailedError(RuntimeError):
    """The server did not do what was waited for; the message holds its whole log."""


class RunningServer:
    """A server process in its own process group, and everything it has written."""

    host = "127.0.0.1"

    def __init__(self, recipe: Recipe, process: "subprocess.Popen[str]", port: int) -> None:
        self.recipe = recipe
        self.process = process
        self.port = port
        self.killed = False
        """It did not end by itself after the signal."""
        # Guards the two attributes below; the reader thread writes, anyone reads.
        self._changed = threading.Condition()
        self._lines: list[str] = []
        self._ended = False
        self._reader = threading.Thread(target=self._read, name=f"log of {recipe.name}", daemon=True)
        self._reader.start()

    @property
    def url(self) -> str:
        """The server's address, without a slash at its end."""
        return f"http://{self.host}:{self.port}"

    @property
    def ended(self) -> bool:
        """The process and all its children are gone."""
        with self._changed:
            return self._ended

    def log(self) -> str:
        """Everything the process and its children have written so far, standard error included."""
        with self._changed:
            return "".join(self._lines)

    def wait_for_log(self, pattern: "re.Pattern[str]", *, after: int = 0, timeout: float) -> None:
        """Wait until *pattern* is found in the log, from character *after* on.

        Args:
            pattern: searched, not matched.
            after: characters of the log to leave out, e.g. ``len(server.log())`` taken earlier.
            timeout: seconds.

        Raises:
            ServerFailedError: the process ended, or the time is over.
        """

        def found() -> bool:
            return pattern.search("".join(self._lines)[after:]) is not None

        with self._changed:
            self._changed.wait_for(lambda: found() or self._ended, timeout)
            if found():
                return
            reason = "ended" if self._ended else f"took more than {timeout:g} s"
        raise ServerFailedError(
            f"{self.recipe.name} {reason} before its log had {pattern.pattern!r}. "
            f"Command: {self.process.args!r}. Log:\n{self.log()}"
        )

    def wait_for_listener(self, timeout: float) -> None:
        """Wait until a connection is accepted; for servers that say too early that they listen.

        Raises:
            ServerFailedError: the process ended, or *timeout* seconds are over.
        """
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not self.ended:
            try:
                socket.create_connection((self.host, self.port), timeout).close()
            except ConnectionRefusedError:
                # Nothing can tell a client that a port is about to be listened on, so this
                # one wait looks again: at the next line of the log, or after 10 ms.
                with self._changed:
                    self._changed.wait(0.01)
            else:
                return
        raise ServerFailedError(f"{self.recipe.name} does not accept connections. Log:\n{self.log()}")

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal to the process (not to its children) and return at once."""
        if self.process.returncode is None:
            self.process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End the process and its children: the signal, and SIGKILL after ``STOP_TIMEOUT`` seconds.

        A kill is written to the log and sets ``killed``. May be called again.

        Returns:
            The exit status; negative for a signal.
        """
        self.terminate(number)
        with self._changed:
            # The end of the output means that every process of the group is gone, the
            # grandchildren too, which Popen.wait() could not tell (and it would poll).
            ended = self._changed.wait_for(lambda: self._ended, STOP_TIMEOUT)
        if not ended:
            self.killed = True
            # The process has not been waited for yet, so its group cannot be someone else's.
            os.killpg(self.process.pid, signal.SIGKILL)
            with self._changed:
                self._lines.append(f"(killed: did not end within {STOP_TIMEOUT:g} s of {number.name})\n")
        status = self.process.wait(STOP_TIMEOUT)
        self._reader.join(STOP_TIMEOUT)
        return status

    def _read(self) -> None:
        output = self.process.stdout
        if output is None:  # cannot be: start() asks for a pipe
            raise RuntimeError("the server process has no pipe for its output")
        with output:
            for line in output:
                with self._changed:
                    self._lines.append(line)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()


@contextmanager
def start(
    recipe: Recipe,
    target: str,
    *,
    directory: Path,
    env: Mapping[str, str] | None = None,
    extra: Sequence[str] = (),
) -> Iterator[RunningServer]:
    """Run a server on a free loopback port until the block ends.

    Args:
        recipe: which server.
        target: ``"module:attribute"`` of the application.
        directory: the working directory; first on the import path of the process.
        env: environment variables on top of the inherited ones. asyncio's debug mode and
            warning filters are not inherited, so they are off unless given here.
        extra: more options of the server, put before the target and the option that takes it.

    Raises:
        ServerFailedError: the server ended or was not ready after ``READY_TIMEOUT`` seconds.
    """
    for attempts_left in reversed(range(PORT_ATTEMPTS)):
        server = _launch(recipe, target, directory, env or {}, extra)
        try:
            try:
                server.wait_for_log(recipe.ready, timeout=READY_TIMEOUT)
                if recipe.listens_late:
                    server.wait_for_listener(READY_TIMEOUT)
            except ServerFailedError:
                if attempts_left and _PORT_TAKEN.search(server.log()):
                    continue
                raise
            yield server
            return
        finally:
            server.stop()


def _launch(
    recipe: Recipe, target: str, directory: Path, env: Mapping[str, str], extra: Sequence[str]
) -> RunningServer:
    port = _free_port()
    *options, last = recipe.command(target, port)
    if recipe.target_option is not None:
        extra = (*extra, recipe.target_option)
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    environment.update(env)
    environment["PYTHONUNBUFFERED"] = "1"
    environment["PYTHONPATH"] = os.pathsep.join(
        path for path in (str(directory), environment.get("PYTHONPATH")) if path
    )
    process = subprocess.Popen(
        [*options, *extra, last],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="backslashreplace",
        # A group of its own: Ctrl-C in the terminal must not reach it before stop() does,
        # and stop() can end its children with it.
        start_new_session=True,
    )
    return RunningServer(recipe, process, port)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((RunningServer.host, 0))
        port: int = probe.getsockname()[1]
        return port

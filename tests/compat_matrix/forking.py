"""Server processes forked from one that has imported what they need: to import it takes longer than to be tested.

``python -m tests.compat_matrix.forking FD MODULE...`` imports the modules, and forks whenever the socket FD says so.
Knows no server: what a fork runs is a command line ``python -m ...``, as compat_matrix.servers has them.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_REQUEST = 262_144  # bytes: a command line and the environment variables
_TIMEOUT = 30.0  # seconds, for the imports on a busy machine


# -- the tests' side --------------------------------------------------------------------------------------------------


class Forked:
    """A forked process, with what ``subprocess.Popen`` has that compat_matrix.servers.running asks for."""

    returncode: int | None = None

    def __init__(self, template: Template, args: list[str], env: Mapping[str, str]) -> None:
        reading, writing = os.pipe()
        self._template = template
        self.args = args
        self.stdout = open(reading, encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 (its reader closes it)
        try:
            self.pid = template.ask({"args": args, "env": dict(env)}, [writing], _TIMEOUT)
        finally:
            os.close(writing)

    def send_signal(self, number: signal.Signals) -> None:
        """Kill the process and its children, whatever the signal: how a server stops is not what is tested with it."""
        # Its number is nobody else's before wait() has been called.
        os.killpg(self.pid, signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(self._template.ask({"wait": self.pid}, [], timeout))
        return self.returncode


class Template:
    """The process that is forked. It stands in for the module ``subprocess`` in compat_matrix.servers.running."""

    DEVNULL, PIPE, STDOUT = subprocess.DEVNULL, subprocess.PIPE, subprocess.STDOUT

    def __init__(self, line: socket.socket) -> None:
        self._line = line

    def Popen(self, args: list[str], *, env: Mapping[str, str], **same: Any) -> Forked:  # noqa: N802
        """Fork a process: in the template's directory, without input, a group of its own, its output in a pipe."""
        return Forked(self, args, env)

    def ask(self, request: Mapping[str, Any], descriptors: Sequence[int], timeout: float) -> int:
        """Return the answer to one request.

        Raises:
            TimeoutError: none came within *timeout* seconds.
        """
        self._line.settimeout(timeout)
        socket.send_fds(self._line, [json.dumps(request).encode()], descriptors)
        return int(self._line.recv(_REQUEST))


@contextmanager
def template(modules: Iterable[str]) -> Iterator[Template]:
    """Import *modules* in a process, which ends with the block."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        with its:
            process = subprocess.Popen(
                # -E: variables like PYTHONWARNINGS and PYTHONASYNCIODEBUG are for the tests, not for servers.
                [sys.executable, "-E", "-u", "-m", "tests.compat_matrix.forking", str(its.fileno()), *modules],
                cwd=_ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[its.fileno()],
                start_new_session=True,
            )
        try:
            yield Template(ours)
        finally:
            ours.close()  # which it hears
            try:
                process.wait(_TIMEOUT)
            finally:
                process.kill()


# -- the side of the process that is forked ---------------------------------------------------------------------------


def _forks(line: socket.socket) -> list[str] | None:
    """Fork whenever *line* says so. Return the command line in each fork, and None here when *line* has ended."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(line, _REQUEST, 1)
        if not data:
            return None
        request = json.loads(data)
        if "wait" in request:
            answer = os.waitpid(request["wait"], 0)[1]
        elif answer := os.fork():
            # Here as well as there: whoever hears of the process may address its group.
            os.setpgid(answer, answer)
        else:
            os.setpgid(0, 0)
            for number in (1, 2):
                os.dup2(descriptors[0], number)
            os.close(descriptors[0])
            os.environ.clear()
            os.environ.update(request["env"])
            args: list[str] = request["args"]
            return args
        for descriptor in descriptors:
            os.close(descriptor)
        line.send(str(answer).encode())


def _main(line: socket.socket, modules: list[str]) -> None:
    with closing(line):
        for module in modules:
            import_module(module)
        if threading.active_count() > 1:
            raise RuntimeError(f"a process with threads cannot be forked, and has {threading.enumerate()}")
        args = _forks(line)
    if args is not None:
        _, option, name, *sys.argv[1:] = args
        if option != "-m":
            raise ValueError(f"a fork runs 'python -m MODULE ...', not {args}")
        runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2:])

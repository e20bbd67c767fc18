"""Threads, signals and event loops as they are, and in a process that gevent or eventlet has patched."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_TIMEOUT = 30.0  # seconds; a check gives up by itself before


def _library(name: str) -> object:
    missing = name != "none" and find_spec(name) is None
    return pytest.param(name, marks=pytest.mark.skipif(missing, reason=f"{name} is not installed"))


libraries = pytest.mark.parametrize("library", [_library(name) for name in ("none", "gevent", "eventlet")])


def run_check(check: str, library: str, order: str = "early") -> None:
    """Run one function of green_checks.py, which has to pass, say nothing and leave."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", Path(__file__).with_name("green_checks.py"), library, order, check],
        env={**os.environ, "PYTHONPATH": str(_ROOT), "EVENTLET_NO_GREENDNS": "yes"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT,
        check=False,
    )
    assert (ended.stderr, ended.stdout, ended.returncode) == ("", "passed\n", 0)


@libraries
@pytest.mark.parametrize("order", ["early", "late"])
@pytest.mark.parametrize(
    "check",
    [
        "patch_is_recognised",
        "waiting_lets_other_greenlets_run",
        "loop_serves_what_asyncio_offers",
        "worker_of_a_loop_finds_no_running_loop",
    ],
)
def test_patch_before_or_after_the_import_of_bridge(check: str, library: str, order: str) -> None:
    """It makes no difference when a server patches."""
    run_check(check, library, order)


def test_libraries_are_not_imported() -> None:
    """A process that does not use them pays nothing for them."""
    run_check("nothing_is_imported", "none")


@libraries
@pytest.mark.parametrize(
    "check",
    [
        "wake_before_wait_is_not_lost",
        "wakes_coalesce",
        "wait_ends_with_its_timeout",
        "each_wake_releases_its_own_waiter",
        "signals_work_in_a_forked_child",
        pytest.param(
            "signals_hold_no_descriptor",
            marks=pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts in /proc"),
        ),
    ],
)
def test_signal(check: str, library: str) -> None:
    """Greenlets and real threads wait for each other."""
    run_check(check, library)


@libraries
@pytest.mark.parametrize(
    "check",
    [
        "thread_is_real",
        "joining_lets_other_greenlets_run",
        "several_may_join",
        "error_ends_a_thread_and_is_reported",
        "threads_leave_nothing_behind",
        "threads_do_not_outlive_a_fork",
    ],
)
def test_real_thread(check: str, library: str) -> None:
    """A real thread is one of the operating system, and behaves like threading's."""
    run_check(check, library)


@libraries
@pytest.mark.parametrize("check", ["loops_run_at_the_same_time", "idle_loop_rests", "busy_loop_lets_its_workers_run"])
def test_event_loop(check: str, library: str) -> None:
    """An event loop in a real thread disturbs nobody."""
    run_check(check, library)


@libraries
@pytest.mark.parametrize("check", ["exit_with_idle_loops", "exit_with_busy_loops", "exit_after_the_loops"])
def test_exit(check: str, library: str) -> None:
    """A process ends cleanly and at once, whatever its loops do."""
    run_check(check, library)

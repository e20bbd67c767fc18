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


in_proc = pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="counts in /proc")


@libraries
@pytest.mark.parametrize(
    "check",
    [
        "wake_before_wait_is_not_lost",
        "wakes_coalesce",
        "wait_ends_with_its_timeout",
        "each_wake_releases_its_own_waiter",
        "native_thread_alone_wakes",
        "signals_work_in_a_forked_child",
        pytest.param("signals_hold_no_descriptor", marks=in_proc),
    ],
)
def test_signal(check: str, library: str) -> None:
    """Greenlets and threads of the system wait for each other."""
    run_check(check, library)


@libraries
@pytest.mark.parametrize(
    "check",
    [
        "joining_lets_other_greenlets_run",
        "loops_run_at_the_same_time",
        "only_what_runs_a_loop_sees_it",
        "other_threads_of_the_system_have_loops",
        "loops_stay_with_the_parent_of_a_fork",
        "idle_loop_rests",
        "busy_loop_lets_its_workers_run",
        "busy_hub_lets_its_loops_run",
        "both_sides_may_log",
        pytest.param("loops_leave_no_descriptor", marks=in_proc),
    ],
)
def test_event_loop(check: str, library: str) -> None:
    """An event loop beside greenlets, or in a thread beside threads, disturbs nobody and is not disturbed."""
    run_check(check, library)


@libraries
def test_what_cannot_wait_with_greenlets_is_refused(library: str) -> None:
    """A loop that waits by the system's means would stop the server."""
    run_check("unfit_loops_are_refused", library)


@libraries
@pytest.mark.parametrize("check", ["exit_with_idle_loops", "exit_with_busy_loops", "exit_after_the_loops"])
def test_exit(check: str, library: str) -> None:
    """A process ends cleanly and at once, whatever its loops do."""
    run_check(check, library)

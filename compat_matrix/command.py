"""The command line: which cells, how many at a time, where the reports go. Runs no check itself."""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path

import click
from rich.console import Console

from compat_matrix import adapters, reports
from compat_matrix.apps import APPS
from compat_matrix.checks import CHECKS
from compat_matrix.model import Cell, Outcome
from compat_matrix.plan import QUICK_APPS, QUICK_SERVERS, Planned, plan
from compat_matrix.results import Results
from compat_matrix.runner import run
from compat_matrix.servers import RECIPES

_SUBJECT = "bridge"


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--quick", "extent", flag_value="quick", default="quick", help="Flask and Django on four servers (default)."
)
@click.option("--full", "extent", flag_value="full", help="Everything that is installed.")
@click.option("--app", "apps", multiple=True, metavar="NAME", help="Only these applications; * and ? match.")
@click.option("--server", "servers", multiple=True, metavar="NAME", help="Only these servers; * and ? match.")
@click.option("--adapter", "adapter_names", multiple=True, metavar="NAME", help="Only these adapters; * and ? match.")
@click.option("--check", "checks", multiple=True, metavar="ID", help="Only these checks; * and ? match.")
@click.option("--jobs", type=click.IntRange(1), default=2, show_default=True, help="Servers that run at a time.")
@click.option(
    "--report",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("matrix-report"),
    show_default=True,
    help="Folder for matrix.json, matrix.xml (JUnit) and matrix.html.",
)
@click.option("--list", "only_list", is_flag=True, help="Show applications, servers, adapters and checks; run nothing.")
def main(
    extent: str,
    apps: Sequence[str],
    servers: Sequence[str],
    adapter_names: Sequence[str],
    checks: Sequence[str],
    jobs: int,
    directory: Path,
    only_list: bool,
) -> None:
    """Check that applications behave behind an adapter exactly as they do at home, on real servers.

    The exit status is 1 if the bridge fails a check, 2 for a usage error, 130 after an interruption.
    """
    console = Console()
    quick = extent == "quick"
    chosen_apps = _choose("--app", apps, APPS, QUICK_APPS if quick else tuple(APPS))
    chosen_servers = _choose("--server", servers, RECIPES, QUICK_SERVERS if quick else tuple(RECIPES))
    all_adapters = adapters.names()
    chosen_adapters = _choose("--adapter", adapter_names, all_adapters, (_SUBJECT,) if quick else tuple(all_adapters))
    chosen_checks = [CHECKS[id] for id in _choose("--check", checks, CHECKS, tuple(CHECKS))]
    native, others = plan(chosen_apps, chosen_servers, chosen_adapters)
    if only_list:
        reports.terminal.show_plan(console, native, others, chosen_checks)
        return
    directory.mkdir(parents=True, exist_ok=True)
    results = Results(tuple(chosen_checks), datetime.now(timezone.utc).isoformat(timespec="seconds"))
    saving = threading.Lock()

    with reports.terminal.Progress(console, len(native) + len(others), len(chosen_checks)) as progress:

        def on_cell(cell: Cell) -> None:
            with saving:
                results.cells.append(cell)
                results.save(directory / "matrix.json")
            progress.cell(cell)

        def on_outcome(planned: Planned, outcome: Outcome) -> None:
            progress.outcome(planned, outcome)

        results.complete = run(native, others, chosen_checks, jobs, on_outcome, on_cell)
    reports.write(results, directory)
    reports.terminal.show(console, results)
    if not results.complete:
        console.print(f"interrupted: {directory} has the {len(results.cells)} cells that were run")
        sys.exit(130)
    if results.failures(_SUBJECT):
        sys.exit(1)


def _choose(option: str, patterns: Sequence[str], known: Collection[str], default: Collection[str]) -> list[str]:
    if not patterns:
        return [name for name in known if name in default]
    chosen = []
    for pattern in patterns:
        found = [name for name in known if fnmatchcase(name, pattern)]
        if not found:
            raise click.BadParameter(f"nothing matches {pattern!r}; there are: {', '.join(known)}", param_hint=option)
        chosen += found
    return [name for name in known if name in chosen]

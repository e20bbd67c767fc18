"""The command line: which cells, how many at a time, where the reports go. Runs no check itself."""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from pathlib import Path

import click
from rich.console import Console
from rich.text import Text

from compat_matrix import adapters, reports, under_test
from compat_matrix.apps import APPS
from compat_matrix.checks import CHECKS, anywhere
from compat_matrix.model import NATIVE, Cell, Check, Place
from compat_matrix.plan import HOMES, QUICK_APPS, QUICK_SERVERS, Planned, plan
from compat_matrix.results import SUBJECT, Results
from compat_matrix.runner import run
from compat_matrix.servers import RECIPES

FAILED, INTERRUPTED = 1, 130  # exit statuses; 2 is click's for usage errors


class _Refused(click.ClickException):
    """One line on stderr: the command line is wrong, as click's own usage errors are."""

    exit_code = 2


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="NAME and ID may have the wildcards * and ?, in quotes; an option that is given several times adds up.",
)
@click.option(
    "--quick",
    "extent",
    flag_value="quick",
    default="quick",
    help="Flask and Django, both ways, on four servers, through the bridge (default).",
)
@click.option("--full", "extent", flag_value="full", help="Everything that is installed, other adapters too.")
@click.option("--app", "apps", multiple=True, metavar="NAME", help="Only these applications.")
@click.option("--server", "servers", multiple=True, metavar="NAME", help="Only these servers.")
@click.option("--adapter", "adapter_names", multiple=True, metavar="NAME", help="Only these adapters.")
@click.option("--check", "checks", multiple=True, metavar="ID", help="Only these checks.")
@click.option(
    "--app-under-test",
    "target",
    metavar="APP",
    help="Check this application instead, as `bridge serve` would import it from the current directory.",
)
@click.option(
    "--paths",
    multiple=True,
    metavar="/,/PATH...",
    help="With --app-under-test: the paths to ask for, with GET, HEAD and OPTIONS.  [default: /]",
)
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
    target: str | None,
    paths: Sequence[str],
    jobs: int,
    directory: Path,
    only_list: bool,
) -> None:
    """Check that applications behave behind the bridge exactly as they do at home, on real servers.

    Each application is asked on a server of its own interface, and then behind
    an adapter on servers of the other interface. The reports say what differs.

    The exit status is 1 if the bridge fails a check, if a server does not start
    with it, if a known failure passes, or if nothing could be checked; 2 for a
    usage error; 130 after Ctrl-C, where the reports have what was run until then.
    """
    quick = extent == "quick"
    everything = adapters.names()
    server_names = _choose("--server", servers, RECIPES, QUICK_SERVERS if quick else tuple(RECIPES))
    chosen_adapters = _choose("--adapter", adapter_names, everything, (SUBJECT,) if quick else tuple(everything))
    console = Console()
    with _interruptible(console):
        if target is None:
            if paths:
                raise click.UsageError("--paths goes with --app-under-test")
            chosen = _choose("--app", apps, APPS, QUICK_APPS if quick else tuple(APPS))
            native, others = plan(chosen, server_names, chosen_adapters)
            if not others and NATIVE not in chosen_adapters:
                raise click.UsageError("none of these applications needs an adapter on these servers")
            work = _Work(native, others, _chosen_checks(checks, CHECKS))
            sys.exit(work.show(console) if only_list else work.run(console, directory, jobs))
        if apps:
            raise click.UsageError("--app is for the applications of the matrix; --app-under-test names another one")
        here = Path.cwd()
        try:
            asked = under_test.paths(paths or ["/"])
            app = under_test.find(target, here)
        except under_test.UnfitError as error:
            click.echo(error.details, err=True, nl=False)
            raise _Refused(str(error)) from None
        with (
            under_test.environment(app, here),
            anywhere.Standard(app, HOMES[app.interface], lambda: under_test.at_home(app)) as standard,
        ):
            found = {check.id: check for check in anywhere.checks_of(asked, standard)}
            native, others = under_test.plan(app, server_names, chosen_adapters)
            if not others and NATIVE not in chosen_adapters:
                raise _Refused(f"{target} speaks {app.interface.upper()}: it needs no adapter on these servers")
            work = _Work(native, others, _chosen_checks(checks, found))
            status = work.show(console) if only_list else work.run(console, directory, jobs)
        for note in anywhere.notes(asked, standard):
            _say(console, f"note: {note}")
        sys.exit(status)


@dataclass(frozen=True)
class _Work:
    """What there is to do."""

    native: Sequence[Planned]
    others: Sequence[Planned]
    checks: Sequence[Check]

    def show(self, console: Console) -> int:
        """Print it, and do nothing."""
        reports.terminal.show_plan(console, self.native, self.others, self.checks)
        return 0

    def run(self, console: Console, directory: Path, jobs: int) -> int:
        """Run everything, write the reports, and return the exit status."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _Refused(f"cannot make the folder {directory}: {error.strerror}") from None
        planned = [*self.native, *self.others]
        results = Results(
            tuple(self.checks),
            datetime.now(timezone.utc).isoformat(timespec="seconds"),
            apps={one.app.name: one.app.interface for one in planned},
        )
        with reports.terminal.Progress(console, len(planned), len(self.checks)) as progress:

            def on_cell(cell: Cell) -> None:
                results.cells.append(cell)
                results.save(directory / "matrix.json")
                progress.cell(cell)

            results.complete = run(
                self.native,
                self.others,
                self.checks,
                jobs,
                progress.outcome,
                on_cell,
                lambda: _say(console, "interrupted: waiting for the checks that run, and for their servers to end"),
            )
        reports.write(results, directory)
        reports.terminal.show(console, results)
        if not results.complete:
            _say(console, f"interrupted: {directory} has {len(results.cells)} of {len(planned)} cells")
            return INTERRUPTED
        reasons = [*self._unjudged(results), *self._unchecked(results)]
        for reason in reasons:
            _say(console, reason)
        return FAILED if reasons or results.failures(SUBJECT) else 0

    def _unjudged(self, results: Results) -> Iterator[str]:
        """Say which oracle checks passed because there was nothing to compare them with."""
        for home in self.native:
            (own,) = (cell for cell in results.cells if cell.place == Place(home.app.name, home.recipe.name, NATIVE))
            compared = {one.app.name for one in self.others if (one.app.same_as or one.app.name) == home.app.name}
            if own.not_run and any(cell.outcomes for cell in results.cells if cell.place.app in compared):
                reason = own.not_run.partition("\n")[0]
                yield f"{home.app.name} could not be compared with its native run on {home.recipe.name}: {reason}"

    def _unchecked(self, results: Results) -> Iterator[str]:
        """Say so if nothing was checked behind an adapter: a run that skips everything is no success."""
        if all(one.adapter is None for one in self.others):
            return
        ran = [outcome.outcome for cell in results.cells if cell.place.adapter != NATIVE for outcome in cell.outcomes]
        if set(ran) <= {"n/a"}:
            yield "nothing was checked: " + ("no check is applicable" if ran else "no cell could be run")


def _say(console: Console, text: str) -> None:
    console.print(Text(text), soft_wrap=True)


@contextmanager
def _interruptible(console: Console) -> Iterator[None]:
    """End with the status of an interruption also where nothing is run yet, or no longer."""
    try:
        yield
    except KeyboardInterrupt:
        _say(console, "interrupted")
        sys.exit(INTERRUPTED)


def _chosen_checks(patterns: Sequence[str], checks: dict[str, Check]) -> list[Check]:
    return [checks[id] for id in _choose("--check", patterns, checks, checks)]


def _choose(option: str, patterns: Sequence[str], known: Collection[str], default: Collection[str]) -> list[str]:
    if not patterns:
        return [name for name in known if name in default]
    chosen: list[str] = []
    for pattern in patterns:
        # Brackets are part of some checks' ids, so they stand for themselves.
        literal = re.sub(r"\[", "[[]", pattern)
        found = [name for name in known if name == pattern or fnmatchcase(name, literal)]
        if not found:
            raise click.BadParameter(f"nothing matches {pattern!r}; there are: {', '.join(known)}", param_hint=option)
        chosen += found
    return [name for name in known if name in chosen]

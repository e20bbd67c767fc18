"""The command line, ``python -m benchmarks``: chooses and runs scenarios. Measures nothing itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import facts, rounds
from benchmarks.model import Result, Scenario
from benchmarks.report import chart, record, table
from benchmarks.scenarios import SCENARIOS

ROUNDS = 5
RESULTS = Path(__file__).resolve().parent / "results"


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; unknown scenarios and senseless numbers end it with status 2."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure bridge and its peers side by side; see benchmarks/README.md.",
    )
    parser.add_argument("--list", action="store_true", help="name the scenarios and end")
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, metavar="SCENARIO", help="run these; default: all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="rounds of each scenario (default: %(default)s)")
    parser.add_argument("--seconds", type=float, help="length of one sample (default: the scenario's own, 1 or 2)")
    parser.add_argument(
        "--output", type=Path, default=RESULTS, help="directory for JSON and SVG (default: %(default)s)"
    )
    options = parser.parse_args(given)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    if options.seconds is not None and not 0 < options.seconds <= 60:
        parser.error(f"--seconds must be over 0 and at most 60, got {options.seconds:g}")
    return options


def main(given: Sequence[str] | None = None) -> None:
    """Print a table for each scenario as it ends, then write the files."""
    options = arguments(given)
    if options.list:
        for scenario in SCENARIOS.values():
            print(f"{scenario.name:26}{scenario.title}")
        return
    chosen = [SCENARIOS[name] for name in options.only] if options.only else list(SCENARIOS.values())
    about = facts.collect()
    print(_preamble(about), flush=True)
    results = [_run(scenario, options) for scenario in chosen]
    _write(about, results, options.output, "all" if not options.only else "+".join(options.only))


def _run(scenario: Scenario, options: argparse.Namespace) -> Result:
    seconds = scenario.seconds if options.seconds is None else options.seconds
    result = rounds.run(scenario, options.rounds, seconds, _progress)
    print(f"\n{table.render(result)}", flush=True)
    return result


def _progress(line: str) -> None:
    # On standard error: the tables alone can then be redirected into a file.
    print(line, file=sys.stderr, flush=True)


def _preamble(about: facts.Facts) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in about.versions.items())
    lines = [
        f"{about.date}, commit {about.commit}",
        f"{about.python}, {about.system}, {about.cpus} x {about.processor}, {about.memory:,} MiB",
        f"load before the run: {about.busy:.1f}; load generator over loopback: {about.generator}",
        versions,
    ]
    if about.busy > about.cpus / 2:
        lines.append("warning: the machine is busy, the figures of this run are not worth much")
    return "\n".join(lines)


def _write(about: facts.Facts, results: Sequence[Result], directory: Path, name: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for suffix, text in ((".json", record.render(about, results)), (".svg", chart.render(about, results))):
        file = directory / (name + suffix)
        file.write_text(text, encoding="utf-8")
        print(f"\nwritten: {file}" if suffix == ".json" else f"written: {file}")


if __name__ == "__main__":
    main()

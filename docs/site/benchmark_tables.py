"""The tables of benchmarks.md, from the figures of a run. A hook of MkDocs; measures nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
MARKER = "<!-- benchmarks/results/all.json -->"
_CHART = "../benchmarks/results/all.svg"
_CHART_OF_THE_SITE = "benchmarks.svg"
_NONE = "–"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Put the chart beside the page."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, _CHART_OF_THE_SITE, abs_src_path=str(RESULTS / "all.svg")))
    return files


def on_page_markdown(markdown: str, **context: Any) -> str:
    """Put the tables where the marker is."""
    if MARKER not in markdown:
        return markdown
    run = json.loads((RESULTS / "all.json").read_text(encoding="utf-8"))
    return markdown.replace(_CHART, _CHART_OF_THE_SITE).replace(MARKER, render(run))


def render(run: dict[str, Any]) -> str:
    """Return Markdown: what the run ran on, and a table for each scenario.

    Args:
        run: the document that ``python -m benchmarks`` writes.
    """
    return "\n\n".join([_conditions(run["facts"]), *(_scenario(result) for result in run["results"])])


def _conditions(facts: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    rows = [
        ("when", f"{facts['date'][:16].replace('T', ' ')} UTC, commit {facts['commit']}"),
        ("machine", f"{facts['cpus']} CPUs, {facts['processor']}, {facts['memory']:,} MiB, {facts['system']}"),
        ("interpreter", facts["python"]),
        ("load from", facts["generator"]),
        ("versions", versions),
    ]
    lines = [f"| {name} | {value} |" for name, value in rows]
    return "\n".join([lines[0], "| --- | --- |", *lines[1:]])


def _scenario(result: dict[str, Any]) -> str:
    contestants = result["contestants"]
    references = list(dict.fromkeys(name for row in contestants for name in row["ratios"]))
    kind = _kind(contestants[0])
    further = list(dict.fromkeys(name for row in contestants for name in row.get("further", {})))
    head = ["", f"{kind}, {result['unit']}", "lowest to highest", *further, *(f"of {name}" for name in references)]
    lines = [head, ["---", *["---:"] * (len(head) - 1)]]
    lines += [_row(row, further, references) for row in contestants]
    better = "more" if result["higher_is_better"] else "less"
    parts = [
        f"## {_first_upper(result['title'])}",
        f"{result['rounds']} rounds; {better} is better.",
        "\n".join(f"| {' | '.join(line)} |" for line in lines),
    ]
    if result["targets"]:
        parts.append("\n".join(f"- {_verdict(target)}" for target in result["targets"]))
    return "\n\n".join(parts)


def _kind(row: dict[str, Any]) -> str:
    """Which figure of the samples counts: the key beside those that every row has."""
    (kind,) = row.keys() - {"name", "note", "ratios", "further", "samples", "failure"}
    return str(kind)


def _row(row: dict[str, Any], further: list[str], references: list[str]) -> list[str]:
    samples = row["samples"]
    figure = row[_kind(row)]
    name = row["name"] + (f" ({row['note']})" if row["note"] else "")
    return [
        name,
        _number(figure) if figure is not None else f"{_NONE} {row['failure']}".strip(),
        f"{_number(min(samples))} to {_number(max(samples))}" if samples else "",
        *(_number(value) if (value := row["further"].get(name)) is not None else "" for name in further),
        *(f"{ratio:.2f}" if (ratio := row["ratios"].get(name)) is not None else "" for name in references),
    ]


def _verdict(target: dict[str, Any]) -> str:
    value = "" if target["value"] is None else f" ({target['value']:.4g})"
    return f"{target['contestant']}: {target['rule']} was aimed at, and {target['outcome']}{value}"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _first_upper(text: str) -> str:
    return text[:1].upper() + text[1:]

"""``python -m compat_matrix.reports``: the reports of a run again, from its matrix.json."""

from __future__ import annotations

import json
from pathlib import Path

import click

from compat_matrix import reports
from compat_matrix.results import Results


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("document", metavar="MATRIX.JSON", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("directory", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--markdown", is_flag=True, help="Print the README's table instead.")
def main(document: Path, directory: Path | None, markdown: bool) -> None:
    """Write matrix.json, matrix.xml and matrix.html into DIRECTORY again."""
    if markdown == (directory is not None):
        raise click.UsageError("give either a DIRECTORY or --markdown")
    try:
        results = Results.from_json(json.loads(document.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise click.ClickException(f"{document} is not what a run writes: {error!r}") from error
    if directory is None:
        click.echo(reports.markdown.render(results))
    else:
        reports.write(results, directory)


if __name__ == "__main__":
    main(prog_name="python -m compat_matrix.reports")

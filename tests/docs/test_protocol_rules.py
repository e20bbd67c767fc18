"""docs/protocol-rules.md: each rule has a clause, and a test that exists."""

import ast
import re
from functools import cache
from pathlib import Path

from tests.docs.pages import DOCS

ROOT = DOCS.parent
_SECTION = re.compile(r"^Tests in `(?P<folder>[^`]+)`\.$(?P<rows>.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_ROW = re.compile(r"^\| (?P<rule>.+) \| .+ \| (?P<clause>.+) \| (?P<test>.+) \|$", re.MULTILINE)
_STANDARDS = re.compile(r"(PEP|ASGI), \S|(RFC \d+|HTML), \d|CVE-\d")


def rows() -> list[tuple[str, str, str, str]]:
    """Return folder, rule, clause and test of each row."""
    text = (DOCS / "protocol-rules.md").read_text(encoding="utf-8")
    return [
        (section["folder"], row["rule"], row["clause"], row["test"])
        for section in _SECTION.finditer(text)
        for row in _ROW.finditer(section["rows"])
        if row["rule"] not in ("rule", "---")
    ]


@cache
def functions_of(path: Path) -> frozenset[str]:
    """Return the names of a file's functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, functions))


def test_every_rule_names_a_test_that_exists() -> None:
    """Whoever renames a test renames it on the page as well."""
    missing = []
    for folder, _, _, test in rows():
        file, _, name = test.strip("`").partition("::")
        path = ROOT / folder / file
        if not path.exists() or name not in functions_of(path):
            missing.append(f"{folder}{file}::{name}")

    assert missing == []


def test_every_rule_names_a_clause() -> None:
    """A rule stands on a standard, and says where."""
    assert [clause for _, _, clause, _ in rows() if not _STANDARDS.match(clause)] == []


def test_every_row_is_found() -> None:
    """No row escapes the tests above."""
    text = (DOCS / "protocol-rules.md").read_text(encoding="utf-8")

    assert len(rows()) == text.count("::test_") > 0

"""Every Python block of docs/ is run: here, page by page, or by the test that is named for its page."""

import re
from pathlib import Path

import pytest

from tests.docs.pages import blocks
from tests.docs.programs import pages, run

# Pages whose blocks are programs of their own, or need what is not installed, with the test that runs each of them.
ELSEWHERE = {
    "events.md": "test_events.py",
    "frameworks.md": "test_frameworks.py",
    "migrating.md": "test_migrating.py",
}
WITH_BLOCKS = [page for page in pages() if blocks(page.name)]


@pytest.mark.parametrize(
    "page", [page for page in WITH_BLOCKS if page.name not in ELSEWHERE], ids=lambda page: page.name
)
def test_page_runs(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The blocks of a page run one after another, and print what the comments below their prints say."""
    run(page.name)

    code = "\n".join(code for codes in blocks(page.name).values() for code in codes)
    assert capsys.readouterr().out.splitlines() == re.findall(r"^print\(.*\)\n# (.*)$", code, re.MULTILINE)


@pytest.mark.parametrize("page", [page for page in WITH_BLOCKS if page.name in ELSEWHERE], ids=lambda page: page.name)
def test_page_has_a_test_of_its_own(page: Path) -> None:
    """The test that is to run its blocks is there, and is about it."""
    assert page.name in (Path(__file__).parent / ELSEWHERE[page.name]).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_block_is_found(page: Path) -> None:
    """No block is written in a way that the tests do not see, such as indented."""
    text = page.read_text(encoding="utf-8")
    found = sum(len(codes) for codes in blocks(page.name).values())

    assert len(re.findall(r"^\s*(?:```|~~~)\s*(?:py|python|pycon)\b", text, re.MULTILINE)) == found

"""The run as JUnit XML, a test suite for each cell. Pure."""

from __future__ import annotations

import re
from xml.etree import ElementTree

from compat_matrix.model import Cell, Evidence, Outcome
from compat_matrix.results import SUBJECT, Results

# What XML 1.0 has no way to write, and the carriage returns that a parser would turn into line feeds (those
# before a line feed are no loss).
_IMPOSSIBLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]|\r(?!\n)")


def render(results: Results) -> str:
    """Return the document."""
    suites = ElementTree.Element("testsuites", name="compat_matrix")
    for cell in results.cells:
        suites.append(_suite(cell, results.began))
    for count in ("tests", "failures", "errors", "skipped"):
        suites.set(count, str(sum(int(suite.get(count, 0)) for suite in suites)))
    suites.set("time", f"{sum(float(suite.get('time', 0)) for suite in suites):.3f}")
    ElementTree.indent(suites, " ")
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _suite(cell: Cell, began: str) -> ElementTree.Element:
    place = cell.place
    name = escape(f"{place.app} on {place.server}, {place.adapter}")
    suite = ElementTree.Element("testsuite", name=name)
    # What others fail is for comparison: a report is red where the command's exit status is 1.
    judged = place.adapter == SUBJECT
    for outcome in cell.outcomes:
        suite.append(_case(name, outcome, "failure" if judged else "skipped"))
    if cell.not_run:
        # Its message is one line; the server's log, if it did not start, is the text.
        case = ElementTree.SubElement(suite, "testcase", classname=name, name="the cell", time="0.000")
        tag = "error" if cell.state == "not started" and judged else "skipped"
        _verdict(case, tag, cell.not_run.partition("\n")[0], cell.not_run)
    suite.set("tests", str(len(suite)))
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f"testcase/{tag}"))))
    suite.set("time", f"{sum(round(outcome.seconds, 3) for outcome in cell.outcomes):.3f}")
    suite.set("timestamp", escape(began))
    return suite


def _case(suite: str, outcome: Outcome, failure: str) -> ElementTree.Element:
    case = ElementTree.Element("testcase", classname=suite, name=escape(outcome.check), time=f"{outcome.seconds:.3f}")
    if outcome.outcome == "fail":
        _verdict(case, failure, outcome.reason, _text(outcome.reason, outcome.evidence))
    elif outcome.outcome == "known":
        _verdict(case, "skipped", f"known: {outcome.reason}", _text(outcome.reason, outcome.evidence))
    elif outcome.outcome == "n/a":
        _verdict(case, "skipped", f"not applicable: {outcome.reason}", "")
    return case


def _verdict(case: ElementTree.Element, tag: str, message: str, text: str) -> None:
    verdict = ElementTree.SubElement(case, tag, message=escape(message))
    verdict.text = escape(text) or None


def _text(reason: str, evidence: Evidence | None) -> str:
    if evidence is None:
        return reason
    parts = {
        "request": evidence.request,
        "answer": evidence.answer,
        "answer of the native server": evidence.expected,
        "log of the server": evidence.log,
    }
    return "\n\n".join([reason, *(f"--- {title} ---\n{part}" for title, part in parts.items() if part)])


def escape(text: str) -> str:
    r"""Write characters that XML 1.0 cannot hold as Python would: ``\x00``, ``\ud800``."""
    return _IMPOSSIBLE.sub(lambda match: match.group().encode("unicode_escape").decode("ascii"), text)

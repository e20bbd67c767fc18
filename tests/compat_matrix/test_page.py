"""matrix.html in headless Chromium: by mouse, by keyboard, on a phone, in the dark, and with hostile data."""

from __future__ import annotations

import itertools
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compat_matrix.reports import page
from compat_matrix.results import Results
from tests.browser import Browser, Page, chromium, in_chromium
from tests.compat_matrix import samples

ARTEFACTS = Path(os.environ.get("COMPAT_MATRIX_ARTEFACTS", Path(__file__).parents[2] / ".tox" / "artefacts"))
"""Where the screenshots go."""


PHONE = 360  # CSS pixels
SCHEMES = ("light", "dark")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with chromium(tmp_path_factory.mktemp("chromium") / "profile") as browser:
        yield browser


def written(results: Results, folder: Path) -> Path:
    path = folder / "matrix.html"
    path.write_text(page.render(results), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(samples.small(complete=False), tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(samples.full(), tmp_path_factory.mktemp("full"))


def cell(label: str) -> str:
    return f'.heat button[aria-label^="{label}"]'


def detail(tab: Page) -> str:
    """Return the text of the opened cell; empty when none is open."""
    return str(tab.run("document.querySelector('dialog').open ? document.querySelector('dialog').innerText : ''"))


def focused(tab: Page) -> str:
    return str(tab.run("document.activeElement.getAttribute('aria-label') || document.activeElement.id"))


def status(tab: Page, expected: str) -> None:
    """Wait for the announcement: the page waits until nobody types any more."""
    tab.run(
        "new Promise((resolve, reject) => { const node = document.querySelector('[role=status]');"
        f"const check = () => node.textContent === {json.dumps(expected)} && resolve(true);"
        "new MutationObserver(check).observe(node, {childList: true, characterData: true, subtree: true}); check();"
        "setTimeout(() => reject(new Error(node.textContent)), 5000) })"
    )


def shown_cells(tab: Page) -> list[str]:
    """Return the accessible names of the cells that are to be seen, up to the colon."""
    names: list[str] = tab.run(
        "[...document.querySelectorAll('.heat button')].filter((one) => one.checkVisibility())"
        ".map((one) => one.getAttribute('aria-label').split(':')[0])"
    )
    return names


# Without a browser


def test_data_cannot_end_its_element() -> None:
    """Whatever an answer holds, the script element of the data ends where the template says."""
    text = page.render(samples.small())
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert data is not None
    assert not set("<>&") & set(data[1])
    assert samples.HOSTILE in json.loads(data[1])["texts"]
    assert text.count("<script") == 2
    text.encode("utf-8")  # a lone surrogate in a log would fail here


def test_evidence_has_a_limit_and_the_bridge_comes_first() -> None:
    """The page stays one that a browser opens; what is left out is said to be."""
    results = samples.full()
    text = page.render(results, evidence=50_000)
    data = json.loads(text.partition('type="application/json">')[2].partition("</script>")[0])
    bridge, *peers = data["adapters"]
    assert bridge["name"] == "bridge"

    def details(adapter: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            one for group in adapter["groups"] for cell in group["cells"] for one in cell.get("details", {}).values()
        ]

    assert not [one for one in details(bridge) if "left out" in one]
    assert [one for peer in peers for one in details(peer) if "left out" in one]
    assert sum(len(text) for text in data["texts"]) < 60_000


def test_largest_page_is_no_burden() -> None:
    """15 applications, 22 servers, 3 adapters, 90 checks: evidence only of what failed."""
    assert len(page.render(samples.full(crossed=True))) < 15_000_000


# In a browser


@in_chromium
def test_page_needs_nothing_but_itself(browser: Browser, full: Path) -> None:
    """From file://: one request, for the page; nothing on the console, no violation of its policy."""
    with browser.page(full) as tab:
        assert tab.requests() == [full.as_uri()]
        assert tab.said() == []
        assert tab.run("document.querySelector('h1').innerText") == "Compatibility matrix"
        assert tab.run("document.querySelector('#verdict').innerText").split() == [
            "✗",
            "bridge",
            "fails",
            "5",
            "of",
            "10,150",
            "checks",
        ]


@in_chromium
def test_largest_page_opens_at_once(browser: Browser, tmp_path: Path) -> None:
    """With 990 cells of 90 checks."""
    path = written(samples.full(crossed=True), tmp_path)
    with browser.page(path) as tab:
        # Milliseconds since the navigation began. The limit is five times what an idle machine needs.
        assert tab.run("performance.getEntriesByType('navigation')[0].loadEventEnd") < 2000
        assert len(shown_cells(tab)) == 990


@in_chromium
def test_cell_opens_by_click(browser: Browser, small: Path) -> None:
    """Each check with its rule; for a failure the reason, the request, both answers and the log."""
    with browser.page(small) as tab:
        assert detail(tab) == ""
        tab.click(cell("django on uvicorn-h11"))
        text = detail(tab)
        for part in (
            "django on uvicorn-h11",
            "through bridge, WSGI on ASGI · 3 of 4 passed · 1 failed",
            "http.request.headers",
            "Repeated request headers are joined with a comma.",
            "RFC 9110, 5.3",
            "Request",
            "Answer\n",
            "Answer of the native server",
            "Log of the server",
        ):
            assert part in text
        tab.click("#close")
        assert detail(tab) == ""
        assert focused(tab) == "django on uvicorn-h11: 3 of 4 passed, 1 failed"


@in_chromium
@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_cell_opens_by_keyboard(browser: Browser, small: Path, key: str) -> None:
    """Escape closes it, and the focus is where it was."""
    with browser.page(small) as tab:
        tab.run(f"document.querySelector({json.dumps(cell('flask on uvicorn-h11'))}).focus()")
        tab.press(key)
        assert "flask on uvicorn-h11" in detail(tab)
        assert tab.run("document.querySelector('dialog').contains(document.activeElement)")
        tab.press("Escape")
        assert detail(tab) == ""
        assert focused(tab) == "flask on uvicorn-h11: 3 of 3 passed"


@in_chromium
def test_keyboard_alone_reaches_everything(browser: Browser, small: Path) -> None:
    """Tab goes from table to table, arrows from cell to cell, past places that have none; every stop can be seen."""
    with browser.page(small) as tab:
        stops = []
        for _ in range(60):
            tab.press("Tab")
            stops.append(focused(tab))
            assert tab.run(
                "document.activeElement === document.body || (style => style.outlineStyle === 'solid'"
                " && parseFloat(style.outlineWidth) >= 2)(getComputedStyle(document.activeElement))"
            ), stops
        assert [stop for stop in stops if stop in ("adapter", "app", "server", "check", "failing", "reset")][:6] == [
            *("adapter", "app", "server", "check", "failing", "reset")
        ]
        assert "flask on uvicorn-h11: 3 of 3 passed" in stops
        assert "starlette on gunicorn-gthread: 2 of 2 passed, interrupted" in stops
        tab.run(f"document.querySelector({json.dumps(cell('flask on uvicorn-h11'))}).focus()")
        walk = []
        for key in ("ArrowRight", "End", "ArrowDown", "ArrowLeft", "ArrowLeft", "ArrowUp", "End", "Home"):
            tab.press(key)
            walk.append(focused(tab).split(":")[0])
        assert walk == [
            "flask on hypercorn-trio",
            "flask on daphne",
            "django on daphne",
            "django on uvicorn-h11",  # django on hypercorn-trio was not in the run
            "django on uvicorn-h11",
            "flask on uvicorn-h11",
            "flask on daphne",
            "flask on uvicorn-h11",
        ]


@in_chromium
def test_cell_can_be_linked_to(browser: Browser, small: Path) -> None:
    """The address of an open cell opens it again."""
    with browser.page(small) as tab:
        tab.click(cell("django on uvicorn-h11"))
        address = tab.run("location.hash")
        assert address == "#bridge/django/uvicorn-h11"
        tab.press("Escape")
        tab.run(
            "new Promise((resolve) => {"
            "const look = () => (location.hash ? requestAnimationFrame(look) : resolve()); look() })"
        )
        tab.run(f"location.hash = {json.dumps(address)}; new Promise(requestAnimationFrame)")
        assert "django on uvicorn-h11" in detail(tab)


@in_chromium
def test_filters_narrow_the_matrix(browser: Browser, small: Path) -> None:
    """By adapter, application, server and check, and to failures; how many are left is announced."""

    def choose(tab: Page, id: str, value: str) -> None:
        tab.run(
            f"(() => {{ const one = document.getElementById({json.dumps(id)}); one.value = {json.dumps(value)};"
            "one.dispatchEvent(new Event('input', {bubbles: true})) })()"
        )

    with browser.page(small) as tab:
        status(tab, "9 cells, 3 with failures")
        choose(tab, "adapter", "bridge")
        status(tab, "7 of 9 cells, 2 with failures")
        choose(tab, "app", "flask")
        assert shown_cells(tab) == ["flask on uvicorn-h11", "flask on hypercorn-trio", "flask on daphne"]
        choose(tab, "server", "daphne")
        assert shown_cells(tab) == ["flask on daphne"]
        status(tab, "1 of 9 cells, none with failures")
        tab.click("#failing")
        assert shown_cells(tab) == []
        status(tab, "No cell is like that.")
        tab.click("#reset")
        status(tab, "9 cells, 3 with failures")
        tab.run("document.getElementById('check').focus()")
        tab.type("rfc 5.3")
        status(tab, "9 cells, 2 with failures; 1 check of 5")
        assert tab.run(f"document.querySelector({json.dumps(cell('flask on uvicorn-h11'))}).innerText") == "1"
        tab.click("#failing")
        assert shown_cells(tab) == ["django on uvicorn-h11", "flask on uvicorn-h11"]
        tab.click(cell("django on uvicorn-h11"))
        assert "Only the 1 check of 5 that the filter keeps." in detail(tab)
        assert "http.request.forged" not in detail(tab)
        tab.click("#detail .note button")
        tab.run("for (const one of document.querySelectorAll('#detail details')) one.open = true")
        assert "http.request.forged" in detail(tab)


@in_chromium
def test_check_can_be_chosen_from_the_list(browser: Browser, small: Path) -> None:
    """The list of checks says who fails each; a click shows where."""
    with browser.page(small) as tab:
        row = tab.run("[...document.querySelectorAll('#checks tbody tr')][1].innerText.split(/\\s+/).join(' ')")
        assert row.startswith("http.request.headers RFC 9110, 5.3 Repeated request headers are joined with a comma.")
        assert row.endswith("✗ 1 of 5 ✗ 1 of 1 0 of 1")
        tab.click("#checks tbody tr:nth-child(2) button")
        assert focused(tab) == "check"
        status(tab, "9 cells, 2 with failures; 1 check of 5")


@in_chromium
def test_cell_that_has_not_run_says_why(browser: Browser, small: Path) -> None:
    """By its name, and when it is opened."""
    with browser.page(small) as tab:
        tab.click(cell("django on daphne: not run, daphne needs 'daphne', which cannot be imported"))
        assert "Not run: daphne needs 'daphne', which cannot be imported" in detail(tab)
        tab.press("Escape")
        tab.click(cell("flask on hypercorn-trio: the server did not start"))
        assert "Traceback: trio" in detail(tab)
        tab.press("Escape")
        tab.click(cell("starlette on gunicorn-gthread: 2 of 2 passed, interrupted"))
        assert "The run was interrupted here" in detail(tab)


@in_chromium
def test_nothing_that_a_server_sent_is_more_than_text(browser: Browser, small: Path) -> None:
    """Markup in reasons, answers and logs is shown as it came; control characters are made visible."""
    with browser.page(small) as tab:
        tab.click(cell("django on uvicorn-h11"))
        tab.run("new Promise((resolve) => setTimeout(resolve))")
        assert tab.run("window.injected") is None
        assert tab.run("document.querySelectorAll('dialog img, dialog svg, dialog script').length") == 0
        text = detail(tab)
        assert text.count("<script>window.injected = 1</script></script><!--<script>") == 4
        assert text.count("␀␇␛[31m\\x85\\u202e") == 4
        assert tab.said() == []
        assert tab.requests() == [small.as_uri()]


@in_chromium
def test_policy_stops_what_would_get_through(browser: Browser, small: Path) -> None:
    """If the page's script ever made markup of data, nothing of it would run or load."""
    with browser.page(small) as tab:
        tab.run(
            "(() => { const script = document.createElement('script');"
            "try { script.textContent = 'window.injected = 4'; document.body.append(script) } catch {} })()"
        )
        with pytest.raises(RuntimeError, match="TrustedHTML"):
            tab.run("document.body.innerHTML = '<img src=x onerror=\"window.injected = 5\">'")
        tab.run("new Promise((resolve) => { const one = new Image(); one.onerror = resolve; one.src = 'x.png' })")
        assert tab.run("window.injected") is None


# Scrolls that nobody asked for: anything of the page that is wider than the window and not in a box of its own.
_OVERFLOW = """
[...document.querySelectorAll('body *')].filter((one) => {
  if (!one.checkVisibility() || one.closest('.hidden, .skip, pre') || !one.getClientRects().length) return false;
  for (let at = one.parentElement; at; at = at.parentElement) {
    if (at.matches('.box')) return false;
  }
  return one.getBoundingClientRect().right > innerWidth + 0.5;
}).map((one) => one.outerHTML.slice(0, 80))
"""


@in_chromium
@pytest.mark.parametrize("which", ["small", "full"])
def test_phone_does_not_scroll_sideways(browser: Browser, which: str, request: pytest.FixtureRequest) -> None:
    """360 pixels: tables scroll in their boxes, with the names of their rows in sight; so does the open cell."""
    with browser.page(request.getfixturevalue(which), width=PHONE, height=740) as tab:
        assert tab.run("document.documentElement.scrollWidth") == PHONE
        assert tab.run(_OVERFLOW) == []
        if which == "full":
            box = "document.querySelector('.heat').parentElement"
            assert tab.run(f"{box}.scrollWidth > {box}.clientWidth")
            tab.run(f"{box}.scrollLeft = 150; new Promise(requestAnimationFrame)")
            assert tab.run(f"{box}.querySelector('tbody th').getBoundingClientRect().left") == 16
        tab.run("[...document.querySelectorAll('.heat button')].find((one) => one.innerText.startsWith('✗')).click()")
        tab.run("for (const one of document.querySelectorAll('#detail details')) one.open = true")
        assert tab.run("document.querySelector('dialog').scrollWidth") == PHONE
        assert tab.run(_OVERFLOW) == []


# The contrast of every text that is to be seen, with what is really behind it (WCAG 2, 1.4.3).
_CONTRAST = """
(() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const parse = (color) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = (c) => [0.2126, 0.7152, 0.0722].reduce((sum, weight, i) => {
    const v = c[i] / 255; return sum + weight * (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4) }, 0);
  const root = document.querySelector('dialog[open]') || document.body;
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = new Map();
  while (walker.nextNode()) {
    const one = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !one.checkVisibility()) continue;
    if (one.closest('.hidden, script, style, option')) continue;
    const behind = [];
    for (let at = one; at; at = at.parentElement) behind.unshift(parse(getComputedStyle(at).backgroundColor));
    const ground = behind.reduce((under, top) => over(top, under), parse('Canvas'));
    const ink = over(parse(getComputedStyle(one).color), ground);
    const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const key = `${[one.tagName, ...one.classList].join('.')} ${ink} ${ground}`;
    found.set(key, ratio);
  }
  return [...found];
})()
"""


@in_chromium
@pytest.mark.parametrize("scheme", SCHEMES)
def test_everything_can_be_read_in_both_schemes(browser: Browser, full: Path, small: Path, scheme: str) -> None:
    """4.5 to 1 for every text, in the page and in open cells."""
    with browser.page(full, scheme=scheme) as tab:
        found = tab.run(_CONTRAST)
        kinds = {name.split(" ")[0] for name, _ in found}
        assert {f"BUTTON.cell.{kind}" for kind in ("pass", "f1", "f2", "f3", "known", "none")} <= kinds
        assert [one for one in found if one[1] < 4.5] == []
        tab.click("#adapter-1 button.f2")
        tab.run("for (const one of document.querySelectorAll('#detail details')) one.open = true")
        assert [one for one in tab.run(_CONTRAST) if one[1] < 4.5] == []
    with browser.page(small, scheme=scheme) as tab:
        assert [one for one in tab.run(_CONTRAST) if one[1] < 4.5] == []
        for label in ("flask on daphne", "starlette on gunicorn-gthread"):
            tab.click(cell(label))
            assert [one for one in tab.run(_CONTRAST) if one[1] < 4.5] == []
            tab.press("Escape")


@in_chromium
def test_screen_reader_finds_its_way(browser: Browser, small: Path) -> None:
    """Language, landmarks, headings in order, tables with captions and scopes, names for whatever can be used."""
    with browser.page(small) as tab:
        assert tab.run("document.documentElement.lang") == "en"
        tree = tab.call("Accessibility.getFullAXTree")["nodes"]
        roles: dict[str, list[str]] = {}
        for node in tree:
            if not node["ignored"]:
                roles.setdefault(node["role"]["value"], []).append(node.get("name", {}).get("value", ""))
        assert {"banner", "main", "contentinfo", "search", "status"} <= set(roles)
        for role in ("button", "link", "textbox", "searchbox", "combobox", "checkbox"):
            assert "" not in roles.get(role, [])
        assert "flask on uvicorn-h11: 3 of 3 passed" in roles["button"]
        assert "bridge: WSGI applications on ASGI servers 8 of 11 passed" in roles["table"]
        assert "" not in roles["table"]
        tab.click(cell("django on uvicorn-h11"))
        levels = tab.run(
            "[...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map((one) => Number(one.tagName[1]))"
        )
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
        assert tab.run("document.querySelectorAll('th:not([scope])').length") == 0
        assert tab.run("[...document.querySelectorAll('table')].every((one) => one.caption.innerText.trim())")
        assert tab.run("document.querySelectorAll('[id]').length") == tab.run(
            "new Set([...document.querySelectorAll('[id]')].map((one) => one.id)).size"
        )
        opened = [one for one in tab.call("Accessibility.getFullAXTree")["nodes"] if one["role"]["value"] == "dialog"]
        assert [one["name"]["value"] for one in opened] == ["django on uvicorn-h11"]


@in_chromium
def test_colour_is_never_the_only_signal(browser: Browser, full: Path) -> None:
    """What a cell's colour says, its text says too."""
    signs = {"pass": r"\d+", "f1": r"✗\d*", "f2": r"✗\d*", "f3": r"✗\d*", "known": r"\d+~", "none": r"–|∅|\d+…"}
    with browser.page(full) as tab:
        looks = tab.run(
            "[...document.querySelectorAll('.heat button')].map((one) => [one.className.split(' ')[1], one.innerText])"
        )
    assert {kind for kind, _ in looks} == set(signs)
    assert [look for look in looks if not re.fullmatch(signs[look[0]], look[1])] == []


@in_chromium
def test_nothing_moves_for_those_who_prefer_that(browser: Browser, small: Path) -> None:
    """No animation runs with prefers-reduced-motion."""
    with browser.page(small) as tab:
        tab.click(cell("django on uvicorn-h11"))
        assert tab.run("document.getAnimations().length") == 0


@in_chromium
def test_paper_has_the_matrix_without_the_controls(browser: Browser, full: Path) -> None:
    """Nothing scrolls on paper, so nothing may be hidden in a box."""
    with browser.page(full, width=1000) as tab:
        tab.call("Emulation.setEmulatedMedia", media="print")
        assert not tab.run("document.querySelector('#filters').checkVisibility()")
        assert tab.run(
            "[...document.querySelectorAll('.box')].every((one) => getComputedStyle(one).overflowX === 'visible')"
        )
        assert tab.run("document.documentElement.scrollWidth") <= 1000


@in_chromium
@pytest.mark.parametrize(
    ("name", "width", "scheme"),
    [("light", 1280, "light"), ("dark", 1280, "dark"), ("phone", PHONE, "light"), ("phone-dark", PHONE, "dark")],
    ids=["light", "dark", "phone", "phone in the dark"],
)
def test_screenshots_are_kept(browser: Browser, full: Path, name: str, width: int, scheme: str) -> None:
    """For a person to look at: the page, the matrix, an open cell."""
    with browser.page(full, width=width, height=900 if width > PHONE else 740, scheme=scheme) as tab:
        tab.screenshot(ARTEFACTS / f"matrix-{name}.png")
        tab.run("document.querySelector('#filters').scrollIntoView()")
        tab.screenshot(ARTEFACTS / f"matrix-{name}-cells.png")
        tab.click("#adapter-1 button.f2")
        tab.screenshot(ARTEFACTS / f"matrix-{name}-open.png")
    for part in ("", "-cells", "-open"):
        assert (ARTEFACTS / f"matrix-{name}{part}.png").read_bytes().startswith(b"\x89PNG")

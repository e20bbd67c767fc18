// The page's behaviour. All data is untrusted: it becomes text nodes and attributes that hold text, never markup.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const SIGNS = { p: "✓", f: "✗", k: "~", n: "∅" };
const WORDS = { p: "Passed", f: "Failed", k: "Known failure", n: "Not applicable" };
const NUMBER = new Intl.NumberFormat("en");
const groups = []; // one for each table of cells
const byKey = new Map(); // "adapter/application/server" to cell

function $(id) {
  return document.getElementById(id);
}

/** Make an element. Attributes are set as text; children are nodes or text. */
function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === true) node.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== ""));
  return node;
}

function hidden(text) {
  return el("span", { class: "hidden" }, text);
}

function plural(count, noun) {
  return `${NUMBER.format(count)} ${noun}${count === 1 ? "" : "s"}`;
}

function compact(count) {
  return NUMBER.format(count);
}

// --- counting ---------------------------------------------------------------------------------------------------

/** Count the outcomes of cells; `kept`: which checks count, null for all. */
function tally(cells, kept = null) {
  const counts = { p: 0, f: 0, k: 0, n: 0, "-": 0, run: 0 };
  for (const cell of cells) {
    for (let check = 0; check < cell.codes.length; check++) {
      if (kept === null || kept[check]) counts[cell.codes[check]]++;
    }
  }
  counts.run = counts.p + counts.f + counts.k;
  return counts;
}

/** What a cell shows: text, class, accessible name. */
function face(cell, kept) {
  const counts = tally([cell], kept);
  const where = `${cell.appName} on ${cell.serverName}`;
  if (cell.state === "missing") return { text: "–", kind: "none", label: `${where}: not run, ${data.texts[cell.why]}`, counts };
  if (cell.state === "not started" && counts.f) {
    return { text: "✗", kind: "f3", label: `${where}: the server did not start`, counts };
  }
  let label = `${where}: ${counts.p} of ${counts.run} passed`;
  if (counts.f) label += `, ${counts.f} failed`;
  if (counts.k) label += `, ${counts.k} known`;
  if (cell.state === "interrupted") label += ", interrupted";
  if (counts.f) {
    const share = counts.f / counts.run;
    return { text: `✗${counts.f}`, kind: share > 0.2 ? "f3" : share > 0.05 ? "f2" : "f1", label, counts };
  }
  if (cell.state === "interrupted") return { text: `${counts.p}…`, kind: "none", label, counts };
  if (counts.k) return { text: `${counts.p}~`, kind: "known", label, counts };
  if (counts.p) return { text: `${counts.p}`, kind: "pass", label, counts };
  const text = counts.n ? "∅" : "–";
  return { text, kind: "none", label: `${where}: ${counts.n ? "not applicable" : "not asked"}`, counts };
}

// --- the parts of the page, made once ----------------------------------------------------------------------------

function table(node, caption, heads, rows) {
  node.append(
    el("caption", { class: "hidden" }, caption),
    el("thead", null, el("tr", null, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", null, ...rows),
  );
}

function makeHeader() {
  const subject = data.adapters.find((adapter) => adapter.name === data.subject);
  const verdict = $("verdict");
  let known = 0;
  if (subject) {
    const counts = tally(subject.groups.flatMap((group) => group.cells));
    const good = counts.f === 0 && counts.run > 0;
    const text = counts.f
      ? `${data.subject} fails ${compact(counts.f)} of ${plural(counts.run, "check")}`
      : `${data.subject} passes ${compact(counts.p)} of ${plural(counts.run, "check")}`;
    verdict.append(
      el("span", { class: `sign ${good ? "good" : "bad"}`, "aria-hidden": "true" }, good ? "✓" : "✗"),
      el("span", null, text),
    );
    known = counts.k;
    document.title = `${text} · Compatibility matrix`;
  } else {
    verdict.append(`${data.subject} was not part of this run`);
  }
  const facts = $("facts");
  const when = date(data.run.began);
  facts.append(el("time", { datetime: data.run.began }, when));
  facts.append(` · Python ${data.run.python} · ${plural(data.run.cells, "cell")} · `);
  if (known) facts.append(`${plural(known, "known failure")} of ${data.subject} · `);
  facts.append(
    data.run.complete ? "complete" : el("strong", null, "interrupted: what the run had by then is here, the rest is missing"),
  );
}

function date(text) {
  const match = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2})(?::\d{2})?(?:\+00:00|Z)$/.exec(text);
  return match ? `${match[1]} ${match[2]} UTC` : text;
}

function makeSummary() {
  // By what the applications are: an adapter has each kind on servers of the other kind, the native run on its own.
  const kind = (group) => group.direction.split(" ")[0];
  const kinds = [...new Set(data.adapters.flatMap((adapter) => adapter.groups.map(kind)))].sort().reverse();
  const heads = [
    "Adapter",
    ...kinds.map((one) => (one ? `${one} applications` : "Passed of run")),
    ...["Failed", "Known", "Not applicable", "Cells", "Not run"],
  ];
  const rows = data.adapters.map((adapter, index) => {
    const all = adapter.groups.flatMap((group) => group.cells);
    const counts = tally(all);
    const off = all.filter((cell) => cell.state).length;
    return el(
      "tr",
      { class: adapter.name === data.subject ? "subject" : null },
      el("th", { scope: "row" }, el("a", { href: `#adapter-${index}` }, adapter.name)),
      ...kinds.map((one) => {
        const those = adapter.groups.filter((group) => kind(group) === one);
        if (!those.length) return el("td", { class: "faint" }, "–");
        const part = tally(those.flatMap((group) => group.cells));
        const meter = el("span", { class: "meter", "aria-hidden": "true" }, el("span"));
        meter.firstChild.style.inlineSize = `${part.run ? (100 * part.p) / part.run : 0}%`;
        return el("td", null, `${compact(part.p)} of ${compact(part.run)}`, meter);
      }),
      el("td", { class: counts.f ? "bad" : "faint" }, counts.f ? `✗ ${compact(counts.f)}` : "0"),
      ...[counts.k, counts.n, all.length, off].map((count) => el("td", { class: count ? null : "faint" }, compact(count))),
    );
  });
  table($("summary"), "Checks passed of checks run, for each adapter", heads, rows);
}

function makeFilters() {
  const options = (id, names) => $(id).append(...names.map((name) => el("option", { value: name }, name)));
  const every = (part) => [...new Set(data.adapters.flatMap((adapter) => adapter.groups.flatMap((group) => group[part])))];
  options("adapter", data.adapters.map((adapter) => adapter.name));
  options("app", every("apps"));
  options("server", every("servers"));
  const legend = [
    ["pass", "57", "all passed"],
    ["f1", "✗2", "failed; the more, the darker"],
    ["known", "55~", "known failures besides"],
    ["none", "–", "not run"],
  ];
  $("legend").append(
    ...legend.map(([kind, text, meaning]) => el("li", null, el("span", { class: `cell ${kind}` }, text), meaning)),
  );
}

function makeMatrix() {
  data.adapters.forEach((adapter, index) => {
    const section = el(
      "section",
      { id: `adapter-${index}`, "aria-labelledby": `adapter-${index}-title`, class: "adapter", tabindex: "-1" },
      el("h3", { id: `adapter-${index}-title` }, adapter.name),
    );
    for (const group of adapter.groups) {
      const [app, server] = group.direction.split(" on ");
      group.title = server ? `${app} applications on ${server} servers` : "All applications and servers";
      group.adapter = adapter.name;
      group.section = section;
      group.count = el("span", { class: "count" });
      group.heads = group.servers.map((name) => el("th", { scope: "col" }, el("span", null, name)));
      group.grid = group.apps.map(() => group.servers.map(() => null));
      for (const cell of group.cells) {
        cell.adapter = adapter.name;
        cell.direction = group.direction;
        cell.appName = group.apps[cell.app];
        cell.serverName = group.servers[cell.server];
        cell.button = el("button", { type: "button", tabindex: "-1", "aria-haspopup": "dialog" });
        cell.button.cell = cell;
        cell.key = [adapter.name, cell.appName, cell.serverName].map(encodeURIComponent).join("/");
        byKey.set(cell.key, cell);
        group.grid[cell.app][cell.server] = cell;
      }
      group.rows = group.apps.map((name, row) =>
        el(
          "tr",
          null,
          el("th", { scope: "row" }, name),
          ...group.grid[row].map((cell) =>
            el("td", null, cell ? cell.button : el("span", { class: "absent" }, el("span", { "aria-hidden": "true" }, "·"), hidden("not in this run"))),
          ),
        ),
      );
      group.box = el(
        "div",
        { class: "box" },
        el(
          "table",
          { class: "heat" },
          el("caption", null, el("span", { class: "title" }, hidden(`${adapter.name}: `), group.title, " ", group.count)),
          el("thead", null, el("tr", null, el("th", { scope: "col" }, hidden("Application")), ...group.heads)),
          el("tbody", null, ...group.rows),
        ),
      );
      group.box.addEventListener("click", (event) => {
        const button = event.target.closest("button");
        if (button) open(button.cell);
      });
      group.box.addEventListener("keydown", (event) => move(event, group));
      group.box.addEventListener("focusin", (event) => {
        if (event.target.cell) reachable(group, event.target.cell);
      });
      section.append(group.box);
      groups.push(group);
    }
    $("matrix").append(section);
  });
}

function makeChecks() {
  const cells = data.adapters.map((adapter) => adapter.groups.flatMap((group) => group.cells));
  const rows = data.checks.map((check, number) => {
    const kept = data.checks.map((_, other) => other === number);
    const button = el("button", { type: "button", class: "link" }, check.id);
    button.addEventListener("click", () => {
      $("reset").click();
      $("check").value = check.id;
      filter();
      $("check").focus({ preventScroll: true });
      $("matrix-title").scrollIntoView();
    });
    check.failing = false;
    const figures = cells.map((all) => {
      const counts = tally(all, kept);
      check.failing ||= counts.f > 0;
      if (!counts.run) return el("td", { class: "faint" }, counts.n ? "∅" : "–", hidden(counts.n ? "not applicable" : "not asked"));
      const text = counts.f ? `✗ ${counts.f}` : counts.k ? `${counts.k}~` : "0";
      return el("td", { class: counts.f ? "bad" : "faint" }, text, el("span", { class: "of" }, ` of ${counts.run}`));
    });
    check.row = el(
      "tr",
      null,
      el("th", { scope: "row" }, button, " ", el("span", { class: "clause" }, check.clause), el("span", { class: "meaning" }, check.meaning)),
      ...figures,
    );
    return check.row;
  });
  table($("checks"), "Failures of each check, by adapter", ["Check", ...data.adapters.map((adapter) => adapter.name)], rows);
}

function makeRun() {
  const facts = [
    ["Began", date(data.run.began)],
    ["State", data.run.complete ? "complete" : "interrupted"],
    ["Python", data.run.python],
    ["Platform", data.run.platform],
    ["Checks", compact(data.checks.length)],
    ["Cells", compact(data.run.cells)],
  ];
  $("run").append(...facts.map(([name, value]) => el("div", null, el("dt", null, name), el("dd", null, value))));
  $("packages").append(
    ...Object.entries(data.run.packages).map(([name, version]) => el("li", null, `${name} `, el("span", { class: "faint" }, version))),
  );
}

// --- filters -----------------------------------------------------------------------------------------------------

let announcement = 0;

/** The checks that the text filter keeps; null for all. */
function keptChecks() {
  const words = $("check").value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return null;
  return data.checks.map((check) => {
    const text = `${check.id} ${check.meaning} ${check.clause} ${check.kind}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}

function filter() {
  const kept = keptChecks();
  const only = $("failing").checked;
  const [adapter, app, server] = ["adapter", "app", "server"].map((id) => $(id).value);
  let all = 0;
  let shown = 0;
  let failing = 0;
  for (const group of groups) {
    const rows = group.apps.map(() => false);
    const columns = group.servers.map(() => false);
    for (const cell of group.cells) {
      all++;
      const look = face(cell, kept);
      cell.counts = look.counts;
      const matches =
        (!adapter || adapter === group.adapter) &&
        (!app || app === cell.appName) &&
        (!server || server === cell.serverName) &&
        (!only || cell.counts.f);
      if (cell.look !== look.label + look.text) {
        cell.look = look.label + look.text;
        cell.button.className = `cell ${look.kind}`;
        cell.button.textContent = look.text;
        cell.button.setAttribute("aria-label", look.label);
      }
      if (matches) rows[cell.app] = columns[cell.server] = true;
    }
    group.rows.forEach((row, index) => {
      row.hidden = !rows[index];
      for (let column = 0; column < columns.length; column++) row.cells[column + 1].hidden = !columns[column];
    });
    group.heads.forEach((head, column) => (head.hidden = !columns[column]));
    const visible = group.cells.filter((cell) => rows[cell.app] && columns[cell.server]);
    let [passed, run] = [0, 0];
    for (const cell of group.cells) cell.visible = false;
    for (const cell of visible) {
      cell.visible = true;
      passed += cell.counts.p;
      run += cell.counts.run;
      if (cell.counts.f) failing++;
    }
    shown += visible.length;
    group.box.hidden = !visible.length;
    group.count.textContent = `${compact(passed)} of ${compact(run)} passed`;
    if (visible.length && !(group.current && group.current.visible)) {
      reachable(group, group.grid.flat().find((cell) => cell && cell.visible));
    }
  }
  data.adapters.forEach((one, index) => ($(`adapter-${index}`).hidden = one.groups.every((group) => group.box.hidden)));
  data.checks.forEach((check, number) => {
    check.row.hidden = (kept !== null && !kept[number]) || (only && !check.failing);
  });
  const text =
    shown === 0
      ? "No cell is like that."
      : `${shown === all ? "" : `${compact(shown)} of `}${plural(all, "cell")}, ${failing ? compact(failing) : "none"} with failures` +
        (kept ? `; ${plural(kept.filter(Boolean).length, "check")} of ${compact(data.checks.length)}` : "");
  // A screen reader reads the last change only, and not while somebody types.
  clearTimeout(announcement);
  announcement = setTimeout(() => ($("status").textContent = text), $("status").textContent ? 250 : 0);
}

// --- keyboard: one stop of the tab key for each table, arrows inside ----------------------------------------------

function reachable(group, cell) {
  if (group.current) group.current.button.tabIndex = -1;
  group.current = cell;
  cell.button.tabIndex = 0;
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

function move(event, group) {
  const cell = event.target.cell;
  if (!cell || event.altKey || event.ctrlKey || event.metaKey) return;
  const visible = (row, column) => {
    const there = (group.grid[row] || [])[column];
    return there && there.visible ? there : null;
  };
  let next = null;
  if (event.key in STEPS) {
    const [down, right] = STEPS[event.key];
    let row = cell.app + down;
    let column = cell.server + right;
    while (!next && row >= 0 && column >= 0 && row < group.apps.length && column < group.servers.length) {
      next = visible(row, column);
      row += down;
      column += right;
    }
  } else if (event.key === "Home" || event.key === "End") {
    const line = group.grid[cell.app].filter((one) => one && one.visible);
    next = line[event.key === "Home" ? 0 : line.length - 1];
  } else {
    return;
  }
  event.preventDefault();
  if (next) next.button.focus();
}

// --- one cell in full ---------------------------------------------------------------------------------------------

let opened = null;

function open(cell) {
  opened = cell;
  const kept = keptChecks();
  const counts = tally([cell]);
  $("detail-title").textContent = `${cell.appName} on ${cell.serverName}`;
  const through = cell.adapter === data.native ? "natively" : `through ${cell.adapter}`;
  $("detail-where").textContent = [
    [through, cell.direction].filter(Boolean).join(", "),
    counts.run ? `${counts.p} of ${counts.run} passed` : "",
    counts.f ? `${counts.f} failed` : "",
    counts.k ? `${counts.k} known` : "",
    counts.n ? `${counts.n} not applicable` : "",
  ].filter(Boolean).join(" · ");
  fill(cell, kept);
  const dialog = $("detail");
  if (!dialog.open) dialog.showModal();
  dialog.scrollTop = 0;
  history.replaceState(null, "", `#${cell.key}`);
}

function fill(cell, kept) {
  const parts = [];
  if (cell.state === "missing") parts.push(el("p", { class: "note" }, `Not run: ${data.texts[cell.why]}`));
  if (cell.state === "interrupted") parts.push(el("p", { class: "note" }, "The run was interrupted here; the other checks were not asked."));
  if (kept) {
    const all = el("button", { type: "button", class: "link" }, "Show all");
    all.addEventListener("click", () => {
      fill(cell, null);
      $("close").focus();
    });
    const number = kept.filter(Boolean).length;
    parts.push(el("p", { class: "note" }, `Only the ${plural(number, "check")} of ${data.checks.length} that the filter keeps. `, all));
  }
  for (const code of "fknp") {
    const numbers = data.checks.map((_, number) => number).filter((number) => cell.codes[number] === code && (!kept || kept[number]));
    if (!numbers.length) continue;
    const failures = code === "f" || code === "k";
    const list = failures
      ? numbers.map((number) => failure(cell, number, code, code === "f" && numbers.length <= 4))
      : [el("ul", { class: "outcomes" }, ...numbers.map((number) => row(cell, number, code)))];
    // What is wrong stands open; the long list of what is right only where nothing is wrong.
    const isOpen = failures || (code === "p" && !/[fk]/.test(cell.codes));
    const heading = el("h3", null, el("span", { class: `sign code-${code}`, "aria-hidden": "true" }, SIGNS[code]), `${WORDS[code]} `, el("span", { class: "faint" }, String(numbers.length)));
    parts.push(el("details", { open: isOpen, class: "outcome-group" }, el("summary", null, heading), ...list));
  }
  const body = $("detail-body");
  body.replaceChildren(...parts);
}

function seconds(cell, number) {
  return cell.ms && cell.ms[number] ? `${NUMBER.format(cell.ms[number])} ms` : "";
}

function row(cell, number, code) {
  const check = data.checks[number];
  const details = (cell.details || {})[number];
  return el(
    "li",
    null,
    el("code", null, check.id),
    el("span", { class: "meaning" }, check.meaning),
    details ? el("span", { class: "reason" }, readable(data.texts[details.reason])) : null,
    el("span", { class: "clause" }, [check.clause, seconds(cell, number)].filter(Boolean).join(" · ")),
  );
}

function failure(cell, number, code, isOpen) {
  const check = data.checks[number];
  const details = (cell.details || {})[number];
  const parts = [el("p", { class: "reason" }, readable(data.texts[details.reason]))];
  const kind = check.kind === "oracle" ? "compared with the native run" : "contract";
  parts.push(el("p", { class: "clause" }, [check.clause, kind, seconds(cell, number)].filter(Boolean).join(" · ")));
  if (details.evidence) {
    const [request, answer, expected, log] = details.evidence.map((text) => readable(data.texts[text]));
    const differs = answer && expected ? difference(answer, expected) : [null, null];
    const answers = [
      evidence("Answer", answer, differs[0]),
      evidence("Answer of the native server", expected, differs[1]),
    ].filter(Boolean);
    parts.push(
      ...[
        evidence("Request", request),
        answers.length ? el("div", { class: "answers" }, ...answers) : null,
        evidence("Log of the server", log),
      ].filter(Boolean),
    );
  } else if (details["left out"]) {
    parts.push(el("p", { class: "note" }, "Request, answers and log are left out, for this page's size; matrix.json has them."));
  }
  return el(
    "details",
    { class: "failure", open: isOpen },
    el("summary", null, el("span", { class: `sign code-${code}`, "aria-hidden": "true" }, SIGNS[code]), el("code", null, check.id), " ", el("span", { class: "meaning" }, check.meaning)),
    el("div", null, ...parts),
  );
}

function evidence(title, text, lines = null) {
  if (!text) return null;
  const content = lines
    ? lines.flatMap(([line, same], index) => [index ? "\n" : "", same ? line : el("mark", null, line || " ")])
    : [text];
  // A box that scrolls can be reached by keyboard.
  return el("figure", null, el("figcaption", null, title), el("pre", { tabindex: "0", role: "group", "aria-label": title }, ...content));
}

/** Show what would not be seen, or would change how the rest is seen: control characters and directions of text. */
function readable(text) {
  return text
    .replace(/\r\n/g, "\n")
    .replace(/[\u0000-\u0008\u000b-\u001f]/g, (character) => String.fromCharCode(0x2400 + character.charCodeAt(0)))
    .replace(/\u007f/g, "␡")
    .replace(/[\u0080-\u009f]/g, (character) => `\\x${character.charCodeAt(0).toString(16)}`)
    .replace(/[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, (character) => `\\u${character.charCodeAt(0).toString(16)}`);
}

/** Lines of two texts, each with whether the other has it too, by the longest common subsequence. */
function difference(one, other) {
  const left = one.split("\n");
  const right = other.split("\n");
  if (left.length * right.length > 250_000) return [null, null];
  const lengths = Array.from({ length: left.length + 1 }, () => new Uint16Array(right.length + 1));
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      lengths[i][j] = left[i] === right[j] ? lengths[i + 1][j + 1] + 1 : Math.max(lengths[i + 1][j], lengths[i][j + 1]);
    }
  }
  const marked = [left.map((line) => [line, false]), right.map((line) => [line, false])];
  for (let i = 0, j = 0; i < left.length && j < right.length; ) {
    if (left[i] === right[j]) marked[0][i++][1] = marked[1][j++][1] = true;
    else if (lengths[i + 1][j] >= lengths[i][j + 1]) i++;
    else j++;
  }
  return marked;
}

function openFromAddress() {
  const cell = byKey.get(location.hash.slice(1));
  if (cell) open(cell);
}

// --- start --------------------------------------------------------------------------------------------------------

makeHeader();
makeSummary();
makeFilters();
makeMatrix();
makeChecks();
makeRun();
filter();

$("filters").addEventListener("input", filter);
$("filters").addEventListener("reset", () => setTimeout(filter));
$("filters").addEventListener("submit", (event) => event.preventDefault());
$("close").addEventListener("click", () => $("detail").close());
$("detail").addEventListener("click", (event) => {
  if (event.target === $("detail")) $("detail").close(); // beside it
});
$("detail").addEventListener("close", () => {
  history.replaceState(null, "", location.pathname + location.search);
  if (opened && opened.visible) opened.button.focus();
});
addEventListener("hashchange", openFromAddress);

// A box that scrolls sideways is a stop of the tab key, if nothing in it is one.
const boxes = new ResizeObserver((entries) => {
  for (const { target } of entries) {
    if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
    else target.removeAttribute("tabindex");
  }
});
for (const box of document.querySelectorAll("#summary, #checks")) boxes.observe(box.parentElement);
openFromAddress();

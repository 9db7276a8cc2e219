"use strict";
// The list of runs: asked for every few seconds, searched, sorted, and ticked for a comparison.

/** Time between two requests, in milliseconds. */
const EVERY = 3000;

const find = (id) => document.getElementById(id);

/** Makes an element. Texts are inserted as text, never as HTML. */
function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element[name] = value;
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** Formats a value with six digits at most. */
function number(value) {
  if (value === null) return "–";
  const size = Math.abs(value);
  if (Number.isInteger(value) && size < 1e9) return value.toLocaleString("en");
  if (size !== 0 && (size < 1e-4 || size >= 1e9)) return value.toExponential(3);
  return String(Number(value.toPrecision(6)));
}

/** Formats an age in seconds. */
function age(seconds) {
  if (seconds < 60) return `${Math.max(0, seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} days`;
}

/** The columns: the head, the value by which it sorts, and the cell. */
const COLUMNS = [
  { head: "run", sort: (run) => run.name, cell: nameCell },
  { head: "state", sort: (run) => run.state, cell: (run) => make("span", { class: `state ${run.state}` }, run.state) },
  { head: "step", sort: (run) => run.step, cell: stepCell, isNumber: true },
  { head: "loss", sort: (run) => run.loss, cell: (run) => number(run.loss), isNumber: true },
  { head: "validation loss", sort: (run) => run.val_loss, cell: (run) => number(run.val_loss), isNumber: true },
  { head: "metric", sort: (run) => run.metric && run.metric[1], cell: metricCell, isNumber: true },
  { head: "last save", sort: (run) => run.saved_at, cell: saveCell, isNumber: true },
  { head: "written", sort: (run) => run.written_at, cell: (run) => agoOf(run.written_at), isNumber: true },
];

/** What is shown, and how. */
const list = { runs: [], now: 0, isCut: false, sort: "written", isDown: true, ticked: new Set() };

const agoOf = (then) => (then === null ? "–" : `${age(list.now - then)} ago`);

function nameCell(run) {
  const problem = run.problem && make("span", { class: "problem" }, run.problem);
  return make("span", {}, make("a", { href: `/view?run=${run.id}` }, run.name), problem);
}

function stepCell(run) {
  const text = run.total ? `${number(run.step)} of ${number(run.total)}` : number(run.step);
  if (!run.total) return text;
  const done = make("i");
  done.style.width = `${Math.min(100, (100 * run.step) / run.total)}%`;
  return make("span", {}, text, make("span", { class: "bar", "aria-hidden": "true" }, done));
}

function metricCell(run) {
  if (!run.metric) return "–";
  const name = run.metric[0].replace(/^val_|^validation_/, "").replaceAll("_", " ");
  return `${name} ${number(run.metric[1])}`;
}

function saveCell(run) {
  return run.saved_step === null ? "–" : `${number(run.saved_step)}, ${agoOf(run.saved_at)}`;
}

/** The runs that the search leaves, in their order. */
function chosen() {
  const words = find("search").value.toLowerCase().split(/\s+/).filter((word) => word);
  const runs = list.runs.filter((run) => words.every((word) => `${run.name} ${run.state}`.toLowerCase().includes(word)));
  const value = COLUMNS.find((column) => column.head === list.sort).sort;
  const text = new Intl.Collator("en", { numeric: true });
  return runs.sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    // Rows without a value are last, in either direction.
    if (a === null || b === null) return (a === null) - (b === null) || text.compare(one.name, other.name);
    const order = typeof a === "string" ? text.compare(a, b) : a - b;
    return (list.isDown ? -order : order) || text.compare(one.name, other.name);
  });
}

function tickCell(run) {
  const box = make("input", {
    type: "checkbox", name: "run", value: run.id, "aria-label": `Compare ${run.name}`,
    onchange: (event) => {
      if (event.target.checked) list.ticked.add(run.id); else list.ticked.delete(run.id);
      showTicked();
    },
  });
  box.checked = list.ticked.has(run.id);
  return make("td", { class: "tick" }, box);
}

function rowOf(run) {
  const cells = COLUMNS.map(({ cell, isNumber }, place) =>
    make(place ? "td" : "th", { class: isNumber ? "number" : null, scope: place ? null : "row" }, cell(run)));
  return make("tr", { "data-run": run.id }, tickCell(run), ...cells);
}

function showHead() {
  const head = COLUMNS.map(({ head, isNumber }) => {
    const sorted = list.sort === head ? (list.isDown ? "descending" : "ascending") : null;
    const sort = () => {
      list.isDown = list.sort === head ? !list.isDown : Boolean(isNumber);
      list.sort = head;
      show();
      find("head").querySelector("[aria-sort] button").focus();
    };
    return make("th", { scope: "col", class: isNumber ? "number" : null, "aria-sort": sorted },
      make("button", { type: "button", onclick: sort }, head));
  });
  find("head").replaceChildren(make("th", { class: "tick" }, make("span", { class: "unseen" }, "compare")), ...head);
}

function showTicked() {
  const count = list.ticked.size;
  find("compare").disabled = find("none").disabled = count === 0;
  find("compare").textContent = count > 1 ? `Compare ${count} runs` : count ? "Open 1 run" : "Compare";
}

/** Draws the list. The element with the focus is found again, because the rows are made again. */
function show() {
  const focused = document.activeElement?.closest?.("tr[data-run]")?.dataset.run;
  const kind = document.activeElement?.tagName;
  const runs = chosen();
  showHead();
  find("rows").replaceChildren(...runs.map(rowOf));
  if (focused) find("rows").querySelector(`tr[data-run="${focused}"] ${kind === "A" ? "a" : "input"}`)?.focus();
  const known = new Set(list.runs.map((run) => run.id));
  for (const id of list.ticked) if (!known.has(id)) list.ticked.delete(id);
  showTicked();
  const count = (runs, word) => `${runs} ${word}${runs === 1 ? "" : "s"}`;
  const running = list.runs.filter((run) => run.state === "running").length;
  find("subtitle").textContent = `${count(list.runs.length, "run")}, ${running} running` +
    (list.isCut ? "; there are more folders than are searched, so name a deeper one" : "");
  find("empty").hidden = runs.length > 0;
  find("empty").textContent = list.runs.length ? "No run has this name or state." : "There is no run yet; one appears here as soon as it begins.";
}

/** Asks for the list, unless nobody looks. */
async function ask() {
  if (document.hidden) return;
  try {
    const answer = await fetch("/runs.json");
    if (!answer.ok) throw new Error(await answer.text());
    const { now, runs, is_cut: isCut } = await answer.json();
    Object.assign(list, { now, runs, isCut });
    show();
  } catch (error) {
    const reason = error instanceof TypeError ? "the server does not answer; is `inspect serve` still there?" : error.message;
    find("subtitle").textContent = `Not connected: ${reason}`;
  }
}

function remembered() {
  try {
    return localStorage.getItem("rekindle-theme");
  } catch {
    return null;
  }
}

/** Sets the theme, which is the same as that of the pages of runs. */
function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  find("theme").textContent = theme === "dark" ? "Light" : "Dark";
  find("theme").setAttribute("aria-label", theme === "dark" ? "Use the light theme" : "Use the dark theme");
}

const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
const themeNow = () => remembered() ?? (prefersDark.matches ? "dark" : "light");

setTheme(themeNow());
prefersDark.onchange = () => setTheme(themeNow());
find("theme").onclick = () => {
  const theme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  try {
    localStorage.setItem("rekindle-theme", theme);
  } catch {
    // It is then forgotten with the page.
  }
  setTheme(theme);
};
find("search").oninput = show;
find("none").onclick = () => {
  list.ticked.clear();
  show();
};
// A ticked run that the search hides is compared as well.
find("controls").onsubmit = (event) => {
  event.preventDefault();
  if (list.ticked.size) location.href = `/view?${[...list.ticked].map((id) => `run=${id}`).join("&")}`;
};
document.addEventListener("visibilitychange", ask);
setInterval(ask, EVERY);
ask();

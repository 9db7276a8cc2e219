"use strict";
// The page: which charts there are, the controls, and the two entries `show` and `update`.

/** What the controls say. */
const view = { axis: "step", logX: false, smooth: 0.6, hidden: new Set() };

/** The runs, as `readRun` reads them. */
let runs = [];

const shownRuns = () => runs.filter((run) => !view.hidden.has(run.name));

/** The label of a line: with several runs the run, and what it is if a run has several lines in the chart. */
function labelOf(run, what, isOnly = false) {
  if (runs.length === 1) return what;
  return isOnly ? run.name : `${run.name}: ${what}`;
}

/** The lines of a curve that is noisy: the values, faint, and the smoothed ones. */
function noisy(run, name, what, isOnly = false) {
  const curve = run.curves.get(name);
  if (!curve) return [];
  const smooth = curve.means ?? curve;
  const line = { run, label: labelOf(run, what, isOnly), stroke: () => color(run) };
  if (view.smooth === 0) return [{ ...line, x: curve.x, y: curve.y, width: 1.25 }];
  return [
    { ...line, x: curve.x, y: curve.y, stroke: () => faint(color(run), 0.35), width: 1 },
    { ...line, label: `${line.label}, smoothed`, x: smooth.x, y: smoothed(smooth.y, view.smooth), width: 2 },
  ];
}

/** The line of a curve with few points. */
function plain(run, name, what, { isOnly = true, ...more } = {}) {
  const curve = run.curves.get(name);
  return curve ? [{ run, label: labelOf(run, what, isOnly), x: curve.x, y: curve.y, stroke: () => color(run), ...more }] : [];
}

/** The lines of a list in the log, one for each group, and of the groups' future. */
function groups(run, name) {
  const prefix = `${name}.`;
  const names = [...run.curves.keys()].filter((curve) => curve.startsWith(prefix));
  const dashes = [undefined, [8, 3], [3, 3], [10, 3, 3, 3]];
  return names.flatMap((curve, group) => {
    const isOnly = names.length === 1;
    const what = isOnly ? { lr: "rate" }[name] ?? name.replace("_", " ") : `group ${group}`;
    const lines = plain(run, curve, what, { isOnly, dash: dashes[group % 4] });
    const ahead = run.ahead.get(curve);
    const last = run.curves.get(curve).x.at(-1) ?? -1;
    const from = ahead ? ahead.x.findIndex((step) => step > last) : -1;
    if (from < 0) return lines;
    const rest = { x: ahead.x.slice(Math.max(0, from)), y: ahead.y.slice(Math.max(0, from)) };
    const label = labelOf(run, isOnly ? "ahead" : `${what}, ahead`);
    return [...lines, { run, label, ...rest, stroke: () => faint(color(run), 0.8), dash: [4, 4], isAhead: true }];
  });
}

/** The charts by what they show; those without a curve in any run are left out. */
function definitions() {
  const has = (name) => runs.some((run) => run.curves.has(name));
  const each = (lines) => () => shownRuns().flatMap(lines);
  const found = [];
  if (has("loss") || has("val_loss")) {
    found.push({ title: "Loss", isWide: true, isNoisy: true, lines: each((run) => [
      ...noisy(run, "loss", "training"),
      ...plain(run, "val_loss", "validation", { isOnly: false, dash: [6, 3], points: true, width: 1.75 }),
    ]) });
  }
  if (has("lr.0")) found.push({ title: "Learning rate", lines: each((run) => groups(run, "lr")) });
  if (has("grad_norm")) found.push({ title: "Gradient norm", isNoisy: true, lines: each((run) => noisy(run, "grad_norm", "norm", true)) });
  const known = ["loss", "val_loss", "grad_norm", "steps_per_second", "memory"];
  const others = [...new Set(runs.flatMap((run) => [...run.curves.keys()]))].filter((name) => !known.includes(name) && !name.startsWith("lr."));
  for (const name of new Set(others.map((name) => name.replace(/\.\d+$/, "")))) {
    const isList = !has(name);
    found.push({ title: titleOf(name), lines: each((run) => isList ? groups(run, name) : plain(run, name, titleOf(name).toLowerCase(), { points: /^(val|test_)/.test(name) })) });
  }
  if (has("steps_per_second")) found.push({ title: "Throughput, steps per second", lines: each((run) => plain(run, "steps_per_second", "steps per second")) });
  if (has("memory")) found.push({ title: "Memory of the process", unit: bytes, lines: each((run) => plain(run, "memory", "memory")) });
  return found;
}

/** Names a field of the log for people. */
function titleOf(name) {
  const words = name.replace(/^val_/, "validation ").replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

/** Draws all charts again. */
function redraw() {
  for (const chart of charts) chart.draw();
}

let waiting = null;

/** Refreshes the charts for which `is` holds before the next frame, however often it is asked for. */
function refreshSoon(is = () => true) {
  const isFirst = !waiting;
  waiting = [...(waiting ?? []), is];
  if (!isFirst) return;
  requestAnimationFrame(() => {
    const asked = waiting;
    waiting = null;
    for (const chart of charts) if (asked.some((is) => is(chart))) chart.refresh();
  });
}

/** Shows a page: the entry of the scripts. `data` is what the page embeds, or a server sends. */
function show(data) {
  runs = data.runs.map(readRun);
  const place = document.getElementById("charts");
  charts.splice(0).forEach((chart) => chart.plot?.destroy());
  place.replaceChildren(...definitions().map((definition) => new Chart(definition, view).element));
  if (runs.some((run) => run.events.length)) {
    const line = new Timeline(view).element;
    if (place.firstChild) place.firstChild.after(line); else place.append(line);
  }
  showControls();
  showRuns();
  showDifferences();
  showPredictions();
  showTensors();
  showConfigs();
  redraw();
}

/**
 * Adds what is new in a run, on a live page. `newPoints` may have `curves`: by name the steps `x` and the values `y`
 * of new points; and any other field of a run, which replaces the one before. A step that is there already was made
 * again, so it and the steps after it are replaced.
 */
function update(runName, newPoints) {
  const run = runs.find((run) => run.name === runName);
  if (!run) return;
  const { curves = {}, ahead, ...others } = newPoints;
  Object.assign(run, others);
  if (ahead) run.ahead = new Map(ahead.map((curve) => [curve.name, readCurve(curve)]));
  let isNew = false;
  for (const [name, { x, y }] of Object.entries(curves)) {
    if (!run.curves.has(name)) {
      run.curves.set(name, { name, every: 1, x: [], y: [], means: null });
      isNew = true;
    }
    extend(run.curves.get(name), x, y);
  }
  if (isNew) addCharts();
  showRuns();
  refreshSoon();
}

/** Adds the charts of curves that no run had before. */
function addCharts() {
  const titles = new Set(charts.map((chart) => chart.options.title));
  for (const definition of definitions().filter((definition) => !titles.has(definition.title))) {
    document.getElementById("charts").append(new Chart(definition, view).element);
  }
}

"use strict";
// Tables: the runs, what differs in their configurations, the configurations and their changes, the tensors.

/** Returns the last value of a curve and its step. */
function lastOf(run, name) {
  const curve = run.curves.get(name);
  const place = curve ? nearest(curve.y, curve.y.length - 1) : null;
  return place === null ? null : { value: curve.y[place], step: curve.x[place] };
}

/** Returns the lowest value of a curve and its step. */
function lowestOf(run, name) {
  let best = null;
  run.curves.get(name)?.y.forEach((value, place) => {
    if (value !== null && (best === null || value < best.value)) best = { value, step: run.curves.get(name).x[place] };
  });
  return best;
}

function rowOf(run) {
  const value = (found) => (found ? number(found.value) : "–");
  const best = lowestOf(run, "val_loss");
  return [
    make("span", {}, swatchOf(run), " ", run.name),
    (run.state ?? "only a log").replace("_", " "),
    `${number(run.step)}${run.total_steps ? ` of ${number(run.total_steps)}` : ""}`,
    value(lastOf(run, "loss")),
    value(lastOf(run, "val_loss")),
    best ? `${number(best.value)} at step ${number(best.step)}` : "–",
    value(lastOf(run, "val_accuracy")),
    run.times.length > 1 ? span(run.times.at(-1)[1]) : "–",
    time(run.written),
  ];
}

/** Shows the table of runs, which changes on a live page. */
function showRuns() {
  const header = ["run", "state", "steps", "loss", "validation loss", "lowest", "validation accuracy", "took", "written"];
  const faults = runs.filter((run) => run.problem).map((run) => make("p", { class: "bad" }, `${run.name}: ${run.problem}`));
  find("runs").replaceChildren(make("div", { class: "card" }, table("Runs", header, runs.map(rowOf)), ...faults));
}

/** A part of the page that is closed at first, and is filled when it is opened. */
function folded(title, fill, isOpen = false) {
  const details = make("details", { class: "card" }, make("summary", {}, make("h2", {}, title)));
  let isFilled = false;
  details.ontoggle = () => {
    if (details.open && !isFilled) {
      isFilled = true;
      details.append(...fill());
    }
  };
  details.open = isOpen;
  return details;
}

/** Shows the settings in which the runs differ, a column for each run. */
function showDifferences() {
  if (runs.length < 2) return find("differences").replaceChildren();
  const settings = runs.map((run) => new Map(run.config.map(({ key, value }) => [key, value])));
  const keys = [...new Set(runs.flatMap((run) => run.config.map(({ key }) => key)))];
  const known = settings.filter((of) => of.size);
  const differ = keys.filter((key) => known.some((of) => of.get(key) !== known[0].get(key)));
  const rows = differ.map((key) => [key, ...settings.map((of) => of.get(key) ?? "–")]);
  const content = rows.length ? table("Settings that differ", ["setting", ...runs.map((run) => run.name)], rows, { class: "long" })
    : make("p", { class: "muted" }, "The configurations are the same.");
  find("differences").replaceChildren(make("div", { class: "card" }, make("h2", {}, "Settings that differ"), content));
}

/** Shows each run's facts, configuration and changes. */
function showConfigs() {
  find("config").replaceChildren(...runs.filter((run) => run.config.length).map((run) => {
    const changes = run.events.filter((event) => event.kind === "change");
    const title = `Configuration${runs.length > 1 ? ` of ${run.name}` : ""}${changes.length ? `, changed ${changes.length === 1 ? "once" : `${changes.length} times`}` : ""}`;
    return folded(title, () => [
      changes.length ? table("Changes", ["after step", "change"], changes.map((event) => [number(event.step), event.text]), { class: "long" }) : null,
      table("Settings", ["setting", "value"], run.config.map(({ key, value }) => [key, value]), { class: "long" }),
    ].filter(Boolean));
  }));
}

/** Draws a histogram as small bars. */
function bars(counts, low, high) {
  const [width, height] = [120, 24];
  const most = Math.max(...counts);
  const each = width / counts.length;
  const path = counts.map((count, place) => {
    const tall = count && Math.max(1, (height * count) / most);
    return `M${(place * each).toFixed(1)} ${height}v${(-tall).toFixed(1)}h${Math.max(1, each - 1).toFixed(1)}v${tall.toFixed(1)}z`;
  });
  const name = `Histogram from ${number(low)} to ${number(high)}: ${counts.join(", ")}`;
  return drawing(width, height, name, { d: path.join(""), fill: "currentColor" });
}

/** Makes a drawing of paths with a name for those who do not see it. */
function drawing(width, height, name, ...paths) {
  const svg = (tag, attributes) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  };
  const made = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": name, class: "bars" });
  made.append(...paths.map((path) => svg("path", path)));
  return made;
}

/** Shows the tensors of the newest checkpoint of each run. */
function showTensors() {
  find("tensors").replaceChildren(...runs.filter((run) => run.weights).map((run) => {
    const { step, tensors, note } = run.weights;
    const title = `Tensors${runs.length > 1 ? ` of ${run.name}` : ""} after step ${number(step)}`;
    return folded(title, () => {
      const rows = tensors.map((tensor) => {
        const name = tensor.part === "model" ? tensor.name : `${tensor.part}: ${tensor.name}`;
        const bad = tensor.non_finite ? make("b", { class: "bad" }, number(tensor.non_finite)) : tensor.non_finite === 0 ? "0" : "–";
        return [name, `[${tensor.shape.join(", ")}]`, tensor.dtype, number(tensor.mean), number(tensor.std), number(tensor.min),
          number(tensor.max), bad, tensor.histogram.length ? bars(tensor.histogram, tensor.min, tensor.max) : ""];
      });
      const header = ["tensor", "shape", "type", "mean", "std", "min", "max", "NaN or infinite", "distribution"];
      const words = note ? [make("p", { class: "muted" }, note)] : [];
      return [...words, table(title, header, rows)];
    }, runs.length === 1);
  }));
}

"use strict";
// Tables: the runs, what differs in their configurations, the configurations.

/** Returns the last value of a curve and its step. */
function lastOf(run, name) {
  const curve = run.curves.get(name);
  const place = curve ? nearest(curve.y, curve.y.length - 1) : null;
  return place === null ? null : { value: curve.y[place], step: curve.x[place] };
}

/** Returns the lowest value of a curve and its step. */
function lowestOf(run, name) {
  const curve = run.curves.get(name);
  if (!curve) return null;
  let best = null;
  curve.y.forEach((value, place) => {
    if (value !== null && (best === null || value < best.value)) best = { value, step: curve.x[place] };
  });
  return best;
}

function rowOf(run) {
  const value = (found) => (found ? number(found.value) : "–");
  const best = lowestOf(run, "val_loss");
  const took = run.times.length > 1 ? span(run.times.at(-1)[1]) : "–";
  const total = run.total_steps ? ` of ${number(run.total_steps)}` : "";
  return [
    make("span", {}, swatchOf(run), " ", run.name),
    (run.state ?? "only a log").replace("_", " "),
    `${number(run.step)}${total}`,
    value(lastOf(run, "loss")),
    value(lastOf(run, "val_loss")),
    best ? `${number(best.value)} at step ${number(best.step + 1)}` : "–",
    value(lastOf(run, "val_accuracy")),
    took,
    time(run.written),
  ];
}

function showTables() {
  const header = ["run", "state", "step", "loss", "validation loss", "lowest", "validation accuracy", "took", "written"];
  const card = make("div", { class: "card" }, table("Runs", header, runs.map(rowOf)));
  for (const run of runs.filter((run) => run.problem)) card.append(make("p", { class: "bad" }, `${run.name}: ${run.problem}`));
  find("runs").replaceChildren(card);
}

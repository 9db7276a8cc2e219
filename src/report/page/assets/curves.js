"use strict";
// The curves of runs: from the data of the page to the points of a chart.

/** More points than this are thinned while a page is live. */
const MOST_POINTS = 40000;

/** Returns running sums: steps from their differences. */
function steps(differences) {
  let at = 0;
  return differences.map((more) => (at += more));
}

/** Reads the curve of a page. */
function readCurve(curve) {
  const means = curve.means && { x: steps(curve.means.x), y: curve.means.y };
  return { name: curve.name, every: curve.every, x: steps(curve.x), y: curve.y, means };
}

/** Reads a run of a page. */
function readRun(run, place) {
  const named = (curves) => new Map(curves.map((curve) => [curve.name, readCurve(curve)]));
  return { ...run, place, curves: named(run.curves), ahead: named(run.ahead) };
}

/** Adds points to a curve. Steps that are there already were made again after a kill: the new ones count. */
function extend(curve, x, y) {
  if (!x.length) return;
  for (const points of [curve, curve.means]) {
    while (points && points.x.length && points.x[points.x.length - 1] >= x[0]) {
      points.x.pop();
      points.y.pop();
    }
  }
  for (let place = 0; place < x.length; place++) {
    curve.x.push(x[place]);
    curve.y.push(y[place]);
    if (curve.means && y[place] !== null) {
      curve.means.x.push(x[place]);
      curve.means.y.push(y[place]);
    }
  }
  if (curve.x.length > MOST_POINTS) thin(curve);
}

/** Keeps the lowest and the highest of every four points, and the ends. */
function thin(curve) {
  if (!curve.means) curve.means = { x: [...curve.x], y: [...curve.y] };
  const x = [], y = [];
  for (let begin = 0; begin < curve.x.length; begin += 4) {
    const places = [...Array(Math.min(4, curve.x.length - begin)).keys()].map((more) => begin + more);
    const known = places.filter((place) => curve.y[place] !== null);
    const by = (better) => known.reduce((best, place) => (better(curve.y[place], curve.y[best]) ? place : best), known[0]);
    const kept = known.length ? new Set([by((a, b) => a < b), by((a, b) => a > b)]) : new Set([begin]);
    if (begin === 0) kept.add(0);
    for (const place of [...kept].sort((a, b) => a - b)) {
      x.push(curve.x[place]);
      y.push(curve.y[place]);
    }
  }
  Object.assign(curve, { x, y, every: curve.every * 2 });
}

/** Smooths values by an exponential average, divided by the sum of its weights, so that the first do not lean to 0. */
function smoothed(values, share) {
  let average = 0, weights = 0;
  return values.map((value) => {
    if (value === null) return null;
    average = share * average + (1 - share) * value;
    weights = share * weights + (1 - share);
    return average / weights;
  });
}

/** Returns the place of a step on the horizontal axis; null where the run does not tell it. */
function placer(run, axis) {
  if (axis === "epoch") return run.steps_per_epoch ? (step) => epochsAfter(run, step + 1) : () => null;
  if (axis === "time") return run.times.length > 1 ? (step) => timeOf(run.times, step + 1) : () => null;
  return (step) => step;
}

/** Returns the epochs that this number of updates makes: evenly between the points of the run, and after the last one. */
function epochsAfter({ epochs, steps_per_epoch }, done) {
  let place = epochs.length - 1;
  while (place > 0 && epochs[place][0] > done) place--;
  const [step, before] = epochs[place];
  const [end, after] = epochs[place + 1] ?? [step + steps_per_epoch, before + 1];
  return before + ((after - before) * (done - step)) / (end - step);
}

/** Returns the hours since the beginning at which this number of updates was made: on the line through its neighbours. */
function timeOf(times, done) {
  let low = 1, high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle][0] < done) low = middle + 1; else high = middle;
  }
  const [[first, begin], [last, end]] = [times[low - 1], times[low]];
  return (begin + ((end - begin) * (done - first)) / (last - first)) / 3600;
}

/** Returns the points of a curve for a chart: those that have a place on its axes. */
function placed(x, y, run, view, logY) {
  const place = placer(run, view.axis);
  const xs = [], ys = [];
  for (let point = 0; point < x.length; point++) {
    const at = place(x[point]);
    if (at === null || (view.logX && at <= 0)) continue;
    xs.push(at);
    ys.push(logY && y[point] !== null && y[point] <= 0 ? null : y[point]);
  }
  return [xs, ys];
}

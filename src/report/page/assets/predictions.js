"use strict";
// Predictions beside targets: a table of the classes that are taken for each other, predicted over true values, and
// single rows, images and texts to look at.

/** Most classes of a table of all pairs. */
const MOST_CLASSES = 40;

/** Shows the predictions of each run. */
function showPredictions() {
  find("outcome").replaceChildren(...runs.filter((run) => run.predictions).map((run) => (run.card = predictionsOf(run))));
}

/** Shows the predictions of a run in the place of those before. */
function showPredictionsOf(run) {
  const card = predictionsOf(run);
  run.card.replaceWith(card);
  run.card = card;
}

function predictionsOf(run) {
  const { review, note } = run.predictions;
  const of = runs.length > 1 ? ` of ${run.name}` : "";
  if (!review) return make("div", { class: "card" }, make("h2", {}, `Predictions${of}`), make("p", { class: "muted" }, note));
  const rows = `${number(review.seen)}${review.seen < review.all && !review.text ? ` of ${number(review.all)}` : ""} ${review.rows} rows`;
  const words = make("p", { class: "muted" }, `The model after step ${number(review.step)}, on ${rows}.`);
  const content = review.classes ? ofClasses(review.classes) : review.values ? ofValues(review.values, run) : ofText(review.text);
  return make("div", { class: "card" }, make("h2", {}, `Predictions${of}`), words, ...content);
}

function ofClasses({ names, counts, examples }) {
  const name = (place) => names[place] ?? String(place);
  const wrong = counts.filter(([target, predicted]) => target !== predicted).sort((a, b) => b[2] - a[2]);
  const all = counts.reduce((sum, [, , count]) => sum + count, 0);
  if (!all) return [make("p", { class: "muted" }, "These rows have no pairs of a true and a predicted class.")];
  const missed = wrong.reduce((sum, [, , count]) => sum + count, 0);
  const summary = make("p", {}, `${number(all - missed)} of ${number(all)} are right (${(100 * (1 - missed / all)).toFixed(2)} %).`);
  const parts = [];
  if (names.length <= MOST_CLASSES) parts.push(confusion(name, names.length, counts));
  if (wrong.length) {
    const rows = wrong.slice(0, 10).map(([target, predicted, count]) => [name(target), name(predicted), number(count)]);
    parts.push(make("div", {}, make("h3", {}, "Most frequent mistakes"), table("Most frequent mistakes", ["true", "predicted", "rows"], rows)));
  }
  parts.push(make("div", { class: "grow" }, make("h3", {}, "Rows: the first, and the surest mistakes"), shownExamples(examples, name)));
  return [summary, make("div", { class: "parts" }, ...parts)];
}

/** The table of true classes over predicted ones. A darker cell has a larger share of its row. */
function confusion(name, size, counts) {
  const cells = Array.from({ length: size }, () => Array(size).fill(0));
  for (const [target, predicted, count] of counts) if (cells[target]) cells[target][predicted] = count;
  const header = ["true ↓ predicted →", ...cells.map((_, place) => name(place))];
  const made = table("Confusion matrix", header, cells.map((row, place) => [name(place), ...row.map((count) => (count ? number(count) : ""))]),
    { class: "confusion" });
  const bodies = made.querySelectorAll("tbody tr");
  cells.forEach((row, target) => {
    const sum = row.reduce((a, b) => a + b, 0) || 1;
    row.forEach((count, predicted) => {
      if (!count) return;
      const share = Math.round(12 + 60 * (count / sum));
      const tone = target === predicted ? "var(--focus)" : "var(--bad)";
      bodies[target].cells[predicted + 1].style.background = `color-mix(in srgb, ${tone} ${share}%, transparent)`;
    });
  });
  return make("div", {}, make("h3", {}, "Confusion matrix"), made);
}

function shownExamples(examples, name) {
  if (!examples.some((example) => example.image)) {
    const rows = examples.map((example) => [number(example.row), name(example.target),
      make("span", { class: example.target === example.predicted ? null : "bad" }, name(example.predicted)), example.probability.toFixed(3)]);
    return table("Rows", ["row", "true", "predicted", "probability"], rows);
  }
  return make("div", { class: "images" }, ...examples.map((example) => {
    const isRight = example.target === example.predicted;
    const words = isRight ? `${name(example.predicted)} ✓` : `${name(example.target)}, not ${name(example.predicted)}`;
    const label = make("span", { class: isRight ? null : "bad" }, words);
    return make("div", { title: `row ${example.row}, probability ${example.probability.toFixed(3)}` }, picture(example.image, words), label);
  }));
}

/** Paints an image, which is stored channel by channel. */
function picture({ width, height, channels, pixels }, name) {
  const canvas = make("canvas", { width, height, role: "img", "aria-label": name });
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const plane = width * height;
  for (let at = 0; at < plane; at++) {
    for (let channel = 0; channel < 3; channel++) {
      image.data[4 * at + channel] = pixels[at + (channels === 3 ? channel * plane : 0)];
    }
    image.data[4 * at + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Draws predicted over true values, with the line on which both are equal. */
function ofValues({ pairs }, run) {
  if (!pairs.length) return [make("p", { class: "muted" }, "These rows have no pairs of a true and a predicted value.")];
  const outputs = [...new Set(pairs.map(([output]) => output))];
  return [make("div", { class: "parts" }, ...outputs.map((output) => {
    const own = pairs.filter(([of]) => of === output);
    const values = own.flatMap(([, target, predicted]) => [target, predicted]);
    const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
    const size = 300;
    const place = (value) => (8 + ((size - 16) * (value - low)) / (high - low || 1)).toFixed(1);
    const flipped = (value) => (size - place(value)).toFixed(1);
    const points = own.map(([, target, predicted]) => `M${place(target)} ${flipped(predicted)}h0`).join("");
    const error = own.reduce((sum, [, target, predicted]) => sum + Math.abs(target - predicted), 0) / own.length;
    const words = `${number(own.length)} rows, mean absolute error ${number(error)}. Both axes from ${number(low)} to ${number(high)}; the line is where both are equal.`;
    const title = outputs.length > 1 ? `Predicted over true, output ${output}` : "Predicted over true";
    return make("div", {}, make("h3", {}, title), make("p", { class: "muted" }, words),
      drawing(size, size, `${title}. ${words}`, { d: `M8 ${size - 8}L${size - 8} 8`, stroke: "var(--muted)", fill: "none" },
        { d: points, stroke: color(run), "stroke-width": 4, "stroke-linecap": "round", "stroke-opacity": 0.6, fill: "none" }));
  }))];
}

function ofText({ texts }) {
  return texts.map(({ prompt, target, predicted }) => make("div", { class: "parts" },
    make("div", { class: "grow" }, make("h3", {}, "Beginning, and the model's continuation"),
      make("p", { class: "prose" }, make("span", { class: "muted" }, prompt), predicted)),
    make("div", { class: "grow" }, make("h3", {}, "Beginning, and how the text continues"),
      make("p", { class: "prose" }, make("span", { class: "muted" }, prompt), target))));
}

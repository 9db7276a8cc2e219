#!/usr/bin/env bash
# ml-pls does not predict a line that it has fitted exactly, and without scaling it is far off.
#
# Packages: ml-pls 4.4.1, ml-matrix 6.15.1 (npm, Node.js 20).
# Expected: with as many latent vectors as columns, partial least squares is least squares: for y = 4 a - b, without
#           noise, it predicts y. The option scale says "rescale dataset using mean", so without it the predictions are
#           in the units of y all the same. Predicting twice gives the same twice.
# Seen:     the fit leaves no residual, but the predictions for the training rows are up to two off: they go through the
#           loadings where the weights would be right, which is only the same if the columns are uncorrelated. With
#           scale off, prediction multiplies by a deviation and adds a mean that training did not take out: 2 becomes
#           14. A Matrix is overwritten by the prediction, so that the same call twice gives other numbers; without
#           scaling the training overwrites both its matrices with residuals. Lists stay as they are.
# Why it matters: a score of the training set, near enough, looks like a little noise. Evaluating a model twice on one
#           matrix, after each save for example, lets it look worse the second time.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --prefix "$work" ml-pls@4.4.1 ml-matrix@6.15.1
cat > "$work/seen.mjs" <<'JAVASCRIPT'
import { Matrix } from "ml-matrix";
import { PLS } from "ml-pls";

const correlated = [[1, 2], [2, 1], [3, 5], [4, 3]];
const uncorrelated = [[1, 1], [1, 2], [2, 1], [2, 2]];
const shown = (matrix) => matrix.to1DArray().map((value) => Number(value.toFixed(2)) + 0).join(" ");
const line = (rows) => rows.map(([a, b]) => [4 * a - b]);

for (const [name, rows, scale] of [
  ["uncorrelated columns", uncorrelated, true],
  ["correlated columns", correlated, true],
  ["correlated columns, not scaled", correlated, false],
]) {
  const [inputs, targets] = [new Matrix(rows), new Matrix(line(rows))];
  const model = new PLS({ latentVectors: 2, scale });
  model.train(inputs, targets);
  console.log(`${name}: y ${line(rows).join(" ")}, residual of the fit ${model.F.norm().toFixed(6)}`);
  const again = new Matrix(rows);
  console.log(`  predicted ${shown(model.predict(again))}, once more ${shown(model.predict(again))}`);
  console.log(`  inputs after the training ${shown(inputs)}, after the predictions ${shown(again)}`);
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
uncorrelated columns: y 3 2 7 6, residual of the fit 0.000000
  predicted 3 2 7 6, once more -2.6 -4.33 4.33 2.6
  inputs after the training 1 1 1 2 2 1 2 2, after the predictions -4.1 -4.1 -4.1 -1.1 -1.1 -4.1 -1.1 -1.1
correlated columns: y 2 7 7 13, residual of the fit 0.000000
  predicted 3.71 6.88 7.34 11.06, once more -0.66 1.7 2.47 5.14
  inputs after the training 1 2 2 1 3 5 4 3, after the predictions -2.84 -1.87 -2.24 -2.21 -1.64 -0.84 -1.04 -1.52
correlated columns, not scaled: y 2 7 7 13, residual of the fit 0.000000
  predicted 13.69 35.06 31.54 57.89, once more 13.69 35.06 31.54 57.89
  inputs after the training 0 0 0 0 0 0 0 0, after the predictions 1 2 2 1 3 5 4 3
TEXT
node "$work/seen.mjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

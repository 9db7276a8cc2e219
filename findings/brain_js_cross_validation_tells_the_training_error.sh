#!/usr/bin/env bash
# The cross validation of brain.js reports the error of the training, and picks its best network by it.
#
# Package: brain.js 1.6.1 (npm, Node.js 20).
# Expected: cross validation judges each network by rows that it was not trained with, "a less fragile way of training";
#           toNeuralNetwork is to "get top performing net" by that. Every row is tested once.
# Seen:     each network is tested, and then the error of the test is overwritten by the last one of its training. For
#           targets that are random, and can't be known, the average error is 0.005, at which the training stops, and
#           that of the rows left out is 0.20. The network given back is the one with the smallest training error, here
#           the third of four on the rows left out. With 22 rows in four folds two rows are in no test, as the folds'
#           size is 5.5 and each is cut off at both ends. Counts of true and false answers are those of the test.
# Why it matters: the number is there to show overfitting, and shows it the less, the more there is.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" brain.js@1.6.1
cat > "$work/seen.cjs" <<'JAVASCRIPT'
let last = 1;
Math.random = () => (last = (last * 16807) % 2147483647) / 2147483647; // the same numbers in each run
const { CrossValidate, NeuralNetwork } = require("brain.js");

const random = (length) => Array.from({ length }, () => Math.random());
const rows = (length) => Array.from({ length }, () => ({ input: random(4), output: random(2) }));
const training = { iterations: 20000, errorThresh: 0.005, learningRate: 0.3 };

const data = rows(20); // is shuffled in place, each fold is five rows of it
const validation = new CrossValidate(NeuralNetwork, { hiddenLayers: [30] });
const { avgs, sets } = validation.train(data, training, 4);
const error = (network, tested) => {
  const errors = tested.flatMap(({ input, output }) => output.map((value, place) => value - network.run(input)[place]));
  return errors.reduce((sum, value) => sum + value * value, 0) / errors.length;
};
const outside = sets.map(({ network }, fold) => {
  return error(new NeuralNetwork().fromJSON(network), data.slice(5 * fold, 5 * fold + 5));
});
console.log(`average error told: ${avgs.error.toFixed(4)}`);
console.log(`errors told: ${sets.map((set) => set.error.toFixed(6)).join(" ")}`);
console.log(`errors of the rows left out: ${outside.map((value) => value.toFixed(4)).join(" ")}`);
const given = JSON.stringify(validation.toNeuralNetwork().toJSON().layers);
const place = sets.findIndex(({ network }) => JSON.stringify(network.layers) === given);
console.log(`network given back: that of fold ${place + 1}`);

const { stats } = new CrossValidate(NeuralNetwork, {}).train(rows(22), { iterations: 1 }, 4);
console.log(`22 rows in four folds: ${stats.total} tested, fold size ${stats.testSize}`);
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
average error told: 0.0050
errors told: 0.004998 0.005000 0.005000 0.004995
errors of the rows left out: 0.1908 0.1788 0.2241 0.2149
network given back: that of fold 4
22 rows in four folds: 20 tested, fold size 5.5
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

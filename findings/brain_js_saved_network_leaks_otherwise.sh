#!/usr/bin/env bash
# A network of brain.js with its own slope of the leaky rectifier answers otherwise after it was saved and loaded.
#
# Package: brain.js 1.6.1 (npm, Node.js 20).
# Expected: toJSON and fromJSON are to save and load "the state of a trained network": the loaded one gives the outputs
#           of the saved one, as toFunction, the other way to keep it, does.
# Seen:     the name of the activation is in the JSON, and leakyReluAlpha, its documented option, is not. fromJSON takes
#           the default 0.01, also in a network that was made with the right value: all options go back to their
#           defaults there. So does binaryThresh, the limit from which an output counts as true, and with it what test
#           says about the same outputs. The weights are exact, and with both options written into the JSON by hand
#           all is as it was.
# Why it matters: training goes well, and the deployed copy is another network. With a slope of 0.3 the outputs here
#           drop from 0.28 and more to 0.01. Training that is continued after loading has another gradient, too.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" brain.js@1.6.1
cat > "$work/seen.cjs" <<'JAVASCRIPT'
let last = 1;
Math.random = () => (last = (last * 16807) % 2147483647) / 2147483647; // the same initial weights in each run
const { NeuralNetwork } = require("brain.js");

const data = [[0, 0], [0, 1], [1, 0], [1, 1]].map(([a, b]) => ({ input: [a, b], output: [Number(a || b)] }));
const log = (name, answer, network) => {
  const outputs = data.map(({ input }) => answer(input)[0].toFixed(3)).join(" ");
  const told = network ? `, test: ${network.test(data).truePos} of 3 true` : "";
  console.log(`  ${name}: ${outputs}${told}`);
};
for (const activation of ["sigmoid", "leaky-relu"]) {
  console.log(activation);
  const options = { hiddenLayers: [3], activation, leakyReluAlpha: 0.3, binaryThresh: 0.95 };
  const network = new NeuralNetwork(options);
  network.train(data, { iterations: 300, learningRate: 0.1 });
  log("trained", (input) => network.run(input), network);
  log("as a function", network.toFunction());
  const text = JSON.stringify(network.toJSON());
  const loaded = new NeuralNetwork(options).fromJSON(JSON.parse(text));
  log("loaded", (input) => loaded.run(input), loaded);
  const added = new NeuralNetwork().fromJSON({ ...JSON.parse(text), leakyReluAlpha: 0.3, binaryThresh: 0.95 });
  log("loaded, the options added to the JSON", (input) => added.run(input), added);
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
sigmoid
  trained: 0.739 0.757 0.756 0.771, test: 0 of 3 true
  as a function: 0.739 0.757 0.756 0.771
  loaded: 0.739 0.757 0.756 0.771, test: 3 of 3 true
  loaded, the options added to the JSON: 0.739 0.757 0.756 0.771, test: 0 of 3 true
leaky-relu
  trained: 0.276 0.750 0.731 1.206, test: 1 of 3 true
  as a function: 0.276 0.750 0.731 1.206
  loaded: 0.009 0.010 0.010 0.010, test: 0 of 3 true
  loaded, the options added to the JSON: 0.276 0.750 0.731 1.206, test: 1 of 3 true
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

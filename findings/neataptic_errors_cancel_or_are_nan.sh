#!/usr/bin/env bash
# Of neataptic's cost functions one lets errors cancel, one explodes, and one is NaN for a perfect answer.
#
# Package: neataptic 1.4.7 (npm, Node.js 20).
# Expected: the mean squared logarithmic error squares the logarithms' differences, and is 0 only if all are equal; the
#           absolute percentage error divides by the size of the target, also if that is negative; the cross entropy of
#           the targets themselves is 0. Lower is better.
# Seen:     MSLE does not square: twice too much and half of it cancel to 0, and the further above, the better. MAPE of
#           -1 for -2 is 1e15, while 1 for 2 is 0.5. CROSS_ENTROPY limits the output from below only, so that 1 for 1
#           is 0 times minus infinity, NaN; a logistic output is exactly 1 from 37 on. BINARY, which counts misses,
#           takes 0.7 for 1 and 0.3 for 0 as misses: its limits are a quarter away from either end.
# Why it matters: these measure training, tests and the fitness in evolution. Training lasts while the error is above
#           the target, and NaN is not: the run ends at that moment as if the target were reached, whatever the rest.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" neataptic@1.4.7
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { Network, methods } = require("neataptic");

function show(name, targets, outputs) {
  console.log(`${name} of ${outputs.join(" ")} for ${targets.join(" ")}: ${methods.cost[name](targets, outputs)}`);
}
show("MSLE", [2, 2], [4, 1]);
show("MSLE", [2, 2], [8, 8]);
show("MAPE", [2], [1]);
show("MAPE", [-2], [-1]);
show("CROSS_ENTROPY", [1, 0], [0.99, 0.01]);
show("CROSS_ENTROPY", [1, 0], [1, 0]);
show("BINARY", [1, 0], [0.8, 0.2]);
show("BINARY", [1, 0], [0.7, 0.3]);

const network = Network.fromJSON({
  input: 1,
  output: 1,
  dropout: 0,
  nodes: ["input", "output"].map((type) => ({ type, bias: 0, squash: "LOGISTIC", mask: 1 })),
  connections: [{ from: 0, to: 1, weight: 40, gater: null }],
});
const data = [[1, 1], [-1, 1], [-2, 1]].map(([input, output]) => ({ input: [input], output: [output] }));
const cost = methods.cost.CROSS_ENTROPY;
const { error, iterations } = network.train(data, { cost, error: 0.01, iterations: 1000, rate: 0.1 });
console.log(`training to an error of 0.01: ${error} after ${iterations} of 1000 iterations`);
console.log(`outputs then: ${data.map(({ input }) => network.activate(input)[0].toFixed(3)).join(" ")}, wanted: 1`);
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
MSLE of 4 1 for 2 2: 0
MSLE of 8 8 for 2 2: -2.7725887222397807
MAPE of 1 for 2: 0.5
MAPE of -1 for -2: 999999999999999.9
CROSS_ENTROPY of 0.99 0.01 for 1 0: 0.01005033585350145
CROSS_ENTROPY of 1 0 for 1 0: NaN
BINARY of 0.8 0.2 for 1 0: 0
BINARY of 0.7 0.3 for 1 0: 2
training to an error of 0.01: NaN after 1 of 1000 iterations
outputs then: 1.000 0.000 0.000, wanted: 1
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

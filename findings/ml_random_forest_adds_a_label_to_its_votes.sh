#!/usr/bin/env bash
# The probabilities of ml-random-forest leave out the vote of the first tree and add its label instead.
#
# Packages: ml-random-forest 2.1.0, ml-cart 2.1.1 (npm, Node.js 20).
# Expected: predictProbability "predicts the probability of a label": the share of the trees that vote for it. Where all
#           ten trees agree it is 1, otherwise k/10, and over all labels the sum is 1.
# Seen:     the sum over the trees begins with the label that the first tree predicts, as a number of millionths, and
#           this tree's vote is not counted. Ten trees that agree give 0.9, and 0.000002 for a label that has no vote
#           if the first tree predicts 2. The probabilities of all labels add up to 0.9, give or take these millionths.
#           A forest of one tree is sure of nothing: its own prediction has 0, or its label in millionths.
# Why it matters: with few trees a threshold such as 0.95 is never reached, log losses are off, and two forests of
#           different sizes can't be compared.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --prefix "$work" ml-random-forest@2.1.0 ml-cart@2.1.1
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { RandomForestClassifier } = require("ml-random-forest");

const inputs = Array.from({ length: 30 }, (_, place) => [place]);
const labels = inputs.map(([place]) => Math.floor(place / 10));
for (const trees of [10, 1]) {
  const forest = new RandomForestClassifier({ nEstimators: trees, seed: 1, noOOB: true });
  forest.train(inputs, labels);
  for (const place of [3, 15, 26]) {
    const votes = forest.predictionValues([[place]]).getRow(0);
    const shares = [0, 1, 2].map((label) => votes.filter((vote) => vote === label).length / trees);
    const seen = [0, 1, 2].map((label) => forest.predictProbability([[place]], label)[0]);
    console.log(`${trees} in the forest, at ${place}: votes ${shares.join(" ")}, probabilities ${seen.join(" ")}`);
  }
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
10 in the forest, at 3: votes 1 0 0, probabilities 0.9 0 0
10 in the forest, at 15: votes 0 1 0, probabilities 0.000001 0.900001 0.000001
10 in the forest, at 26: votes 0 0 1, probabilities 0.000002 0.000002 0.900002
1 in the forest, at 3: votes 1 0 0, probabilities 0 0 0
1 in the forest, at 15: votes 0 1 0, probabilities 0.000001 0.000001 0.000001
1 in the forest, at 26: votes 0 0 1, probabilities 0.000002 0.000002 0.000002
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

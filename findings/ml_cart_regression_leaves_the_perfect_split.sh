#!/usr/bin/env bash
# A regression tree of ml-cart does not make a split that leaves no error: a clean step is predicted as its mean.
#
# Package: ml-cart 2.1.1 (npm, Node.js 20).
# Expected: the best split of a regression tree is the one that leaves the least squared error (CART). One that leaves
#           none at all is the best there is: ten points that are 0 up to 4 and 1 from 5 on take one split.
# Seen:     what is called the gain of a split is the squared error that remains after it, and a node is divided only if
#           this is above 0. The tree has no split and predicts 0.5 everywhere. If one point is 1.01 instead of 1, the
#           step is found, and the one from 1 to 1.01, a clean one again, is not. Of three levels the upper one is
#           found, and the two lower ones get their mean. A classification tree learns the same step.
# Why it matters: constant pieces are what a tree fits best, and counts, prices and ratings come in them. There is no
#           error, and with a little noise in the data the trees are right, so that a test with noise does not show it.
#           The regression forests of ml-random-forest are made of these trees.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --prefix "$work" ml-cart@2.1.1
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { DecisionTreeClassifier, DecisionTreeRegression } = require("ml-cart");

const inputs = Array.from({ length: 10 }, (_, place) => [place]);
function learned(name, Tree, target) {
  const tree = new Tree();
  tree.train(inputs, inputs.map(([place]) => target(place)));
  console.log(`${name}: ${tree.predict(inputs).map((value) => Number(value.toFixed(3))).join(" ")}`);
}
learned("step", DecisionTreeRegression, (place) => (place < 5 ? 0 : 1));
learned("step with one point at 1.01", DecisionTreeRegression, (place) => (place < 5 ? 0 : place === 9 ? 1.01 : 1));
learned("levels 0, 1 and 3", DecisionTreeRegression, (place) => (place < 3 ? 0 : place < 7 ? 1 : 3));
learned("step as classes", DecisionTreeClassifier, (place) => (place < 5 ? 0 : 1));
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
step: 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5 0.5
step with one point at 1.01: 0 0 0 0 0 1.002 1.002 1.002 1.002 1.002
levels 0, 1 and 3: 0.571 0.571 0.571 0.571 0.571 0.571 0.571 3 3 3
step as classes: 0 0 0 0 0 1 1 1 1 1
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

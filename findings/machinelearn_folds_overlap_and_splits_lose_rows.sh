#!/usr/bin/env bash
# machinelearn tests some rows in several folds and others in none, and loses rows when it splits a set.
#
# Package: machinelearn 2.1.5 (npm, Node.js 20).
# Expected: "each fold is then used once as a validation": every row is in one test fold, shuffled or not. A split into
#           0.7 and 0.3 has all rows in one part or the other. The confusion matrix has the labels "in sorted order",
#           for rows and columns, so that what is right is on its diagonal.
# Seen:     with shuffle the rows are shuffled once more for each fold: of 100 rows in ten folds about 35 are in no test
#           fold, and about 26 in two or more. Without it the last rows are in none, if the folds do not come out even.
#           The split draws from the numbers of all rows also after some were taken, and where a number is too large it
#           takes nothing: of 20 rows five are in no part, and 9 are left to train instead of 14. The rows of the
#           confusion matrix are in the order in which labels first appear in the truth, its columns in that of the
#           predictions: one wrong answer at the beginning, and right ones leave the diagonal. zeroOneLoss with
#           normalize off, "the number of misclassifications", is 0.
# Why it matters: these are how a model is judged. The scores are those of other rows than one thinks, and no error says
#           so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --ignore-scripts --prefix "$work" machinelearn@2.1.5
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { confusion_matrix, zeroOneLoss } = require("machinelearn/metrics");
const { KFold, train_test_split } = require("machinelearn/model_selection");

const rows = (length) => Array.from({ length }, (_, row) => row);
function folds(length, k, shuffle) {
  const times = Array(length).fill(0);
  for (const { testIndex } of new KFold({ k, shuffle }).split(rows(length), rows(length))) {
    testIndex.forEach((row) => times[row]++);
  }
  const counted = (wanted) => times.filter(wanted).length;
  return { never: counted((time) => time === 0), twice: counted((time) => time > 1) };
}
console.log("23 rows in 5 folds:", folds(23, 5, false));
const { never, twice } = folds(100, 10, true);
const some = (count) => (count >= 8 && count <= 60 ? "many" : count);
console.log(`100 rows in 10 folds, shuffled: ${some(never)} never tested, ${some(twice)} more than once`);

const inputs = rows(20).map((row) => [row]);
const { yTrain, yTest } = train_test_split(inputs, rows(20), { train_size: 0.7, test_size: 0.3, random_state: 42 });
console.log(`20 rows split into 0.7 and 0.3: ${yTrain.length} to train, ${yTest.length} to test`);

const truth = [0, 0, 1, 1, 2, 2];
for (const predicted of [[0, 0, 1, 1, 2, 0], [1, 0, 1, 1, 2, 0]]) {
  const shown = confusion_matrix(truth, predicted).map((row) => row.join(" ")).join(" | ");
  console.log(`${predicted.join(" ")} for ${truth.join(" ")}: ${shown}`);
}
console.log(`number of misclassifications: ${zeroOneLoss(truth, [1, 0, 1, 1, 2, 0], { normalize: false })}`);
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
23 rows in 5 folds: { never: 3, twice: 0 }
100 rows in 10 folds, shuffled: many never tested, many more than once
20 rows split into 0.7 and 0.3: 9 to train, 6 to test
0 0 1 1 2 0 for 0 0 1 1 2 2: 2 0 0 | 0 2 0 | 1 0 1
1 0 1 1 2 0 for 0 0 1 1 2 2: 1 1 0 | 2 0 0 | 0 1 1
number of misclassifications: 0
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

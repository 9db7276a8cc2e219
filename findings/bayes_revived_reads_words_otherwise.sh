#!/usr/bin/env bash
# A classifier of bayes forgets its tokenizer when it is saved, and has no answer for the word "constructor".
#
# Package: bayes 1.0.0 (npm, Node.js 20).
# Expected: fromJson gives back the classifier of toJson: the same text has the same category before and after. A text
#           always gets one of the categories that were taught.
# Seen:     the tokenizer, the one option there is, is a function and not in the JSON, and the revived classifier splits
#           texts in its default way, silently. A classifier that was taught pairs of letters meets whole words then,
#           knows them not, and turns three of three answers around. The counts of words are plain objects, on which
#           "constructor", "valueOf" and "toString" are there from the start: even if it was never taught, such a
#           word makes the probabilities NaN, and the category is null, whatever else the text says.
# Why it matters: categories after a restart are others, for all texts, and no error says so. Texts about programs
#           have such words.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --prefix "$work" bayes@1.0.0
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const bayes = require("bayes");

const texts = {
  animals: ["cat dog cow", "dog horse cow", "horse cat sheep"],
  plants: ["oak fir rose", "rose fern elm"],
};
const pairs = (text) => Array.from({ length: text.length - 1 }, (_, place) => text.slice(place, place + 2));
const asked = ["dog and horse", "roses", "ferns", "dog constructor"];

async function show(name, classifier) {
  const answers = [];
  for (const text of asked) answers.push(`${text}: ${await classifier.categorize(text)}`);
  console.log(`${name}: ${answers.join(", ")}`);
}

(async () => {
  for (const [name, options] of [["words", {}], ["pairs of letters", { tokenizer: pairs }]]) {
    const classifier = bayes(options);
    for (const category of Object.keys(texts)) {
      for (const text of texts[category]) await classifier.learn(text, category);
    }
    await show(name, classifier);
    await show(`${name}, revived`, bayes.fromJson(classifier.toJson()));
  }
})();
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
words: dog and horse: animals, roses: animals, ferns: animals, dog constructor: null
words, revived: dog and horse: animals, roses: animals, ferns: animals, dog constructor: null
pairs of letters: dog and horse: animals, roses: plants, ferns: plants, dog constructor: animals
pairs of letters, revived: dog and horse: plants, roses: animals, ferns: animals, dog constructor: null
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

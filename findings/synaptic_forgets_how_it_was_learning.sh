#!/usr/bin/env bash
# synaptic's copy of a recurrent network answers alike and learns otherwise: the traces are not in the file.
#
# Package: synaptic 1.1.4 (npm, Node.js 20).
# Expected: `Network.fromJSON(network.toJSON())` gives a network that is "exactly the same" (its author), and trains on
#           as the first one does; the file has a `trace` for each neuron, and an option `ignoreTraces` to leave it out.
# Seen:     a perceptron is the same to the last bit. An LSTM answers as before but for roundings; with the first
#           correction after the copy its weights part. `trace` is empty in the file, with `ignoreTraces` and without,
#           so what the past inputs contribute to the next correction is gone. After `clear`, which empties the traces,
#           the two train on alike but for roundings. `clone` is the same pair of calls. A liquid network gives another
#           answer at once, cleared or not; a part of it is that the factors of gated connections are not in the file.
# Why it matters: an online learner that is saved every night loses, each time, the credit for what it saw before, and
#           its answers just after loading show nothing of it.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
npm install --silent --no-fund --no-audit --prefix "$work" synaptic@1.1.4
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { Architect, Network } = require("synaptic");

let seed;
Math.random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
const steps = Array.from({ length: 80 }, (_, step) => ({
  input: [Math.sin(step), Math.cos(2 * step)],
  output: [0.5 + 0.4 * Math.sin(step + 1)],
}));

function answers(network, from, to, trained) {
  return steps.slice(from, to).map(({ input, output }) => {
    const [answer] = network.activate(input);
    if (trained) {
      network.propagate(0.3, output);
    }
    return answer;
  });
}

function verdict(make, { cleared, trained }) {
  seed = 5;
  const network = make();
  answers(network, 0, 40, true);
  if (cleared) {
    network.clear();
  }
  const copy = Network.fromJSON(JSON.parse(JSON.stringify(network.toJSON())));
  const [first, second] = [network, copy].map((one) => answers(one, 40, 80, trained));
  const away = first.map((answer, step) => Math.abs(answer - second[step]));
  if (Math.max(...away) < 1e-14) {
    return away.every((number) => number === 0) ? "the same bits" : "the same but for roundings";
  }
  return `another from step ${away.findIndex((number) => number >= 1e-14) + 1}`;
}

const kinds = {
  perceptron: () => new Architect.Perceptron(2, 4, 3, 1),
  LSTM: () => new Architect.LSTM(2, 4, 1),
  "LSTM of two blocks": () => new Architect.LSTM(2, 3, 3, 1),
  liquid: () => new Architect.Liquid(2, 8, 1, 12, 4),
};
for (const [name, make] of Object.entries(kinds)) {
  for (const cleared of [false, true]) {
    const [asked, trained] = [false, true].map((trained) => verdict(make, { cleared, trained }));
    console.log(`${name}${cleared ? ", cleared" : ""}: answers ${asked}; trained on ${trained}`);
  }
}
for (const ignoreTraces of [false, true]) {
  const { neurons } = kinds.LSTM().toJSON(ignoreTraces);
  const traces = neurons.map(({ trace }) => Object.keys({ ...trace.elegibility, ...trace.extended }).length);
  console.log(`numbers in the traces of the file, ignoreTraces=${ignoreTraces}: ${Math.max(...traces)}`);
}
JAVASCRIPT
cat > "$work/expected" <<'TEXT'
perceptron: answers the same bits; trained on the same bits
perceptron, cleared: answers the same bits; trained on the same bits
LSTM: answers the same but for roundings; trained on another from step 2
LSTM, cleared: answers the same but for roundings; trained on the same but for roundings
LSTM of two blocks: answers the same but for roundings; trained on another from step 2
LSTM of two blocks, cleared: answers the same but for roundings; trained on the same but for roundings
liquid: answers another from step 1; trained on another from step 1
liquid, cleared: answers another from step 1; trained on another from step 1
numbers in the traces of the file, ignoreTraces=false: 0
numbers in the traces of the file, ignoreTraces=true: 0
TEXT
node "$work/seen.cjs" | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

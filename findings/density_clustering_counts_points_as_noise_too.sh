#!/usr/bin/env bash
# The DBSCAN of density-clustering lists points of a cluster as noise, and which ones depends on the order of the rows.
#
# Packages: density-clustering 1.3.0 (npm, Node.js 20), scikit-learn 1.9.1, numpy 2.4.6 (Python 3.11).
# Expected: a point is in a cluster or it is noise, not both (DBSCAN): one that has too few neighbours, but is a
#           neighbour of a dense point, is the border of a cluster. Sizes of clusters and noise add up to all points.
#           The radius includes its end, as in the paper and in scikit-learn.
# Seen:     a border point that comes before the dense ones is put down as noise, is taken into the cluster later, and
#           stays in the list of noise. Of eight points seven are in the cluster and two are noise; in the opposite
#           order it is so for the border at the other end. A distance equal to the radius is too far: on a grid of step
#           1 and with radius 1 all is noise.
# Why it matters: noise is what is thrown away before training, or shown as outliers. Rows of a dense region are among
#           it, others the next time.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet scikit-learn==1.9.1 numpy==2.4.6
npm install --silent --no-fund --no-audit --prefix "$work" density-clustering@1.3.0
cat > "$work/seen.cjs" <<'JAVASCRIPT'
const { DBSCAN } = require("density-clustering");

const line = [0, 0.8, 1.2, 1.6, 2, 2.4, 3.2, 9].map((place) => [place]);
const grid = [0, 1, 2, 3].map((place) => [place]);
for (const [name, points, radius] of [["line", line, 1], ["reversed", [...line].reverse(), 1], ["grid", grid, 1]]) {
  const scan = new DBSCAN();
  const clusters = scan.run(points, radius, 3);
  const places = (ids) => ids.map((id) => points[id][0]).sort((a, b) => a - b).join(" ");
  console.log(`${name}: clusters ${clusters.map(places).join(" | ") || "none"}; noise ${places(scan.noise)}`);
}
JAVASCRIPT
cat > "$work/seen.py" <<'PYTHON'
import numpy as np
from sklearn.cluster import DBSCAN

for name, points in {"line": [0, 0.8, 1.2, 1.6, 2, 2.4, 3.2, 9], "grid": [0, 1, 2, 3]}.items():
    labels = DBSCAN(eps=1, min_samples=3).fit_predict(np.array(points)[:, None])
    of = {label: " ".join(str(point) for point, its in zip(points, labels) if its == label) for label in (0, -1)}
    print(f"{name} in scikit-learn: cluster {of[0]}; noise {of[-1] or 'none'}")
PYTHON
cat > "$work/expected" <<'TEXT'
line: clusters 0 0.8 1.2 1.6 2 2.4 3.2; noise 0 9
reversed: clusters 0 0.8 1.2 1.6 2 2.4 3.2; noise 3.2 9
grid: clusters none; noise 0 1 2 3
line in scikit-learn: cluster 0 0.8 1.2 1.6 2 2.4 3.2; noise 9
grid in scikit-learn: cluster 0 1 2 3; noise none
TEXT
{
    node "$work/seen.cjs"
    "$work/venv/bin/python" "$work/seen.py"
} | tee "$work/seen"
diff "$work/expected" "$work/seen" && echo "as described"

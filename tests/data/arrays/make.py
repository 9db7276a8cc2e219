"""Makes the arrays of this folder, with NumPy 2; `tests/formats/tensors.rs` reads them."""

import gzip
import pathlib

import numpy as np

here = pathlib.Path(__file__).parent
x = np.arange(24, dtype="<f4").reshape(4, 2, 3) * np.float32(0.5)
y = np.array([0, 1, 2, 1], dtype=">i2")


def save(name, array, version=(1, 0)):
    with open(here / name, "wb") as file:
        np.lib.format.write_array(file, array, version=version)


save("rows.npy", x)
save("columns.npy", np.asfortranarray(x.astype("<f8")))
save("big.npy", x.astype(">f2"))
save("version2.npy", np.asfortranarray(x.astype(">f8")), version=(2, 0))
save("y.npy", y)
save("labels.npy", np.array([[True, False], [False, True], [True, True], [False, False]]))
save("objects.npy", np.array([{"a": 1}, None], dtype=object))
save("fields.npy", np.zeros(4, dtype=[("a", "<f4"), ("b", "<i4")]))
save("text.npy", np.array(["a", "b"]))
(here / "packed.npy.gz").write_bytes(gzip.compress((here / "rows.npy").read_bytes(), mtime=0))
members = {"x": x, "y": y, "values": np.array([0.5, 1.0, 2.0, -1.0])}
np.savez(here / "stored.npz", **members)
np.savez_compressed(here / "deflated.npz", **members)

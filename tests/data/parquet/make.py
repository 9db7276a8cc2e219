"""Writes small tables as pandas and pyarrow do: pip install pandas==3.1.1 pyarrow==26.0.1"""

import datetime
import decimal
import pathlib

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent
d = decimal.Decimal
table = pd.DataFrame({"x": [0.5, 1.5, 2.5, 3.5], "label": [0, 1, 0, 1]})
# An index that pandas cannot leave out, without a name and with one.
table.iloc[[2, 0, 3, 1]].to_parquet(here / "index.parquet")
table.set_index(pd.Index([40, 10, 30, 20], name="id")).to_parquet(here / "named_index.parquet")

pq.write_table(
    pa.table({
        "small": pa.array([d("1.25"), d("-2.50"), None, d("0.10")], pa.decimal128(5, 2)),
        "large": pa.array([d("12345678901234567890.5"), d("-1.5"), d("0"), d("3")], pa.decimal128(30, 1)),
        "text": pa.array([b"red", b"blue", b"red", "grün".encode()], pa.binary()),
        "label": pa.array([0, 1, 0, 1], pa.int32()),
    }),
    here / "decimals.brotli.parquet", compression="brotli")

pq.write_table(
    pa.table({
        "list": pa.array([[1.0], [], None, [2.0, 3.0]], pa.list_(pa.float64())),
        "map": pa.array([[("a", 1)], [], [], []], pa.map_(pa.string(), pa.int32())),
        "struct": pa.array([{"a": 1}] * 4, pa.struct([("a", pa.int32())])),
        "bytes": pa.array([b"\xff\xfe"] * 4, pa.binary()),
        "half": pa.array([0.5, 1.5, 2.5, 3.5], pa.float16()),
        "label": pa.array([0, 1, 0, 1], pa.int8()),
    }),
    here / "nested.parquet")

times = pd.DataFrame({
    "member": [True, False, True, False],
    "day": pa.array([datetime.date(2024, 2, day) for day in (1, 29, 1, 29)], pa.date32()).to_pandas(),
    "moment": pd.to_datetime(["2024-02-29 12:30:00.5", "1969-12-31", "2024-02-29 12:30:00.5", "1969-12-31"],
                             format="ISO8601").astype("datetime64[us]"),
    "label": [True, False, True, False],
})
times.to_parquet(here / "times.parquet", index=False)
times.to_csv(here / "times.csv", index=False)

pq.write_table(
    pa.table({
        "embedding": pa.array([[1.0, 2.0], [3.0, None], None, [5.0, 6.5]], pa.list_(pa.float32())),
        "fixed": pa.array([[1, 2, 3], [4, 5, 6], [7, 8, 9], [10, 11, 12]], pa.list_(pa.int16(), 3)),
        "price": pa.array([[d("1.25")], [d("-2.50")], [d("0.00")], [d("0.10")]], pa.large_list(pa.decimal128(5, 2))),
        "x": pa.array([0.5, 1.5, 2.5, 3.5], pa.float64()),
        "ragged": pa.array([[1.0], [2.0, 3.0], [4.0], [5.0]], pa.list_(pa.float64())),
        "empty": pa.array([[]] * 4, pa.list_(pa.float64())),
        "words": pa.array([["a"]] * 4, pa.list_(pa.string())),
        "nested": pa.array([[[1.0]]] * 4, pa.list_(pa.list_(pa.float64()))),
        "label": pa.array([0, 1, 0, 1], pa.int8()),
    }),
    here / "lists.parquet")

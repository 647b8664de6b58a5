"""Writes the tables of this folder with pyarrow: the same rows in JSON, Parquet and Arrow, and columns of every type."""

import datetime
import decimal
import json
import pathlib

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

folder = pathlib.Path(__file__).parent

rows = [
    {
        "conversations": [
            {"from": "human", "value": f"Which boat left the harbour {n} days ago?"},
            {"from": "gpt", "value": f"The “Möwe” 🚢, at {n} o'clock.\nShe said \"adieu\" \\ \t."},
        ],
        "system": None if n % 2 else "You keep the harbour's log.",
        "weight": n,
        "share": n / 4,
        "kept": n % 3 == 0,
    }
    for n in range(7)
]
(folder / "rows.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
plain = pa.Table.from_pylist(rows)
turn = pa.struct([("from", pa.dictionary(pa.int8(), pa.string())), ("value", pa.large_string())])
wide = pa.schema(
    [
        ("conversations", pa.large_list(turn)), ("system", pa.string_view()), ("weight", pa.uint16()), ("share", pa.float32()),
        ("kept", pa.bool_()),
    ]
)
pq.write_table(plain, folder / "rows.parquet", row_group_size=3)
for packing in ("none", "gzip", "zstd", "lz4", "brotli"):
    pq.write_table(plain, folder / f"rows-{packing}.parquet", compression=packing, row_group_size=2)
with pa.OSFile(str(folder / "rows.arrow"), "wb") as file, pa.ipc.new_file(file, plain.schema) as writer:
    writer.write_table(plain, max_chunksize=2)
other = pa.Table.from_pylist(rows, schema=wide)
with pa.OSFile(str(folder / "rows-stream.arrow"), "wb") as file, pa.ipc.new_stream(file, wide) as writer:
    writer.write_table(other, max_chunksize=4)

types = pa.table(
    {
        "int": pa.array([-5, None], pa.int8()),
        "big": pa.array([2**63, 0], pa.uint64()),
        "real": pa.array([3.0, float("nan")]),
        "day": pa.array([datetime.date(2024, 2, 29), None]),
        "price": pa.array([decimal.Decimal("12.50"), None], pa.decimal128(9, 2)),
        "picture": pa.array([b"\xff\xd8\xff", b"text"]),
        "pairs": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int32())),
        "fixed": pa.array([[1, 2], [3, 4]], pa.list_(pa.int64(), 2)),
        "nothing": pa.nulls(2),
    }
)
pq.write_table(types, folder / "types.parquet")

# Pictures as `datasets` keeps them, in lists of bytes and path, and as bytes alone.
picture = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
jpeg = b"\xff\xd8\xff"
pictures = pa.table(
    {
        "question": pa.array(["What is this?", "And these?"]),
        "answer": pa.array(["Nothing.", "Boats."]),
        "pictures": pa.array([[], [{"bytes": jpeg, "path": "1.jpg"}, {"bytes": jpeg * 9, "path": None}]], pa.list_(picture)),
        "photo": pa.array([None, jpeg], pa.large_binary()),
        "stamp": pa.array([None, jpeg], pa.binary(3)),
    }
)
pq.write_table(pictures, folder / "pictures.parquet")
with pa.OSFile(str(folder / "pictures.arrow"), "wb") as file, pa.ipc.new_file(file, pictures.schema) as writer:
    writer.write_table(pictures)

# Two columns of one name.
twice = pa.table([pa.array(["a"]), pa.array(["b"]), pa.array(["c"])], names=["instruction", "output", "output"])
with pa.OSFile(str(folder / "twice.arrow"), "wb") as file, pa.ipc.new_file(file, twice.schema) as writer:
    writer.write_table(twice)
pq.write_table(twice, folder / "twice.parquet")

"""Arrow's data in and out by capsules, with the libraries that have it."""

import gc
import importlib
from pathlib import Path
from typing import Any

import gristmill
import numpy as np
import pytest
from conftest import MINILM
from models import I64, TEXT, identity, lookup, scaled

pa = pytest.importorskip("pyarrow")

TEXTS = [f"the {word} of a river, {count} times over" for count in range(5) for word in ("mouth", "source", "bed")]


@pytest.fixture(scope="module")
def embedder() -> gristmill.Embedder:
    return gristmill.Embedder(MINILM, workers=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> gristmill.Model:
    return gristmill.Model(scaled(tmp_path_factory.mktemp("model")), workers=2)


def table(rows: int) -> Any:
    rng = np.random.default_rng(7)
    pairs = pa.FixedSizeListArray.from_arrays(pa.array(rng.random(2 * rows, np.float32)), 2)
    columns = {"id": np.arange(rows), "a": rng.random(rows, np.float32), "c": pairs, "b": rng.random(rows, np.float32)}
    return pa.table(columns)


def expected(given: Any) -> tuple[Any, Any]:
    pairs = given["c"].combine_chunks().flatten().to_numpy().reshape(-1, 2)
    return given["a"].to_numpy() + given["b"].to_numpy(), pairs * pairs


def columns(batches: Any) -> tuple[Any, Any]:
    made = pa.table(batches)
    assert made.column_names == ["sum", "pairs"]
    assert made.schema.types == [pa.float32(), pa.list_(pa.float32(), 2)]
    return made["sum"].to_numpy(), made["pairs"].combine_chunks().flatten().to_numpy().reshape(-1, 2)


@pytest.mark.parametrize("rows", [1, 63, 64, 1000, 70_000])
def test_a_table_gives_a_table(model: gristmill.Model, rows: int) -> None:
    given = table(rows)
    for source in (given, given.to_batches(max_chunksize=100)[0] if rows < 100 else given.slice(0)):
        results = model.map(source)
        own, pairs = columns(results)
        assert (own == expected(given)[0]).all() and (pairs == expected(given)[1]).all()
    report = model.report()
    assert report is not None and report["items"] == rows and report["errors"] == 0


def test_batches_one_by_one(model: gristmill.Model) -> None:
    given = pa.concat_tables([table(10), table(3).slice(1), table(0), table(70_000)])
    batches = [pa.record_batch(batch) for batch in model.map(given)]
    assert [batch.num_rows for batch in batches] == [10, 2, 65_536, 70_000 - 65_536]
    own, pairs = columns(pa.Table.from_batches(batches))
    assert (own == expected(given)[0]).all() and (pairs == expected(given)[1]).all()


def test_a_run_takes_all_rows_at_once(model: gristmill.Model) -> None:
    given = pa.concat_tables([table(10), table(5)])
    own, pairs = columns(pa.record_batch(model.run(given)))
    assert (own == expected(given)[0]).all() and (pairs == expected(given)[1]).all()
    with pytest.raises(gristmill.Error, match="null in row 1"):
        model.run(pa.table({"a": pa.array([1, None], pa.float32()), "b": [np.float32(1)] * 2, "c": table(2)["c"]}))


def test_no_rows(model: gristmill.Model) -> None:
    own, pairs = columns(model.map(table(0)))
    assert own.shape == (0,) and pairs.shape == (0, 2)
    assert list(model.map(table(0))) == []


def test_nulls_are_rows_without_a_result(model: gristmill.Model) -> None:
    given = table(200)
    gap = pa.array([None if place == 70 else place for place in range(200)], pa.float32())
    lists = given["c"].to_pylist()
    lists[3], lists[199] = None, [1.0, None]
    with_nulls = given.set_column(1, "a", gap).set_column(2, "c", pa.array(lists, pa.list_(pa.float32(), 2)))
    made = pa.table(model.map(with_nulls, on_error="null"))
    missing = {3, 70, 199}
    for name in ("sum", "pairs"):
        assert {place for place, row in enumerate(made[name].to_pylist()) if row is None} == missing
    pairs = made["pairs"].to_pylist()
    assert [pairs[place] for place in (0, 198)] == [
        [np.float32(one) * np.float32(one) for one in lists[place]] for place in (0, 198)
    ]
    report = model.report()
    assert report is not None and (report["items"], report["errors"]) == (200, 3)
    with pytest.raises(gristmill.ItemError, match="null") as caught:
        list(model.map(with_nulls))
    assert caught.value.index == 3 and caught.value.stage == "read"


def test_a_failed_row_harms_no_other(tmp_path: Path) -> None:
    model = gristmill.Model(lookup(tmp_path), workers=2)
    rows = [place % 4 if place % 97 else 4 for place in range(1000)]
    made = pa.table(model.map(pa.table({"x": pa.array(rows, pa.int64())}), on_error="null"))
    assert made["y"].to_pylist() == [[row, 10.0 * row] if row < 4 else None for row in rows]
    report = model.report()
    assert report is not None and (report["items"], report["errors"]) == (1000, 11)
    rows[0] = 0
    with pytest.raises(gristmill.ItemError, match="Gather") as caught:
        list(model.map(pa.array(rows, pa.int64())))
    assert caught.value.index == 97 and caught.value.stage == "run"
    with pytest.raises(Exception, match="item 97"):
        pa.table(model.map(pa.array(rows, pa.int64())))


@pytest.mark.parametrize("bad", [[0], [63], [64], [0, 1, 2], [31, 32], [5, 40, 127, 128, 199], list(range(200))])
def test_rows_at_fault_are_found_wherever_they_are(tmp_path: Path, bad: list[int]) -> None:
    model = gristmill.Model(lookup(tmp_path), workers=2)
    rows = np.zeros(200, np.int64)
    rows[bad] = 4
    made = pa.table(model.map(pa.table({"x": rows}), on_error="null"))["y"].to_pylist()
    assert made == [None if place in bad else [0.0, 0.0] for place in range(200)]
    report = model.report()
    assert report is not None and (report["items"], report["errors"]) == (200, len(bad))
    with pytest.raises(gristmill.ItemError, match="Gather") as caught:
        list(model.map(pa.table({"x": rows})))
    assert caught.value.index == bad[0]


def test_progress_of_a_table(model: gristmill.Model, capsys: pytest.CaptureFixture[str]) -> None:
    given = table(70_000)
    model.map(given, show_progress_bar=False)
    assert capsys.readouterr().err == ""
    for _ in model.map(given, show_progress_bar=True):
        pass
    assert "70000/70000" in capsys.readouterr().err
    assert pa.table(model.map(given, show_progress_bar=True)).num_rows == 70_000
    assert "70000/70000" in capsys.readouterr().err


def test_memory_is_given_back(model: gristmill.Model) -> None:
    before = pa.total_allocated_bytes()
    for _ in range(3):
        given = table(10_000)
        made = pa.table(model.map(given))
        rows = pa.record_batch(model.run(given))
        left = model.map(given)
        next(left)
        assert made.num_rows == rows.num_rows == 10_000 and pa.total_allocated_bytes() > before
        del given, made, rows, left
    gc.collect()
    # What was let go without the interpreter's lock is so at the next call.
    list(model.map(table(0)))
    assert pa.total_allocated_bytes() == before


def test_what_does_not_fit_is_told(model: gristmill.Model) -> None:
    given = table(5)
    with pytest.raises(gristmill.Error, match=r"no column `b`.*id"):
        list(model.map(given.drop_columns(["b"])))
    with pytest.raises(gristmill.Error, match="column `a` is of f64, the model's input of f32"):
        list(model.map(given.set_column(1, "a", given["a"].cast(pa.float64()))))
    with pytest.raises(gristmill.Error, match="column `a` is of Date32"):
        list(model.map(given.set_column(1, "a", pa.array([0] * 5, pa.date32()))))
    with pytest.raises(gristmill.ItemError, match="`c`"):
        list(model.map(given.set_column(2, "c", given["a"])))
    with pytest.raises(gristmill.Error, match="single column"):
        list(model.map(given["a"]))
    with pytest.raises(ValueError, match="collect"):
        model.map(given, on_error="collect")
    results = model.map(given)
    pa.table(results)
    with pytest.raises(gristmill.Error, match="taken already"):
        pa.table(results)

    results = model.map(given)
    assert len(list(results)) == 1
    with pytest.raises(gristmill.Error, match="taken already"):
        pa.table(results)

    def broken() -> Any:
        yield given.to_batches()[0]
        raise KeyError("the source")

    reader = pa.RecordBatchReader.from_batches(given.schema, broken())
    with pytest.raises(gristmill.Error, match="the source"):
        list(model.map(reader))


@pytest.mark.parametrize(
    ("kind", "sizes", "column"),
    [
        (TEXT, ["n"], pa.array(["a", "größer", ""])),
        (TEXT, ["n", 1], pa.array(["a", "b", "c"], pa.large_string())),
        (TEXT, ["n"], pa.array(["a", "a string of more than twelve bytes", ""], pa.string_view())),
        (TEXT, ["n"], pa.array(["a", "b", "a"]).dictionary_encode()),
        (9, ["n"], pa.array([True, False, True])),
        (9, ["n", 2], pa.FixedSizeListArray.from_arrays(pa.array([True, False] * 3), 2)),
        (10, ["n"], pa.array(np.arange(3, dtype=np.float16))),
        (I64, ["n", 1], pa.array([1, 2, 3])),
        (I64, ["n", "m"], pa.array([1, 2, 3])),
        (I64, ["n", 2, 1], pa.FixedSizeListArray.from_arrays(pa.array(range(6)), 2)),
        (I64, [1, 2], pa.FixedSizeListArray.from_arrays(pa.array(range(6)), 2)),
        (I64, [2], pa.FixedSizeListArray.from_arrays(pa.array(range(6)), 2)),
        (2, ["n", 2], pa.FixedSizeListArray.from_arrays(pa.array(range(8), pa.uint8()), 2).slice(1)),
        (I64, ["n", 2, 3], pa.FixedSizeListArray.from_arrays(
            pa.FixedSizeListArray.from_arrays(pa.array(range(12)), 3), 2)),
    ],
)
def test_columns_of_every_type(tmp_path: Path, kind: int, sizes: list[int | str], column: Any) -> None:
    model = gristmill.Model(identity(tmp_path, kind, sizes))
    made = pa.table(model.map(column))["y"].to_pylist()

    def flat(value: Any) -> list[Any]:
        return [part for one in value for part in flat(one)] if isinstance(value, list) else [value]

    assert len(made) == len(column) and flat(made) == flat(column.to_pylist())


def test_columns_of_texts(embedder: gristmill.Embedder) -> None:
    whole = embedder.encode(TEXTS)
    plain = pa.array(TEXTS)
    for column in (
        plain,
        pa.chunked_array([plain.slice(0, 4), plain.slice(4)]),
        plain.cast(pa.large_string()),
        pa.array(TEXTS, pa.string_view()),
        plain.dictionary_encode(),
        pa.table({"text": plain}),
        pa.record_batch({"text": plain}),
    ):
        assert embedder.encode(column).tobytes() == whole.tobytes()
    sliced = pa.array(["not this", *TEXTS[:2]]).slice(1)
    assert embedder.encode(sliced).tobytes() == whole[:2].tobytes()
    assert embedder.encode(pa.array([], pa.string())).shape == (0, 384)
    report = embedder.report()
    assert report is not None and report["items"] == 0


def test_vectors_as_a_column(embedder: gristmill.Embedder) -> None:
    whole = embedder.encode(TEXTS[:3], truncate_dim=5, normalize_embeddings=True)
    given = pa.array([TEXTS[0], None, *TEXTS[1:3]])
    made = embedder.encode_arrow(given, truncate_dim=5, normalize_embeddings=True, on_error="null")
    assert len(made) == 4
    array = pa.array(made)
    array.validate(full=True)
    assert array.type == pa.list_(pa.float32(), 5) and array.is_null().to_pylist() == [False, True, False, False]
    assert array.drop_null().flatten().to_numpy().tobytes() == whole.tobytes()
    report = embedder.report()
    assert report is not None and (report["items"], report["errors"]) == (4, 1)
    with pytest.raises(gristmill.ItemError, match="null") as caught:
        embedder.encode(given)
    assert caught.value.index == 1 and caught.value.stage == "read"
    assert pa.array(embedder.encode_arrow([])).type == pa.list_(pa.float32(), 384)
    assert made.__arrow_c_schema__() is not None


def test_columns_that_are_no_texts_are_refused(embedder: gristmill.Embedder) -> None:
    with pytest.raises(gristmill.Error, match="Int64.*string"):
        embedder.encode(pa.array([1, 2]))
    with pytest.raises(gristmill.Error, match="one of its columns"):
        embedder.encode(pa.table({"a": TEXTS, "b": TEXTS}))
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\x01\0\0\0"), pa.py_buffer(b"\xff")])
    with pytest.raises(gristmill.Error, match="UTF-?8"):
        embedder.encode(broken)
    offsets = pa.py_buffer(np.array([0, 5, 2], np.int32))
    past = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"ab")])
    with pytest.raises(gristmill.Error, match="Arrow data"):
        embedder.encode(past)


def test_polars(embedder: gristmill.Embedder, model: gristmill.Model) -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"text": TEXTS})
    assert embedder.encode(frame["text"]).tobytes() == embedder.encode(TEXTS).tobytes()
    vectors = pl.Series(embedder.encode_arrow(frame["text"]))
    assert vectors.dtype == pl.Array(pl.Float32, 384) and len(vectors) == len(TEXTS)
    given = table(100)
    made = pl.DataFrame(model.map(pl.from_arrow(given)))
    assert made["sum"].to_numpy().tobytes() == expected(given)[0].tobytes()


def test_duckdb(embedder: gristmill.Embedder, model: gristmill.Model) -> None:
    duckdb = pytest.importorskip("duckdb")
    texts = duckdb.sql("SELECT 'text ' || i AS text FROM range(5) t(i)")
    assert embedder.encode(texts).tobytes() == embedder.encode([f"text {i}" for i in range(5)]).tobytes()
    relation = duckdb.sql("SELECT i::FLOAT AS a, 1::FLOAT AS b, [i, i]::FLOAT[2] AS c FROM range(100000) t(i)")
    # A table: DuckDB reads a source more than once, and a stream can be taken once.
    results = duckdb.from_arrow(pa.table(model.map(relation)))
    [(total, last)] = results.aggregate("sum(sum::DOUBLE), max(pairs[1])").fetchall()
    assert total == sum(range(100_000)) + 100_000 and last == np.float32(99_999) ** 2


def test_pandas(embedder: gristmill.Embedder, model: gristmill.Model) -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"text": TEXTS})
    assert embedder.encode(frame["text"]).tobytes() == embedder.encode(TEXTS).tobytes()
    assert embedder.encode(frame["text"].astype("category")).tobytes() == embedder.encode(TEXTS).tobytes()
    made = pd.DataFrame.from_arrow(model.map(table(100)))
    assert made["sum"].to_numpy().tobytes() == expected(table(100))[0].tobytes()


def test_arro3(embedder: gristmill.Embedder, model: gristmill.Model) -> None:
    arro3 = pytest.importorskip("arro3.core")
    column = arro3.Array(TEXTS, arro3.DataType.string())
    assert embedder.encode(column).tobytes() == embedder.encode(TEXTS).tobytes()
    made = arro3.Table.from_arrow(model.map(arro3.Table.from_arrow(table(100))))
    assert pa.table(made)["sum"].to_numpy().tobytes() == expected(table(100))[0].tobytes()
    assert len(arro3.Array.from_arrow(embedder.encode_arrow(TEXTS))) == len(TEXTS)


def test_nothing_of_arrows_is_imported() -> None:
    import subprocess
    import sys

    code = "import sys, gristmill; print([name for name in ('pyarrow', 'pandas', 'polars') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"
    assert importlib.util.find_spec("pyarrow")

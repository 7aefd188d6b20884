"""Rows for the engines, and what one process makes of them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import gristmill
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parent.parent.parent.parent
MINILM = ROOT / "tests" / "data" / "minilm"
GLOSSES = ROOT / "tests" / "data" / "glosses.txt"


def rows(count: int) -> pa.Table:
    """Glosses with ids; every hundredth text is null."""
    lines = GLOSSES.read_text().splitlines()[:count]
    assert len(lines) == count
    texts = [None if row % 100 == 50 else line for row, line in enumerate(lines)]
    return pa.table({"id": pa.array(range(count), pa.int64()), "text": pa.array(texts, pa.string())})


def write(table: pa.Table, folder: Path, files: int) -> Path:
    """The rows in Parquet files."""
    folder.mkdir()
    size = -(-len(table) // files)
    for number in range(files):
        pq.write_table(table.slice(number * size, size), folder / f"{number:03}.parquet")
    return folder


def digest(vector: Iterable[float] | None) -> str | None:
    """A hash of a vector's bits."""
    return None if vector is None else hashlib.sha256(np.asarray(vector, np.float32).tobytes()).hexdigest()


def expected(table: pa.Table) -> dict[int, str | None]:
    """Hashes by id, of one process over all rows."""
    alive = table.filter(pa.compute.is_valid(table["text"]))
    vectors = gristmill.Embedder(MINILM).encode(alive["text"].to_pylist())
    made = dict(zip(alive["id"].to_pylist(), map(digest, vectors), strict=True))
    return {row: made.get(row) for row in table["id"].to_pylist()}


def check(ids: list[int], vectors: list[list[float] | None], errors: list[str | None], table: pa.Table) -> None:
    """Each row once, each vector with the bits of one process, each dead row with its error."""
    assert len(ids) == len(set(ids)) == len(table)
    assert dict(zip(ids, map(digest, vectors), strict=True)) == expected(table)
    assert all((vector is None) == (error == "the text is null") for vector, error in zip(vectors, errors, strict=True))
    assert all(error in (None, "the text is null") for error in errors)

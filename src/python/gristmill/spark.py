"""Texts to vectors on a Spark cluster: one copy of the weights a machine, as many threads as a task has CPUs.

``pip install pyspark pyarrow`` and this package on every machine.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ._columns import Options, TextColumn
from ._embedder import Embedder

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame
    from typing_extensions import Unpack

__all__ = ["embed"]

# Rows that run together at most, whatever Spark passes: offsets of lists are 32 bits wide.
_ROWS = 16_384


def embed(
    df: DataFrame,
    model: str | os.PathLike[str],
    column: str,
    *,
    workers: int | None = None,
    **options: Unpack[Options],
) -> DataFrame:
    """A data frame with vectors beside its texts, by ``mapInArrow``.

    A Python worker opens the model on its first task and keeps it for the next ones; weights stay in their file, so
    that the workers of a machine share one copy. A task that is run again gives the same bits. All columns are kept.
    A row that fails, as one whose text is null, has no vector and an error.

    Parameters
    ----------
    df
        Any data frame with a column of texts.
    model
        The model's folder: an absolute path that every machine has, or a path relative to the working folder of an
        executor, as ``spark.archives`` makes it.
    column
        The column of texts.
    workers
        Threads of a task; ``spark.task.cpus`` by default.
    output
        The column of vectors, of the type ``array<float>``; ``"embedding"`` by default.
    error
        The column of errors, ``"error"`` by default; with ``None`` the first failed row ends the job.
    task
        ``"query"`` or ``"document"``, for the prompt that the folder has for it.
    prompt_name, prompt, normalize_embeddings, truncate_dim
        As :meth:`gristmill.Embedder.encode` takes them.
    max_tokens, device, precision, weights
        As :class:`gristmill.Embedder` takes them; weights are ``"mapped"`` by default.

    Returns
    -------
    pyspark.sql.DataFrame

    Raises
    ------
    ValueError
        If `column` is missing, or there are columns with the names of what would be added.
    """
    from pyspark.sql.types import ArrayType, FloatType, StringType, StructField, StructType

    options.setdefault("weights", "mapped")
    columns = TextColumn(os.fspath(model), column, **options)
    columns.check(df.columns)
    fields = [*df.schema.fields, StructField(columns.output, ArrayType(FloatType(), containsNull=False))]
    if columns.error is not None:
        fields.append(StructField(columns.error, StringType()))

    def embed_batches(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        embedder = opened(columns, task_cpus() if workers is None else workers, contents(columns.model))
        for batch in batches:
            for start in range(0, batch.num_rows, _ROWS):
                yield columns.embed(embedder, batch.slice(start, _ROWS), fixed=False)

    return df.mapInArrow(embed_batches, StructType(fields))


def task_cpus() -> int:
    """The CPUs of the task that runs here."""
    from pyspark import TaskContext

    context = TaskContext.get()
    return 1 if context is None else context.cpus()


# The models of a worker process. One that was replaced under its path is another.
@functools.lru_cache(maxsize=2)
def opened(columns: TextColumn, workers: int, _contents: tuple[tuple[str, int, int, int], ...]) -> Embedder:
    """The model of a process, kept for later tasks."""
    return columns.open(workers)


def contents(folder: str) -> tuple[tuple[str, int, int, int], ...]:
    """What tells the files of a folder from those that stood there before: names, places, sizes and times."""
    found = []
    for place, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(place, name)
            state = os.stat(path)
            found.append((path, state.st_ino, state.st_size, state.st_mtime_ns))
    return tuple(sorted(found))

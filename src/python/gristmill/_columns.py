"""Texts of an Arrow batch to vectors beside them, as the engines of many machines pass batches."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import numpy.typing as npt

from ._embedder import Embedder
from ._native import ItemError
from ._texts import Floats

if TYPE_CHECKING:
    import pyarrow as pa


class Options(TypedDict, total=False):
    """What an engine takes beside model and column; the defaults are those of :class:`TextColumn`."""

    output: str
    error: str | None
    task: str | None
    prompt_name: str | None
    prompt: str | None
    normalize_embeddings: bool
    truncate_dim: int | None
    max_tokens: int | None
    device: str
    precision: str
    weights: str


@dataclass(frozen=True)
class TextColumn:
    """A column of texts, the column of their vectors, and how these are made."""

    model: str
    column: str
    output: str = "embedding"
    error: str | None = "error"
    task: str | None = None
    prompt_name: str | None = None
    prompt: str | None = None
    normalize_embeddings: bool = False
    truncate_dim: int | None = None
    max_tokens: int | None = None
    device: str = "cpu"
    precision: str = "f32"
    weights: str = "own"

    def __post_init__(self) -> None:
        if self.task not in (None, "query", "document"):
            raise ValueError(f"task is {self.task!r}; known are 'query' and 'document'")
        if self.output == self.error:
            raise ValueError(f"vectors and errors cannot share the column `{self.output}`")

    def check(self, names: list[str]) -> None:
        """Refuses columns that lack the texts, or have what would be added."""
        if self.column not in names:
            known = ", ".join(f"`{name}`" for name in names)
            raise ValueError(f"there is no column `{self.column}`; there are {known}")
        for added in (self.output, self.error):
            if added in names:
                raise ValueError(f"there is a column `{added}` already; choose other names by `output` and `error`")

    def open(self, workers: int | None) -> Embedder:
        """Opens the model, which every machine must have under the same path."""
        try:
            embedder = Embedder(
                self.model,
                device=self.device,
                precision=self.precision,
                workers=workers,
                max_tokens=self.max_tokens,
                weights=self.weights,
            )
        except FileNotFoundError as error:
            remedy = "every machine needs the folder under this path"
            raise FileNotFoundError(f"{error} (on {socket.gethostname()}, in {os.getcwd()}; {remedy})") from error
        # A prompt that the folder lacks fails here, rather than in each batch.
        self.encode(embedder, [])
        return embedder

    def encode(self, embedder: Embedder, texts: list[str]) -> Floats:
        """The vectors of texts, or the error of the first that failed."""
        methods = {None: embedder.encode, "query": embedder.encode_query, "document": embedder.encode_document}
        vectors: Floats = methods[self.task](
            texts,
            prompt_name=self.prompt_name,
            prompt=self.prompt,
            normalize_embeddings=self.normalize_embeddings,
            truncate_dim=self.truncate_dim,
            show_progress_bar=False,
        )
        return vectors

    def embed(self, embedder: Embedder, batch: pa.RecordBatch | pa.Table, *, fixed: bool) -> Any:
        """The batch, a `RecordBatch` or `Table`, with vectors and errors.

        Parameters
        ----------
        fixed
            Whether vectors are lists of a fixed size, or lists.

        Raises
        ------
        ValueError
            If a text failed and there is no column for errors.
        """
        self.check(batch.schema.names)
        texts, errors = texts_of(batch.column(self.column))
        places = [place for place, error in enumerate(errors) if error is None]
        given = [texts[place] for place in places]
        vectors, failed = encode_all(lambda texts: self.encode(embedder, texts), given)
        for place, error in failed.items():
            errors[places[place]] = error
        dead = np.array([error is not None for error in errors], np.bool_)
        if self.error is None and dead.any():
            row = int(dead.argmax())
            raise ValueError(f"row {row} of a batch, column `{self.column}`: {errors[row]}")
        width = embedder.get_sentence_embedding_dimension()
        width = min(self.truncate_dim or width, width)
        batch = batch.append_column(self.output, vector_column(vectors, width, dead, fixed=fixed))
        return batch if self.error is None else batch.append_column(self.error, error_column(errors))


def texts_of(column: pa.Array | pa.ChunkedArray) -> tuple[list[str], list[str | None]]:
    """The texts of a column, and for each row that has none the reason."""
    import pyarrow as pa
    import pyarrow.types as types

    if types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if types.is_null(column.type):
        column = column.cast(pa.string())
    if not (types.is_string(column.type) or types.is_large_string(column.type) or types.is_string_view(column.type)):
        raise TypeError(f"texts are strings, and this column has the type {column.type}; cast it to string")
    broken: dict[int, str] = {}
    try:
        values: list[str | None] = column.to_pylist()
    except UnicodeDecodeError:
        values, broken = decoded(column)
    errors = [broken.get(row, "the text is null") if value is None else None for row, value in enumerate(values)]
    return [value or "" for value in values], errors


def decoded(column: pa.Array | pa.ChunkedArray) -> tuple[list[str | None], dict[int, str]]:
    """The texts of a column of which some are no UTF-8, and what is wrong with these."""
    import pyarrow as pa

    values: list[str | None] = []
    broken: dict[int, str] = {}
    for row, value in enumerate(column.cast(pa.large_binary()).to_pylist()):
        try:
            values.append(None if value is None else value.decode())
        except UnicodeDecodeError as error:
            values.append(None)
            broken[row] = f"the text is not UTF-8: {error.reason} at byte {error.start}"
    return values, broken


def encode_all(encode: Callable[[list[str]], Floats], texts: list[str]) -> tuple[list[Floats], dict[int, str]]:
    """The vectors of the texts that did not fail, in parts, and the errors of the others by place.

    `encode` gives all vectors or the first error, so texts with an error among them run again in halves.
    """
    try:
        return [encode(texts)], {}
    except ItemError as error:
        if len(texts) == 1:
            # Without the place in the batch, which the engine chose.
            return [], {0: str(error).removeprefix(f"item {error.index} ")}
    half = len(texts) // 2
    (left, failed), (right, later) = encode_all(encode, texts[:half]), encode_all(encode, texts[half:])
    return left + right, failed | {half + place: error for place, error in later.items()}


def vector_column(parts: list[Floats], width: int, dead: npt.NDArray[np.bool_], *, fixed: bool) -> pa.Array:
    """A column with the rows of `parts`, and null where a row is dead."""
    import pyarrow as pa

    vectors = parts[0] if len(parts) == 1 else np.concatenate([np.zeros((0, width), np.float32), *parts])
    mask = pa.array(dead) if dead.any() else None
    if not fixed:
        ends = np.concatenate([[0], np.cumsum(~dead) * width]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(vectors.reshape(-1)), mask=mask)
    if mask is not None:
        full = np.zeros((len(dead), width), np.float32)
        full[~dead] = vectors
        vectors = full
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), width, mask=mask)


def error_column(errors: list[str | None]) -> pa.Array:
    """A column of errors, null where there is none."""
    import pyarrow as pa

    return pa.array(errors, pa.string())

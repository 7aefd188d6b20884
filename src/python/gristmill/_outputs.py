"""Forms of vectors that sentence-transformers gives, and how alike vectors are."""

from __future__ import annotations

import importlib
import json
import os
from typing import Any

import numpy as np

from . import _native
from ._texts import Floats, unit

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")


def check_form(precision: str, single: bool) -> None:
    """Refuses a precision that is unknown, or that one text alone cannot have."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(PRECISIONS)}, not {precision!r}")
    if single and precision in ("int8", "uint8"):
        raise ValueError(f"{precision} of one text: the range of a column is that of all vectors; give a list of texts")


def formed(vectors: Floats, precision: str, to_numpy: bool, to_tensor: bool) -> Any:
    """Vectors in rows in a precision, as an array, as one tensor of PyTorch, or as a list of tensors."""
    made = quantized(vectors, precision)
    if to_numpy and not to_tensor:
        return made
    try:
        torch: Any = importlib.import_module("torch")
    except ImportError as error:
        raise ImportError("convert_to_tensor=True, and convert_to_numpy=False, need PyTorch") from error
    tensor = torch.from_numpy(made)
    return tensor if to_tensor else list(tensor)


def quantized(vectors: Floats, precision: str) -> Any:
    """Vectors in rows with the numbers of sentence-transformers' ``quantize_embeddings``."""
    if precision == "float32":
        return vectors
    made = _native.quantize(vectors, precision)
    return made.view(np.int8) if precision in ("int8", "binary") else made


def settings(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What sentence-transformers wrote of a folder; nothing if it did not."""
    try:
        with open(os.path.join(path, "config_sentence_transformers.json"), encoding="utf-8") as file:
            read: dict[str, Any] = json.load(file)
            return read
    except FileNotFoundError:
        return {}


def similarity_name(name: str | None) -> str:
    """How vectors are compared: ``cosine`` unless it is said otherwise."""
    if name not in (None, "cosine", "dot", "euclidean", "manhattan"):
        raise ValueError(f"similarity_fn_name is {name!r}, which is not built")
    return name or "cosine"


def similarity(name: str, first: Any, second: Any, pairwise: bool) -> Any:
    """How alike vectors are: each of ``first`` with each of ``second``, or with the one in the same place."""
    a, b = (np.atleast_2d(np.asarray(vectors, np.float32)) for vectors in (first, second))
    if name == "cosine":
        a, b = unit(a), unit(b)
    if name in ("cosine", "dot"):
        return np.einsum("ij,ij->i", a, b) if pairwise else a @ b.T
    order = 2 if name == "euclidean" else 1
    if pairwise:
        return -np.linalg.norm(a - b, ord=order, axis=-1)
    return np.stack([-np.linalg.norm(row - b, ord=order, axis=-1) for row in a]) if len(a) else np.empty((0, len(b)))

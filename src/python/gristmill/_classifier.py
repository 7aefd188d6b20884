"""Texts to classes, with the names of transformers' text-classification pipeline."""

from __future__ import annotations

import os
from typing import Any, Literal

from . import _native
from ._texts import Reporting, Texts, check_truncation, listed

Class = dict[str, Any]
TopK = int | None | Literal[""]


class Classifier(Reporting):
    """A text classifier of a Hugging Face folder (``...ForSequenceClassification``).

    Called with texts it gives what ``pipeline("text-classification")`` of transformers gives; texts that are too long
    are truncated, and counted in the report.

    Parameters
    ----------
    path
        The model's folder.
    device
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    precision
        ``"f32"``, ``"bf16"``, ``"int8"``, ``"f16"`` (on a GPU) or ``"auto"``.
    workers
        Threads; as many as the machine allows by default.
    function_to_apply
        How scores are made: ``"none"``, ``"sigmoid"`` or ``"softmax"``; as the folder says by default.
    max_tokens
        Tokens to which a text is truncated; the folder's own number by default.

    Raises
    ------
    gristmill.Error
        If the folder has no classifier that this package reads; the message says what it lacks.

    Examples
    --------
    >>> classifier = gristmill.Classifier("distilbert-base-uncased-finetuned-sst-2-english")  # doctest: +SKIP
    >>> classifier(["a fine mill", "no flour at all"])  # doctest: +SKIP
    [{'label': 'POSITIVE', 'score': 0.9998}, {'label': 'NEGATIVE', 'score': 0.9991}]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "f32",
        workers: int | None = None,
        function_to_apply: Literal["none", "sigmoid", "softmax"] | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._native = _native.Classifier(path, device, precision, workers, function_to_apply, max_tokens)

    @property
    def labels(self) -> list[str]:
        """The names of the classes."""
        return self._native.labels

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a text is truncated."""
        return self._native.max_tokens

    def __call__(
        self,
        inputs: Texts,
        *,
        top_k: TopK = "",
        batch_size: int | None = None,
        truncation: bool = True,
        padding: bool | str = False,
    ) -> list[Any]:
        """The classes of texts, in order.

        Parameters
        ----------
        inputs
            Texts, one text, or a column of texts of a library with Arrow's data (pyarrow, Polars, DuckDB, pandas),
            which is read in place.
        top_k
            Classes of each text, those with the highest scores first; ``None`` for all.
        batch_size, truncation, padding
            Taken without effect: chunks are chosen by measurement, without padding, and texts that are too long are
            always truncated. ``truncation=False`` is refused.

        Returns
        -------
        list
            Without ``top_k`` the best class of each text, a dict with ``label`` and ``score``. With it a list of
            such dicts for each text; for one text that list alone.

        Raises
        ------
        gristmill.ItemError
            For the first text that failed: ``index`` is its place, ``stage`` where it failed.
        """
        check_top_k(top_k)
        check_truncation(truncation)
        texts = listed(inputs, "give a list of its texts, or a pair of texts to PairClassifier")
        rows = self._run(self._native.classify, texts)
        return told(self._native.labels, rows, top_k, isinstance(inputs, str))


def check_top_k(top_k: TopK) -> None:
    """Refuses a number of classes that is none."""
    if top_k is not None and top_k != "" and top_k < 1:
        raise ValueError(f"top_k is at least 1, or None for all classes, not {top_k}")


def told(labels: list[str], rows: Any, top_k: TopK, single: bool) -> list[Any]:
    """The classes of rows of scores, as transformers tells them."""
    if top_k == "":
        best = rows.argmax(axis=1).tolist() if len(rows) else []
        return [_class(labels[own], float(row[own])) for own, row in zip(best, rows, strict=True)]
    classes = [_classes(labels, row.tolist())[:top_k] for row in rows]
    return classes[0] if single else classes


def _class(label: str, score: float) -> Class:
    return {"label": label, "score": score}


def _classes(labels: list[str], scores: list[float]) -> list[Class]:
    classes = [_class(label, score) for label, score in zip(labels, scores, strict=True)]
    return sorted(classes, key=lambda own: own["score"], reverse=True)

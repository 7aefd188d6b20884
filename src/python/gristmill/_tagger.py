"""Texts to entities, with the names of transformers' token-classification pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

from . import _native
from ._texts import Reporting, Texts, check_truncation, listed


class Tagger(Reporting):
    """A tagger of a Hugging Face folder (``...ForTokenClassification``): finds entities in texts.

    Called with texts it gives what ``pipeline("token-classification")`` of transformers gives.

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
    aggregation_strategy
        How the classes of tokens become entities: ``"none"``, ``"simple"``, ``"first"``, ``"average"`` or ``"max"``.
    stride
        Tokens that two windows of a long text have in common; without it long texts are truncated.
    ignore_labels
        The labels of entities that are left out.
    max_tokens
        Tokens to which a text is truncated, or that a window has; the folder's own number by default.

    Raises
    ------
    gristmill.Error
        If the folder has no tagger that this package reads; the message says what it lacks.

    Examples
    --------
    >>> tagger = gristmill.Tagger("bert-base-NER")  # doctest: +SKIP
    >>> tagger("Ada Lovelace lived in London.")  # doctest: +SKIP
    [{'entity_group': 'PER', 'score': 0.9996, 'word': 'Ada Lovelace', 'start': 0, 'end': 12}, ...]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "f32",
        workers: int | None = None,
        aggregation_strategy: Literal["none", "simple", "first", "average", "max"] = "simple",
        stride: int | None = None,
        ignore_labels: Iterable[str] = ("O",),
        max_tokens: int | None = None,
    ) -> None:
        self._native = _native.Tagger(
            path, device, precision, workers, aggregation_strategy, stride, list(ignore_labels), max_tokens
        )

    @property
    def labels(self) -> list[str]:
        """The names of the tokens' classes."""
        return self._native.labels

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a text is truncated, or that a window has."""
        return self._native.max_tokens

    def __call__(
        self,
        inputs: Texts,
        *,
        batch_size: int | None = None,
        truncation: bool = True,
        padding: bool | str = False,
    ) -> list[Any]:
        """The entities of texts, in order.

        Parameters
        ----------
        inputs
            Texts, one text, or a column of texts of a library with Arrow's data (pyarrow, Polars, DuckDB, pandas),
            which is read in place.
        batch_size, truncation, padding
            As :meth:`Classifier.__call__` takes them.

        Returns
        -------
        list
            For each text a list of its entities; for one text that list alone. An entity is a dict: ``entity_group``,
            or ``entity`` without aggregation, the name of its class; ``score``; ``word``, its tokens joined; ``start``
            and ``end``, its place in the text in characters.

        Raises
        ------
        gristmill.ItemError
            For the first text that failed: ``index`` is its place, ``stage`` where it failed.
        """
        check_truncation(truncation)
        tagged: list[Any] = self._run(self._native.tag, listed(inputs))
        return tagged[0] if isinstance(inputs, str) else tagged

"""Pairs of texts to classes, with the names of transformers' text-classification pipeline."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from . import _native
from ._classifier import TopK, check_top_k, told
from ._texts import Floats, Reporting, check_truncation, listed_pairs

Pair = tuple[str, str] | list[str] | Mapping[str, str]


class PairClassifier(Reporting):
    """A classifier of pairs of texts of a Hugging Face folder: whether one follows from the other, for example.

    Called with pairs it gives what ``pipeline("text-classification")`` of transformers gives for ``text`` and
    ``text_pair``; pairs that are too long are truncated, the longer text first, and counted in the report.

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
        Tokens to which a pair is truncated; the folder's own number by default.

    Raises
    ------
    gristmill.Error
        If the folder has no classifier that this package reads; the message says what it lacks.

    Examples
    --------
    >>> classifier = gristmill.PairClassifier("nli-deberta-v3-base")  # doctest: +SKIP
    >>> classifier([("A man eats pizza.", "A man eats something.")])  # doctest: +SKIP
    [{'label': 'entailment', 'score': 0.9971}]
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
        self._native = _native.PairClassifier(path, device, precision, workers, function_to_apply, max_tokens)

    @property
    def labels(self) -> list[str]:
        """The names of the classes."""
        return self._native.labels

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a pair is truncated."""
        return self._native.max_tokens

    def __call__(
        self,
        inputs: Pair | Iterable[Pair],
        *,
        top_k: TopK = "",
        batch_size: int | None = None,
        truncation: bool = True,
        padding: bool | str = False,
    ) -> Any:
        """The classes of pairs, in order.

        Parameters
        ----------
        inputs
            Pairs of texts, or one pair; a pair may be a dict with ``text`` and ``text_pair``.
        top_k
            As :meth:`Classifier.__call__` takes it.
        batch_size, truncation, padding
            As :meth:`Classifier.__call__` takes them.

        Returns
        -------
        list
            As :meth:`Classifier.__call__` gives it; for one dict without ``top_k`` the class alone.

        Raises
        ------
        gristmill.ItemError
            For the first pair that failed: ``index`` is its place, ``stage`` where it failed.
        """
        check_top_k(top_k)
        check_truncation(truncation)
        if isinstance(inputs, Mapping):
            pairs, single = [inputs], True
        else:
            pairs, single = listed_pairs(inputs, "give pairs of texts, as zip(texts, others)")
        classes = told(self._native.labels, self.scores(pairs), top_k, single)
        return classes[0] if isinstance(inputs, Mapping) and top_k == "" else classes

    def scores(self, pairs: Iterable[Pair]) -> Floats:
        """The scores of pairs as one array, f32 of shape ``[pairs, classes]``, in the order of :attr:`labels`."""
        plain = [_pair(place, pair) for place, pair in enumerate(pairs)]
        scores: Floats = self._run(self._native.classify, plain)
        return scores


def _pair(place: int, pair: Any) -> tuple[str, str]:
    if isinstance(pair, Mapping) and set(pair) == {"text", "text_pair"}:
        return pair["text"], pair["text_pair"]
    if isinstance(pair, (str, Mapping)) or len(pair) != 2:
        raise ValueError(f"pair {place} is no pair of texts: {pair!r}")
    return pair[0], pair[1]

"""Texts to labels of one's own, with the names of transformers' zero-shot-classification pipeline."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

import numpy as np

from ._pair_classifier import PairClassifier
from ._texts import check_truncation, listed


class ZeroShotClassifier:
    """A classifier of texts by labels that each call gives, from a model of pairs that tells what follows (MNLI).

    Called with texts it gives what ``pipeline("zero-shot-classification")`` of transformers gives: each text is paired
    with a sentence for each label, and its scores are how much that sentence follows from the text.

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
    max_tokens
        Tokens to which a text with a label's sentence is truncated; the folder's own number by default.

    Raises
    ------
    gristmill.Error
        If the folder has no classifier that this package reads; the message says what it lacks.
    ValueError
        If neither ``label2id`` of the folder nor its labels have a class that begins with ``entail``.

    Examples
    --------
    >>> classifier = gristmill.ZeroShotClassifier("bart-large-mnli")  # doctest: +SKIP
    >>> classifier("The wheel turns all night.", ["milling", "cooking"])  # doctest: +SKIP
    {'sequence': 'The wheel turns all night.', 'labels': ['milling', 'cooking'], 'scores': [0.87, 0.13]}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "f32",
        workers: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._pairs = PairClassifier(
            path,
            device=device,
            precision=precision,
            workers=workers,
            function_to_apply="none",
            max_tokens=max_tokens,
        )
        classes = self._pairs.labels
        self._follows = _entailment(path, classes)
        self._denies = len(classes) - 1 if self._follows == 0 else 0

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a text with a label's sentence is truncated."""
        return self._pairs.max_seq_length

    def report(self) -> dict[str, Any] | None:
        """What the last call did; its items are pairs of a text and a label."""
        return self._pairs.report()

    def __call__(
        self,
        sequences: str | Iterable[str],
        candidate_labels: str | Iterable[str],
        *,
        hypothesis_template: str = "This example is {}.",
        multi_label: bool = False,
        batch_size: int | None = None,
        truncation: bool = True,
        padding: bool | str = False,
    ) -> Any:
        """The scores of labels for texts, in order.

        Parameters
        ----------
        sequences
            Texts, or one text.
        candidate_labels
            Labels, or one text of them with commas between.
        hypothesis_template
            The sentence of a label, which stands for ``{}``.
        multi_label
            Whether each label has a score of its own; else the scores of a text's labels add up to 1.
        batch_size, truncation, padding
            As :meth:`Classifier.__call__` takes them.

        Returns
        -------
        list of dict
            For each text ``sequence``, ``labels``, the best first, and their ``scores``; for one text that dict alone.

        Raises
        ------
        gristmill.ItemError
            For the first pair that failed: ``index`` is its place, ``stage`` where it failed.
        """
        check_truncation(truncation)
        if isinstance(candidate_labels, str):
            candidate_labels = [label.strip() for label in candidate_labels.split(",") if label.strip()]
        labels = list(candidate_labels)
        if not labels:
            raise ValueError("candidate_labels is empty")
        sentences = [hypothesis_template.format(label) for label in labels]
        if sentences[0] == hypothesis_template:
            raise ValueError(f"hypothesis_template has no {{}} for a label: {hypothesis_template!r}")
        texts = list(listed(sequences))
        # The scores of all classes, as each pair has them: they are not sorted.
        numbers = self._pairs.scores((text, sentence) for text in texts for sentence in sentences)
        numbers = numbers.reshape(len(texts), len(labels), len(self._pairs.labels)).astype(np.float64)
        if multi_label or len(labels) == 1:
            scores = _softmax(numbers[..., [self._denies, self._follows]])[..., 1]
        else:
            scores = _softmax(numbers[..., self._follows])
        found = []
        for text, own in zip(texts, scores, strict=True):
            order = np.argsort(own)[::-1].tolist()
            best = [labels[place] for place in order]
            found.append({"sequence": text, "labels": best, "scores": own[order].tolist()})
        return found[0] if isinstance(sequences, str) else found


def _entailment(path: str | os.PathLike[str], classes: list[str]) -> int:
    """The class of entailment: by ``label2id`` as in transformers, else by the labels."""
    with open(os.path.join(path, "config.json"), encoding="utf-8") as file:
        by_name = json.load(file).get("label2id") or {}
    for name, place in (*by_name.items(), *zip(classes, range(len(classes)), strict=True)):
        if name.lower().startswith("entail") and place in range(len(classes)):
            return int(place)
    raise ValueError(f"no class of the model begins with entail: {', '.join(classes)}")


def _softmax(numbers: Any) -> Any:
    powers = np.exp(numbers - numbers.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)

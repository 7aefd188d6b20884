"""Pairs of a query and a document to scores, with the names of sentence-transformers' CrossEncoder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np

from . import _native
from ._arrow import is_arrow
from ._outputs import formed
from ._texts import Reporting, Texts, listed, listed_pairs, refuse

Pair = tuple[str, str] | list[str]


class Reranker(Reporting):
    """A reranker (cross-encoder) of a Hugging Face folder: scores how well a document answers a query.

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
        How scores are made: ``"none"`` or ``"sigmoid"``; as the folder says by default.
    prompt
        What stands before each query, unless a call has a prompt of its own.
    prompt_name
        The prompt of the folder that stands before each query; its default prompt if neither is given.
    max_tokens
        Tokens to which a pair is truncated; the folder's own number by default.
    max_length
        Another name of ``max_tokens``.
    trust_remote_code
        Taken without effect: nothing of the folder is run.

    Raises
    ------
    gristmill.Error
        If the folder has no reranker that this package reads; the message says what it lacks.
    ValueError
        If ``max_tokens`` and ``max_length`` differ.

    Examples
    --------
    >>> reranker = gristmill.Reranker("ms-marco-MiniLM-L6-v2")  # doctest: +SKIP
    >>> reranker.rank("how do mills work", ["Cats sleep.", "Stones grind grain."])  # doctest: +SKIP
    [{'corpus_id': 1, 'score': 4.2}, {'corpus_id': 0, 'score': -9.1}]
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "f32",
        workers: int | None = None,
        function_to_apply: Literal["none", "sigmoid"] | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        max_tokens: int | None = None,
        max_length: int | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        if max_tokens is None:
            max_tokens = max_length
        elif max_length not in (None, max_tokens):
            raise ValueError(f"max_tokens is {max_tokens} and max_length {max_length}: they are one number")
        self._native = _native.Reranker(
            path, device, precision, workers, function_to_apply, prompt, prompt_name, max_tokens
        )

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a pair is truncated."""
        return self._native.max_tokens

    def predict(
        self,
        sentences: Pair | Iterable[Pair],
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        activation_fn: Callable[..., Any] | None = None,
        apply_softmax: bool | None = False,
        num_workers: int = 0,
    ) -> Any:
        """The scores of pairs, in order; the higher the better.

        Takes arguments of ``CrossEncoder.predict``. Chunks are chosen by measurement, so ``batch_size`` has no effect.

        Parameters
        ----------
        sentences
            Pairs of a query and a document, as ``zip(queries, documents)``, or one pair.
        show_progress_bar
            As :meth:`Embedder.encode` takes it.
        convert_to_numpy, convert_to_tensor
            As :meth:`Embedder.encode` takes them.
        prompt_name
            The prompt of the folder that stands before each query; the model's own if neither is given.
        prompt
            What stands before each query, instead of a prompt by name.
        activation_fn, apply_softmax, num_workers
            Their defaults alone; ``function_to_apply`` of the constructor says how scores are made.

        Returns
        -------
        numpy.ndarray
            f32 of shape ``[len(sentences)]``; for one pair its score, a ``numpy.float32``.

        Raises
        ------
        gristmill.ItemError
            For the first pair that failed: ``index`` is its place, ``stage`` where it failed.
        """
        _check_scoring(activation_fn, apply_softmax, num_workers)
        given, single = listed_pairs(sentences, "give pairs of a query and a document, as zip(queries, documents)")
        pairs = [_pair(place, pair) for place, pair in enumerate(given)]
        scores = self._run(self._native.predict, pairs, prompt, prompt_name, show=show_progress_bar)
        made = formed(scores, "float32", convert_to_numpy, convert_to_tensor)
        return made[0] if single else made

    def rank(
        self,
        query: str,
        documents: Texts,
        top_k: int | None = None,
        return_documents: bool = False,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        activation_fn: Callable[..., Any] | None = None,
        apply_softmax: bool | None = False,
        num_workers: int = 0,
    ) -> list[dict[str, Any]]:
        """The documents by how well they answer a query, the best one first.

        Parameters
        ----------
        query
            The query.
        documents
            The documents: texts, or a column of Arrow's texts, as :meth:`Embedder.encode` takes it.
        top_k
            Documents that are returned at most; all by default.
        return_documents
            Whether results have the documents themselves.
        show_progress_bar
            As :meth:`Embedder.encode` takes it.
        prompt_name, prompt, activation_fn, apply_softmax, num_workers
            As :meth:`predict` takes them.

        Returns
        -------
        list
            For each document a dict: ``corpus_id``, its place in ``documents``; ``score``, a ``numpy.float32``; and
            with ``return_documents`` its ``text``.

        Raises
        ------
        gristmill.ItemError
            For the first document that failed.
        """
        _check_scoring(activation_fn, apply_softmax, num_workers)
        refuse(convert_to_numpy=(convert_to_numpy, True), convert_to_tensor=(convert_to_tensor, False))
        if top_k is not None and top_k < 0:
            raise ValueError(f"top_k is {top_k}")
        texts = listed(documents)
        kept = _kept(texts) if return_documents else []
        scores = self._run(self._native.rank, texts, query, prompt, prompt_name, show=show_progress_bar)
        # Stable, so that of equal scores the first document comes first.
        best = np.argsort(-scores, kind="stable")[:top_k].tolist()
        results: list[dict[str, Any]] = [{"corpus_id": place, "score": scores[place]} for place in best]
        if return_documents:
            for result in results:
                result["text"] = kept[result["corpus_id"]]
        return results


def _check_scoring(activation_fn: object, apply_softmax: bool | None, num_workers: int) -> None:
    hint = "function_to_apply, given when the folder is opened, says how scores are made"
    refuse(hint, activation_fn=(activation_fn, None), apply_softmax=(apply_softmax or False, False))
    refuse("workers, given when the folder is opened, are the threads", num_workers=(num_workers, 0))


def _kept(texts: Any) -> list[Any]:
    try:
        # pyarrow's columns have scalars of its own.
        return [text if isinstance(text, str) else text.as_py() for text in texts] if is_arrow(texts) else texts
    except AttributeError:
        raise ValueError("return_documents needs a list or a column of documents, not a table") from None


def _pair(place: int, pair: Any) -> tuple[str, str]:
    if isinstance(pair, (str, Mapping)) or len(pair) != 2:
        raise ValueError(f"pair {place} is no pair of a query and a document: {pair!r}")
    return pair[0], pair[1]

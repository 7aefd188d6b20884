"""Texts to vectors, weights of words and vectors of tokens, with the names of FlagEmbedding's BGEM3FlagModel."""

from __future__ import annotations

import os
from typing import Any

from . import _native
from ._texts import Reporting, Texts, listed


class HybridEmbedder(Reporting):
    """An embedding model of a folder with several heads (BGE-M3), which share one pass of the encoder.

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
    return_dense
        Whether texts have a vector.
    return_sparse
        Whether the words of texts have weights.
    return_colbert_vecs
        Whether the tokens of texts have vectors.
    max_tokens
        Tokens to which a text is truncated; the folder's own number by default.

    Raises
    ------
    gristmill.Error
        If the folder has no such model that this package reads; the message says what it lacks.

    Examples
    --------
    >>> model = gristmill.HybridEmbedder("bge-m3", return_sparse=True)  # doctest: +SKIP
    >>> found = model.encode(["Stones grind grain."])  # doctest: +SKIP
    >>> found["dense_vecs"].shape, found["lexical_weights"][0]  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "f32",
        workers: int | None = None,
        return_dense: bool = True,
        return_sparse: bool = False,
        return_colbert_vecs: bool = False,
        max_tokens: int | None = None,
    ) -> None:
        self._heads = (return_dense, return_sparse, return_colbert_vecs)
        self._native = _native.HybridEmbedder(path, device, precision, workers, self._heads, max_tokens)

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a text is truncated."""
        return self._native.max_tokens

    def encode(
        self,
        sentences: Texts,
        batch_size: int = 256,
        show_progress_bar: bool | None = None,
    ) -> dict[str, Any]:
        """What the heads find of texts, in order.

        Chunks are chosen by measurement, so ``batch_size`` has no effect.

        Parameters
        ----------
        sentences
            Texts, one text, or a column of Arrow's texts, as :meth:`Embedder.encode` takes it.
        show_progress_bar
            As :meth:`Embedder.encode` takes it.

        Returns
        -------
        dict
            ``dense_vecs``, f32 of shape ``[texts, dimension]``; ``lexical_weights``, for each text a dict from a
            token's id as a text to its weight; ``colbert_vecs``, for each text f32 of shape ``[tokens, dimension]``.
            ``None`` for heads that were not asked for when the folder was opened. For one text each is that text's own.

        Raises
        ------
        gristmill.ItemError
            For the first text that failed: ``index`` is its place, ``stage`` where it failed.
        """
        return self._encode(sentences, None, show_progress_bar)

    def encode_queries(
        self, queries: Texts, batch_size: int = 256, show_progress_bar: bool | None = None
    ) -> dict[str, Any]:
        """As :meth:`encode`, with the prompt that the folder has for queries, if any."""
        return self._encode(queries, "query", show_progress_bar)

    def encode_corpus(
        self, corpus: Texts, batch_size: int = 256, show_progress_bar: bool | None = None
    ) -> dict[str, Any]:
        """As :meth:`encode`, with the prompt that the folder has for documents, if any."""
        return self._encode(corpus, "document", show_progress_bar)

    def _encode(self, sentences: Texts, side: str | None, show: bool | None) -> dict[str, Any]:
        dense, words, tokens = self._run(self._native.encode, listed(sentences), side, show=show)
        if words is not None:
            words = [{str(word): weight for word, weight in own} for own in words]
        found = {"dense_vecs": dense, "lexical_weights": words, "colbert_vecs": tokens}
        if isinstance(sentences, str):
            return {name: None if value is None else value[0] for name, value in found.items()}
        return found

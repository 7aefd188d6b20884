"""Texts to the vectors of their tokens, with the names of sentence-transformers' MultiVectorEncoder."""

from __future__ import annotations

import os
from typing import Any

from . import _native
from ._texts import Reporting, Texts, listed


class TokenEmbedder(Reporting):
    """A late-interaction model (ColBERT) of a folder: a vector for each token of a text.

    The score of a document for a query is ``(query @ document.T).max(axis=1).sum()``.

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
        Tokens to which a text is truncated where the folder has no length for queries or documents.

    Raises
    ------
    gristmill.Error
        If the folder has no such model that this package reads; the message says what it lacks.

    Examples
    --------
    >>> embedder = gristmill.TokenEmbedder("answerai-colbert-small-v1")  # doctest: +SKIP
    >>> embedder.encode_document(["Stones grind grain."])[0].shape  # doctest: +SKIP
    (7, 96)
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
        self._native = _native.TokenEmbedder(path, device, precision, workers, max_tokens)

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a document is truncated."""
        return self._native.max_tokens

    def get_sentence_embedding_dimension(self) -> int:
        """Numbers of a vector."""
        return self._native.dimension

    def encode_query(
        self, sentences: Texts, batch_size: int = 32, show_progress_bar: bool | None = None
    ) -> Any:
        """The vectors of the tokens of queries, in order; arguments and results as of :meth:`encode_document`."""
        return self._encode(sentences, True, show_progress_bar)

    def encode_document(
        self, sentences: Texts, batch_size: int = 32, show_progress_bar: bool | None = None
    ) -> Any:
        """The vectors of the tokens of documents, in order.

        Chunks are chosen by measurement, so ``batch_size`` has no effect.

        Parameters
        ----------
        sentences
            Texts, one text, or a column of Arrow's texts, as :meth:`Embedder.encode` takes it.
        show_progress_bar
            As :meth:`Embedder.encode` takes it.

        Returns
        -------
        list of numpy.ndarray
            f32 of shape ``[tokens, dimension]`` for each text; for one text that array alone.

        Raises
        ------
        gristmill.ItemError
            For the first text that failed: ``index`` is its place, ``stage`` where it failed.
        """
        return self._encode(sentences, False, show_progress_bar)

    def _encode(self, sentences: Texts, queries: bool, show: bool | None) -> Any:
        vectors = self._run(self._native.encode, listed(sentences), queries, show=show)
        return vectors[0] if isinstance(sentences, str) else vectors

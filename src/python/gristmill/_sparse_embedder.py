"""Texts to the weights of the vocabulary's words, with the names of sentence-transformers' SparseEncoder."""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from . import _native
from ._texts import Floats, Reporting, Texts, listed


class SparseVectors(NamedTuple):
    """Sparse vectors in rows: ``scipy.sparse.csr_array(vectors[:3], vectors.shape)`` is the matrix.

    Row ``i`` has the weights ``data[indptr[i]:indptr[i + 1]]`` of the words ``indices[indptr[i]:indptr[i + 1]]``.
    """

    data: Floats
    """The weights, which are larger than 0, f32."""
    indices: npt.NDArray[np.int64]
    """The token id of each weight's word, in ascending order within a row."""
    indptr: npt.NDArray[np.int64]
    """Where the weights of each row begin, and where the last one's end."""
    shape: tuple[int, int]
    """Rows, and words of the vocabulary."""

    def rows(self) -> list[dict[int, float]]:
        """Each vector as a dict from token id to weight."""
        ends = self.indptr.tolist()
        pairs = list(zip(self.indices.tolist(), self.data.tolist(), strict=True))
        return [dict(pairs[start:end]) for start, end in itertools.pairwise(ends)]


class SparseEmbedder(Reporting):
    """A sparse embedding model (SPLADE) of a folder: a weight for each word of the vocabulary, most of which are 0.

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
    prompt
        What stands before each text, unless a call has a prompt of its own.
    prompt_name
        The prompt of the folder that stands before each text; its default prompt if neither is given.
    max_active_dims
        Weights of a text, the largest ones; as the folder says by default.
    max_tokens
        Tokens to which a text is truncated; the folder's own number by default.

    Raises
    ------
    gristmill.Error
        If the folder has no such model that this package reads; the message says what it lacks.

    Examples
    --------
    >>> vectors = gristmill.SparseEmbedder("splade-v3").encode(texts)  # doctest: +SKIP
    >>> scipy.sparse.csr_array(vectors[:3], vectors.shape)  # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "f32",
        workers: int | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        max_active_dims: int | None = None,
        max_tokens: int | None = None,
    ) -> None:
        self._native = _native.SparseEmbedder(
            path, device, precision, workers, prompt, prompt_name, max_active_dims, max_tokens
        )

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a text is truncated."""
        return self._native.max_tokens

    def get_sentence_embedding_dimension(self) -> int:
        """Words of the vocabulary."""
        return self._native.dimension

    def encode(
        self,
        sentences: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
    ) -> SparseVectors:
        """The sparse vectors of texts, in order.

        Chunks are chosen by measurement, so ``batch_size`` has no effect.

        Parameters
        ----------
        sentences
            Texts, one text, which has one row, or a column of Arrow's texts, as :meth:`Embedder.encode` takes it.
        prompt_name
            The prompt of the folder that stands before each text; the model's own if neither is given.
        prompt
            What stands before each text, instead of a prompt by name.
        show_progress_bar
            As :meth:`Embedder.encode` takes it.

        Returns
        -------
        SparseVectors
            ``data``, ``indices`` and ``indptr``, NumPy arrays in the form of compressed rows, and ``shape``.

        Raises
        ------
        gristmill.ItemError
            For the first text that failed: ``index`` is its place, ``stage`` where it failed.
        """
        return self._encode(sentences, prompt, prompt_name, None, show_progress_bar)

    def encode_query(
        self,
        sentences: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
    ) -> SparseVectors:
        """As :meth:`encode`; without a prompt, with the one that the folder has for queries, if any."""
        return self._encode(sentences, prompt, prompt_name, "query", show_progress_bar)

    def encode_document(
        self,
        sentences: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
    ) -> SparseVectors:
        """As :meth:`encode`; without a prompt, with the one that the folder has for documents, if any."""
        return self._encode(sentences, prompt, prompt_name, "document", show_progress_bar)

    def decode(self, embeddings: SparseVectors, top_k: int | None = None) -> list[list[tuple[str, float]]]:
        """The words of sparse vectors with their weights, the largest first.

        Parameters
        ----------
        embeddings
            What :meth:`encode` gave, or a matrix of compressed rows, as ``scipy.sparse.csr_array``.
        top_k
            Words of each vector at most; all by default.

        Returns
        -------
        list
            For each vector, also of one text, pairs of a word as the vocabulary has it, empty for an id that the
            tokenizer lacks, and its weight; of equal weights the word with the smaller id comes first.
        """
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k is at least 1, or None for all words, not {top_k}")
        ids, places = np.unique(embeddings.indices, return_inverse=True)
        words = self._native.words(ids.tolist())
        ends = embeddings.indptr.tolist()
        decoded = []
        for start, end in itertools.pairwise(ends):
            weights = embeddings.data[start:end]
            best = np.argsort(-weights, kind="stable")[:top_k]
            own = places[start:end][best].tolist()
            decoded.append([(words[place], weight) for place, weight in zip(own, weights[best].tolist(), strict=True)])
        return decoded

    def _encode(
        self, sentences: Texts, prompt: str | None, prompt_name: str | None, side: str | None, show: bool | None
    ) -> SparseVectors:
        texts = listed(sentences)
        data, indices, indptr = self._run(self._native.encode, texts, prompt, prompt_name, side, show=show)
        return SparseVectors(data, indices, indptr, (len(indptr) - 1, self._native.dimension))

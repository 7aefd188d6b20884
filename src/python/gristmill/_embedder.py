"""Texts to vectors, with the names of sentence-transformers."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from . import _native
from ._outputs import check_form, formed, similarity, similarity_name
from ._texts import Floats, Reporting, Texts, listed, refuse, unit


class Embedder(Reporting):
    """A text embedding model of a Hugging Face folder.

    Texts run on all cores over one copy of the weights; what becomes of a text does not depend on its neighbours.

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
    truncate_dim
        Numbers that are kept of each vector; all by default.
    max_tokens
        Tokens to which a text is truncated; the folder's own number by default.
    weights
        ``"own"`` for a copy in the process, which is fastest, or ``"mapped"`` to use them in their file, so that
        processes share one copy; results have the same bits. Nobody may write into the file meanwhile.
    task
        The task whose adapter the weights get, of a folder with adapters (Jina 3), such as ``"retrieval.query"``;
        prompts are chosen apart from it.

    Raises
    ------
    gristmill.Error
        If the folder has no model that this package reads; the message says what it lacks.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "f32",
        workers: int | None = None,
        truncate_dim: int | None = None,
        max_tokens: int | None = None,
        weights: str = "own",
        task: str | None = None,
    ) -> None:
        arguments = (path, device, precision, workers, truncate_dim, max_tokens, weights)
        self._open: Callable[[str | None], _native.Embedder] = lambda task: _native.Embedder(*arguments, task)
        self._native = self._open(task)
        self._device = device
        self.similarity_fn_name = similarity_name(path)
        """How :meth:`similarity` compares vectors: ``"cosine"``, ``"dot"``, ``"euclidean"`` or ``"manhattan"``."""
        self._tasks = {task: self._native}

    @property
    def prompts(self) -> dict[str, str]:
        """The prompts of the folder by name."""
        return self._native.prompts

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a text is truncated."""
        return self._native.max_tokens

    def get_sentence_embedding_dimension(self) -> int:
        """Numbers of a vector."""
        return self._native.dimension

    get_embedding_dimension = get_sentence_embedding_dimension

    def encode(
        self,
        sentences: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        *,
        truncate_dim: int | None = None,
        task: str | None = None,
    ) -> Any:
        """The vectors of texts, in order.

        Takes the arguments of ``SentenceTransformer.encode``. Chunks are chosen by measurement, so ``batch_size`` has
        no effect; ``output_value="token_embeddings"`` and another device than the model's are refused.

        Parameters
        ----------
        sentences
            Texts, one text, or a column of texts of a library with Arrow's data (pyarrow, Polars, DuckDB, pandas),
            which is read in place.
        prompt_name
            The prompt of the folder that stands before each text; its default prompt if neither is given.
        prompt
            What stands before each text, instead of a prompt by name.
        show_progress_bar
            Whether to show a bar, of ``tqdm`` where it is installed. By default it is shown if the logger ``gristmill``
            is at the level INFO or DEBUG.
        precision
            ``"float32"``, ``"int8"``, ``"uint8"``, ``"binary"`` or ``"ubinary"``: the numbers of
            ``quantize_embeddings``, for bytes within the range of each column of these vectors.
        convert_to_numpy, convert_to_tensor
            With ``convert_to_tensor=True`` the result is a tensor of PyTorch, with ``convert_to_numpy=False`` a list of
            them.
        normalize_embeddings
            Whether vectors get the length 1, whatever the folder says.
        truncate_dim
            Numbers that are kept of each vector.
        task
            The task whose adapter the weights get, of a folder with adapters (Jina 3); by default that of the
            constructor. The model of a task is opened on first use and kept: its weights are a copy more.

        Returns
        -------
        numpy.ndarray
            f32 of shape ``[len(sentences), dimension]``, or ``[dimension]`` for one text; or as the arguments say.

        Raises
        ------
        gristmill.ItemError
            For the first text that failed: ``index`` is its place, ``stage`` where it failed.
        """
        form = (output_value, precision, convert_to_numpy, convert_to_tensor, device)
        cut = (normalize_embeddings, truncate_dim)
        return self._encode(sentences, prompt, prompt_name, None, *cut, show_progress_bar, form, task)

    def encode_query(
        self,
        sentences: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        *,
        truncate_dim: int | None = None,
        task: str | None = None,
    ) -> Any:
        """As :meth:`encode`; without a prompt, with the one that the folder has for queries, if any."""
        form = (output_value, precision, convert_to_numpy, convert_to_tensor, device)
        cut = (normalize_embeddings, truncate_dim)
        return self._encode(sentences, prompt, prompt_name, "query", *cut, show_progress_bar, form, task)

    def encode_document(
        self,
        sentences: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        output_value: str = "sentence_embedding",
        precision: str = "float32",
        convert_to_numpy: bool = True,
        convert_to_tensor: bool = False,
        device: str | None = None,
        normalize_embeddings: bool = False,
        *,
        truncate_dim: int | None = None,
        task: str | None = None,
    ) -> Any:
        """As :meth:`encode`; without a prompt, with the one that the folder has for documents, if any."""
        form = (output_value, precision, convert_to_numpy, convert_to_tensor, device)
        cut = (normalize_embeddings, truncate_dim)
        return self._encode(sentences, prompt, prompt_name, "document", *cut, show_progress_bar, form, task)

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Floats:
        """How alike vectors are, as the folder compares them: f32 of shape ``[len(embeddings1), len(embeddings2)]``."""
        alike: Floats = similarity(self.similarity_fn_name, embeddings1, embeddings2, False)
        return alike

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Floats:
        """How alike each of ``embeddings1`` is to the one of ``embeddings2`` in the same place."""
        alike: Floats = similarity(self.similarity_fn_name, embeddings1, embeddings2, True)
        return alike

    def encode_arrow(
        self,
        sentences: Texts,
        prompt_name: str | None = None,
        prompt: str | None = None,
        *,
        normalize_embeddings: bool = False,
        truncate_dim: int | None = None,
        on_error: Literal["raise", "null"] = "raise",
    ) -> _native.ArrowArray:
        """The vectors of texts as an array of Arrow's.

        Parameters
        ----------
        sentences
            As for :meth:`encode`; one text is a list of one.
        on_error
            ``"null"`` for null in the place of a text that is null or failed.

        Returns
        -------
        gristmill.ArrowArray
            Fixed-size lists of f32, which ``pyarrow.array``, ``polars.Series`` and others take without a copy.

        Raises
        ------
        gristmill.ItemError
            For the first text that is null or failed, unless ``on_error="null"``.
        """
        if on_error not in ("raise", "null"):
            raise ValueError(f"on_error is 'raise' or 'null', not {on_error!r}")
        made = self._vectors(
            sentences, prompt, prompt_name, None, normalize_embeddings, truncate_dim, on_error == "null"
        )
        return _native.ArrowArray.of_vectors(*made)

    def _encode(
        self,
        sentences: Texts,
        prompt: str | None,
        prompt_name: str | None,
        side: str | None,
        normalize: bool,
        truncate_dim: int | None,
        show: bool | None,
        form: tuple[str, str, bool, bool, str | None],
        task: str | None,
    ) -> Any:
        output_value, precision, to_numpy, to_tensor, device = form
        single = isinstance(sentences, str)
        refuse(output_value=(output_value, "sentence_embedding"), device=(device or self._device, self._device))
        check_form(precision, single)
        vectors, _ = self._vectors(sentences, prompt, prompt_name, side, normalize, truncate_dim, False, show, task)
        made = formed(vectors, precision, to_numpy, to_tensor)
        return made[0] if single else made

    def _vectors(
        self,
        sentences: Texts,
        prompt: str | None,
        prompt_name: str | None,
        side: str | None,
        normalize: bool,
        truncate_dim: int | None,
        nulls: bool,
        show: bool | None = False,
        task: str | None = None,
    ) -> tuple[Floats, list[int]]:
        width = self._native.dimension
        if truncate_dim is not None and not 1 <= truncate_dim <= width:
            raise ValueError(f"truncate_dim is {truncate_dim}; a vector has {width} numbers")
        native = self._native
        if task is not None:
            # Two threads may open it at once; one of the two is kept.
            native = self._tasks.get(task) or self._tasks.setdefault(task, self._open(task))
        texts = listed(sentences)
        vectors, failed = self._run(native.encode, texts, prompt, prompt_name, side, nulls, show=show)
        if truncate_dim is not None:
            vectors = np.ascontiguousarray(vectors[:, :truncate_dim])
        if normalize:
            vectors = unit(vectors)
        return vectors, failed

"""Texts to vectors, with the names of sentence-transformers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from . import _native
from ._outputs import check_form, formed, settings, similarity, similarity_name
from ._prompts import all_prompts, check_name, name_of
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
        Numbers that are kept of each vector; all by default, and if there are fewer.
    max_tokens
        Tokens to which a text is truncated; the folder's own number by default.
    weights
        ``"own"`` for a copy in the process, which is fastest, or ``"mapped"`` to use them in their file, so that
        processes share one copy; results have the same bits. Nobody may write into the file meanwhile.
    task
        The task whose adapter the weights get, of a folder with adapters (Jina 3), such as ``"retrieval.query"``;
        prompts are chosen apart from it.
    prompts
        Prompts by name, beside those of the folder or instead of those with the same names.
    default_prompt_name
        The prompt that stands before each text where a call has none; as the folder says by default.
    similarity_fn_name
        How :meth:`similarity` compares vectors; as the folder says by default.
    trust_remote_code
        Taken without effect: nothing of the folder is run.

    Raises
    ------
    gristmill.Error
        If the folder has no model that this package reads; the message says what it lacks.
    """

    prompts: dict[str, str]
    """The prompts by name; ``query`` and ``document`` are empty where the folder has none."""
    default_prompt_name: str | None
    """The prompt that stands before each text where a call has none."""
    similarity_fn_name: str
    """How :meth:`similarity` compares vectors: ``"cosine"``, ``"dot"``, ``"euclidean"`` or ``"manhattan"``."""

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
        prompts: Mapping[str, str | None] | None = None,
        default_prompt_name: str | None = None,
        similarity_fn_name: str | None = None,
        trust_remote_code: bool = False,
    ) -> None:
        self._options: dict[str, Any] = {
            "path": path,
            "device": device,
            "precision": precision,
            "workers": workers,
            "truncate_dim": truncate_dim,
            "max_tokens": max_tokens,
            "weights": weights,
        }
        self._task = task
        own = settings(path)
        own_cut = own.get("truncate_dim")
        try:
            self._native = self._open(task)
        except _native.Error as error:
            # More numbers than a vector has are all of them in sentence-transformers.
            if truncate_dim is None or own_cut is not None or "truncate_dim" not in str(error):
                raise
            self._options["truncate_dim"] = None
            self._native = self._open(task)
            if truncate_dim < self._native.dimension:
                raise
        self._cut = self._options["truncate_dim"] or own_cut
        self._tasks = {task: self._native}
        self.similarity_fn_name = similarity_name(similarity_fn_name or own.get("similarity_fn_name"))
        self.prompts = all_prompts(prompts, self._native.prompts)
        check_name(default_prompt_name, self.prompts)
        self._own_default = own.get("default_prompt_name") if self._native.prompts else None
        self.default_prompt_name = self._own_default if default_prompt_name is None else default_prompt_name

    @property
    def device(self) -> str:
        """The device that was asked for."""
        return str(self._options["device"])

    @property
    def max_seq_length(self) -> int:
        """Tokens to which a text is truncated; setting it opens the folder again."""
        return self._native.max_tokens

    @max_seq_length.setter
    def max_seq_length(self, tokens: int) -> None:
        if tokens == self._native.max_tokens:
            return
        opened = self._open(self._task, tokens)
        self._options["max_tokens"] = tokens
        self._native, self._tasks = opened, {self._task: opened}

    def get_max_seq_length(self) -> int:
        """Tokens to which a text is truncated."""
        return self.max_seq_length

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
        pool: None = None,
        chunk_size: None = None,
    ) -> Any:
        """The vectors of texts, in order.

        Takes the arguments of ``SentenceTransformer.encode``. Chunks are chosen by measurement, so ``batch_size`` has
        no effect; ``output_value="token_embeddings"`` and another device than the model's are refused, as are
        ``pool`` and ``chunk_size``: one call uses all cores.

        Parameters
        ----------
        sentences
            Texts, one text, or a column of texts of a library with Arrow's data (pyarrow, Polars, DuckDB, pandas),
            which is read in place.
        prompt_name
            The prompt of :attr:`prompts` that stands before each text; the default prompt if neither is given.
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
            Numbers that are kept of each vector; all if there are fewer.
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
        _check_pool(pool, chunk_size)
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
        pool: None = None,
        chunk_size: None = None,
    ) -> Any:
        """As :meth:`encode`; without a prompt, with the one that the folder has for queries, if any."""
        form = (output_value, precision, convert_to_numpy, convert_to_tensor, device)
        _check_pool(pool, chunk_size)
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
        pool: None = None,
        chunk_size: None = None,
    ) -> Any:
        """As :meth:`encode`; without a prompt, with the one that the folder has for documents, if any."""
        form = (output_value, precision, convert_to_numpy, convert_to_tensor, device)
        _check_pool(pool, chunk_size)
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

    def _open(self, task: str | None, max_tokens: int | None = None) -> _native.Embedder:
        options = self._options if max_tokens is None else {**self._options, "max_tokens": max_tokens}
        return _native.Embedder(**options, task=task)

    def _prompt(self, prompt: str | None, prompt_name: str | None, side: str | None) -> tuple[str | None, str | None]:
        """The prompt of a call as sentence-transformers chooses it: a text, or a name that the folder has for it."""
        if prompt is not None:
            return prompt, None
        check_name(prompt_name, self.prompts)
        name = name_of(side, self.default_prompt_name, self.prompts) if prompt_name is None else prompt_name
        own = self._native.prompts
        text = "" if name is None else self.prompts.get(name, "")
        return (None, name) if name in own and own[name] == text else (text, None)

    def _job_prompt(self, prompt: str | None, prompt_name: str | None) -> tuple[str | None, str | None]:
        """The prompt of a job; nothing where the folder has it by default, so that the job is the command's."""
        chosen = self._prompt(prompt, prompt_name, None)
        return (None, None) if prompt is prompt_name is None and self._is_default(chosen) else chosen

    def _is_default(self, chosen: tuple[str | None, str | None]) -> bool:
        """Whether a chosen prompt is the one that the open model has already."""
        return chosen == (("", None) if self._own_default is None else (None, self._own_default))

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
        refuse(output_value=(output_value, "sentence_embedding"), device=(device or self.device, self.device))
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
        if truncate_dim is not None and (truncate_dim < 1 or truncate_dim > width == self._cut):
            raise ValueError(f"truncate_dim is {truncate_dim}; the model was opened for vectors of {width} numbers")
        chosen = self._prompt(prompt, prompt_name, side)
        if self._is_default(chosen):
            chosen = (None, None)
        native = self._native
        if task is not None:
            # Two threads may open it at once; one of the two is kept.
            native = self._tasks.get(task) or self._tasks.setdefault(task, self._open(task))
        texts = listed(sentences)
        vectors, failed = self._run(native.encode, texts, *chosen, nulls, show=show)
        if truncate_dim is not None:
            vectors = np.ascontiguousarray(vectors[:, :truncate_dim])
        if normalize:
            vectors = unit(vectors)
        return vectors, failed


def _check_pool(pool: object, chunk_size: object) -> None:
    refuse("one call uses all cores with one copy of the weights", pool=(pool, None), chunk_size=(chunk_size, None))

"""Jobs over files that can be resumed."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _native
from ._classifier import Classifier
from ._embedder import Embedder
from ._model import Model
from ._reranker import Reranker
from ._tagger import Tagger

Path = str | os.PathLike[str]


class Job:
    """A job over files: rows of tables in, columns of results out, in a folder that can be resumed after any kill.

    It is the job of the command with ``--out-dir`` (docs/file-jobs.md): same folder, same bytes, and either goes on
    with what the other began.

    Parameters
    ----------
    model
        An ``Embedder``, ``Classifier``, ``Reranker``, ``Tagger`` or ``Model``.
    inputs
        Files, folders or patterns, one or several: lines, JSONL, CSV, TSV (also ``.gz`` and ``.zst``), Parquet, Arrow;
        as texts also URLs of object stores and web servers (``"s3://bucket/texts/*.parquet"``).
    out_dir
        The folder of the parts, which hold the columns of the inputs and those of the job; as a text also a URL of
        an object store (``"s3://bucket/vectors"``).
    column
        The column of the texts, ``"text"`` by default. A ``Model`` reads a column for each of its inputs instead.
    query, document
        The columns of a ``Reranker``, ``"query"`` and ``"document"`` by default.
    output
        The numbers of an ``Embedder``'s vectors: ``"f32"``, ``"f16"``, ``"int8"``, ``"uint8"``, ``"binary"`` or
        ``"ubinary"``.
    ranges
        For ``"int8"`` and ``"uint8"`` the smallest and the largest number of each column, shape ``[2, dimension]``.
    prompt, prompt_name
        What stands before each text of an ``Embedder``, as a text or by the model's name for it; its
        default prompt without either.
    from_format, to_format
        ``"lines"``, ``"jsonl"``, ``"csv"``, ``"tsv"``, ``"parquet"``, ``"arrow"`` or ``"npy"``; by default the names of
        the inputs tell, and parts have the format of a table that is read, else JSONL.
    keep
        The columns of the inputs that are written too; all by default, none for an empty list.
    id
        The column that names a row among the failed ones.
    rows
        Rows of a part.
    longest
        Bytes of the longest row.
    shard
        ``(1, 4)`` runs the first of four shares of the parts.
    max_errors
        Failed rows after which the job ends; never by default.
    skip_failed
        Whether failed rows are left out; by default they have nulls.

    Examples
    --------
    >>> job = gristmill.Job(gristmill.Embedder("all-MiniLM-L6-v2"), "texts.jsonl", "vectors")  # doctest: +SKIP
    >>> job.run(resume=True)  # doctest: +SKIP
    {'rows': 20000, 'finished': 20000, 'failed': 0, 'parts': 2, 'finished_parts': 2, 'ran': 20000, 'complete': True}
    """

    def __init__(
        self,
        model: Embedder | Classifier | Reranker | Tagger | Model,
        inputs: Path | Sequence[Path],
        out_dir: Path,
        *,
        column: str | None = None,
        query: str | None = None,
        document: str | None = None,
        output: Literal["f32", "f16", "int8", "uint8", "binary", "ubinary"] = "f32",
        ranges: npt.ArrayLike | None = None,
        prompt: str | None = None,
        prompt_name: str | None = None,
        from_format: str | None = None,
        to_format: str | None = None,
        keep: Iterable[str] | None = None,
        id: str | None = None,
        rows: int = 10_000,
        longest: int = 16 << 20,
        shard: tuple[int, int] = (1, 1),
        max_errors: int | None = None,
        skip_failed: bool = False,
    ) -> None:
        kinds = (Classifier, Embedder, Model, Reranker, Tagger)
        if not isinstance(model, kinds):
            raise TypeError(f"a job takes {', '.join(kind.__name__ for kind in kinds)}, not {type(model).__name__}")
        first, count = shard
        if not 1 <= first <= count:
            raise ValueError(f"shard is (I, N) with I from 1 to N, not {shard}")
        if rows < 1 or longest < 1:
            raise ValueError(f"rows and longest are at least 1, not {rows} and {longest}")
        if not isinstance(model, Embedder):
            _only_for("an Embedder", output=(output, "f32"), ranges=(ranges is not None, False))
            _only_for("an Embedder", prompt=(prompt, None), prompt_name=(prompt_name, None))
        else:
            prompt, prompt_name = model._job_prompt(prompt, prompt_name)
        if isinstance(model, Reranker):
            _only_for("a model of single texts", column=(column, None))
            columns = [query or "query", document or "document"]
        else:
            _only_for("a Reranker", query=(query, None), document=(document, None))
            if isinstance(model, Model):
                _only_for("a model of texts", column=(column, None))
            columns = [] if isinstance(model, Model) else [column or "text"]
        if (output in ("int8", "uint8")) != (ranges is not None):
            raise ValueError("output 'int8' or 'uint8' and ranges go together")
        bounds = None
        if ranges is not None and isinstance(model, Embedder):
            bounds = _ranges(ranges, model.get_sentence_embedding_dimension())
        self._model = model._native
        self._out_dir = os.fspath(out_dir)
        self._report: dict[str, Any] | None = None
        self._options: dict[str, Any] = {
            "inputs": [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs),
            "out_dir": self._out_dir,
            "columns": columns,
            "output": output,
            "ranges": bounds,
            "prompt": prompt,
            "prompt_name": prompt_name,
            "from_format": from_format,
            "to_format": to_format,
            "keep": None if keep is None else [keep] if isinstance(keep, str) else list(keep),
            "id": id,
            "rows": rows,
            "longest": longest,
            "shard": (first - 1, count),
            "max_errors": max_errors,
            "skip_failed": skip_failed,
        }

    def run(self, *, resume: bool = False, retry_errors: bool = False, insist: bool = False) -> dict[str, Any]:
        """Runs the job to its end; Ctrl-C drops the parts in hand, and what is finished stays.

        Parameters
        ----------
        resume
            Whether to go on with the job in the folder, or start it; without it a folder with a job is refused.
        retry_errors
            Whether to go on and run failed rows once more, which may have been repaired.
        insist
            Whether to go on although model, options or arithmetic changed.

        Returns
        -------
        dict
            ``rows`` of all inputs; those that are ``finished``, by all processes, and of these the ``failed`` ones;
            ``parts`` and ``finished_parts``; the rows that this process ``ran``; whether the job is ``complete``.

        Raises
        ------
        gristmill.Error
            If the job cannot start or go on; finished parts stay valid. A row that fails is no exception: it is in
            the folder's ``*.errors.jsonl``.
        """
        start = "retry" if retry_errors else "resume" if resume else "new"
        ended, report = _native.run_job(self._model, {**self._options, "start": start, "insist": insist})
        self._report = None if report is None else json.loads(report)
        return ended

    def verify(self) -> dict[str, int]:
        """Proves that the folder holds a whole job: all rows, each part as its manifest says, and nothing else.

        Returns
        -------
        dict
            ``rows``, ``failed`` and ``parts``.

        Raises
        ------
        gristmill.Error
            With all that is missing or wrong.
        """
        return _native.verify_job(self._out_dir)

    def report(self) -> dict[str, Any] | None:
        """What the last run did in this process: items, failures, device, precision, chunks and times."""
        return self._report


def _only_for(model: str, **arguments: tuple[object, object]) -> None:
    for name, (value, default) in arguments.items():
        if value != default:
            raise ValueError(f"{name} is for {model}")


def _ranges(ranges: npt.ArrayLike, width: int) -> tuple[list[float], list[float]]:
    both = np.asarray(ranges, np.float32)
    if both.shape != (2, width):
        raise ValueError(f"ranges have the shape {both.shape}, not {(2, width)}")
    return both[0].tolist(), both[1].tolist()

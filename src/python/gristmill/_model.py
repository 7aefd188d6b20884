"""ONNX models on named arrays."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, overload

import numpy.typing as npt

from . import _native, _progress
from ._arrow import ArrowData, is_arrow

Array = npt.NDArray[Any]
Arrays = dict[str, Array]


class Model:
    """An ONNX model.

    Parameters
    ----------
    path
        The model file.
    device
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    precision
        ``"f32"``, ``"bf16"``, ``"int8"``, ``"f16"`` (on a GPU) or ``"auto"``.
    workers
        Threads; as many as the machine allows by default.
    names_apart
        Whether sizes to which the file gives one name may differ. Without it they are taken to be
        equal, so that more items run together.
    ranks
        The number of dimensions of inputs for which the file declares none, by name.
    shapes
        The sizes of inputs, by name, in place of those that the file declares; ``None`` for a size
        that each run chooses.

    Raises
    ------
    gristmill.Error
        If the model cannot run; the message names the node and the reason.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "f32",
        workers: int | None = None,
        names_apart: bool = False,
        ranks: Mapping[str, int] | None = None,
        shapes: Mapping[str, Sequence[int | None]] | None = None,
    ) -> None:
        given = [(name, list(shape)) for name, shape in (shapes or {}).items()]
        sizes = (names_apart, list((ranks or {}).items()), given)
        self._native = _native.Model(path, device, precision, workers, sizes)

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return self._native.inputs

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return self._native.outputs

    @overload
    def run(self, inputs: Mapping[str, npt.ArrayLike]) -> Arrays: ...

    @overload
    def run(self, inputs: ArrowData) -> _native.ArrowArray: ...

    def run(self, inputs: Mapping[str, npt.ArrayLike] | ArrowData) -> Arrays | _native.ArrowArray:
        """The results for one set of inputs.

        Parameters
        ----------
        inputs
            An array for each input, of its type and shape, or a table of a library with Arrow's data, whose columns are
            the inputs: all its rows are one set. No other thread may write to them until the run is over.

        Returns
        -------
        dict
            An array for each output; an array of Arrow's, with a column for each, if a table was given.

        Raises
        ------
        gristmill.ItemError
            If an array does not fit the model, or the run failed.
        """
        result: Arrays | _native.ArrowArray = self._native.run(inputs)
        return result

    @overload
    def map(
        self,
        items: Iterable[Mapping[str, npt.ArrayLike]],
        *,
        on_error: Literal["raise", "null", "collect"] = "raise",
        window: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> _native.Results | _progress.Shown: ...

    @overload
    def map(
        self,
        items: ArrowData,
        *,
        on_error: Literal["raise", "null"] = "raise",
        window: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> _native.ArrowResults: ...

    def map(
        self,
        items: Iterable[Mapping[str, npt.ArrayLike]] | ArrowData,
        *,
        on_error: Literal["raise", "null", "collect"] = "raise",
        window: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> _native.Results | _progress.Shown | _native.ArrowResults:
        """The results of items, in order, as they are taken.

        Items are read as far ahead as keeps the cores busy, within 512 MiB. ``report()`` of what is returned tells what
        the job did so far, and ``close()`` ends it, as dropping it does.

        Given a table of a library with Arrow's data (pyarrow, Polars, DuckDB, pandas), an item is a row, and results
        are batches with a column for each output; what is returned is also a stream that those libraries take.

        Parameters
        ----------
        items
            Sets of inputs, read by the thread that takes the results; or a table with a column for each input. No
            other thread may write to their arrays until the results are there.
        on_error
            What a failed item gives: its exception is raised, ``None`` stands in its place, or the exception itself.
            Of a table, the failed row is null; so is a row with a null.
        window
            Items that are cut into chunks together; up to four times as many are read ahead. Chosen if not given.
        show_progress_bar
            Whether to show a bar, of ``tqdm`` where it is installed; of a table it moves batch by batch. By default it
            is shown if the logger ``gristmill`` is at the level INFO or DEBUG.
        """
        bar = _progress.bar_of(items, "map") if is_arrow(items) and _progress.wanted(show_progress_bar) else None
        try:
            results = self._native.map(items, on_error, window, bar)
        except BaseException:
            if bar is not None:
                bar.close()
            raise
        if isinstance(results, _native.ArrowResults):
            return results
        return _progress.shown(results, items, show_progress_bar, "map")

    def report(self) -> dict[str, Any] | None:
        """What the last run or job that ended did: items, failures, device, precision and times."""
        report = self._native.report()
        return None if report is None else json.loads(report)

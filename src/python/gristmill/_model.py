"""ONNX models on named arrays."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _native

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
    ) -> None:
        self._native = _native.Model(path, device, precision, workers)
        self._report: dict[str, Any] | None = None

    @property
    def inputs(self) -> list[str]:
        """The names of the inputs."""
        return self._native.inputs

    @property
    def outputs(self) -> list[str]:
        """The names of the outputs."""
        return self._native.outputs

    def run(self, inputs: Mapping[str, npt.ArrayLike]) -> Arrays:
        """The results for one set of inputs.

        Parameters
        ----------
        inputs
            An array for each input, of its type and shape.

        Returns
        -------
        dict
            An array for each output.

        Raises
        ------
        gristmill.ItemError
            If an array does not fit the model, or the run failed.
        """
        [result] = self._run([inputs], 0)
        if isinstance(result, _native.Error):
            raise result
        return result

    def map(
        self,
        items: Iterable[Mapping[str, npt.ArrayLike]],
        *,
        on_error: Literal["raise", "null", "collect"] = "raise",
        block: int = 1024,
    ) -> Iterator[Arrays | _native.Error | None]:
        """The results of items, in order, as they are taken.

        Parameters
        ----------
        items
            Sets of inputs, of which no more than ``block`` are read ahead.
        on_error
            What a failed item gives: its exception is raised, ``None`` stands in its place, or the exception itself.
        block
            Items that run together.
        """
        if on_error not in ("raise", "null", "collect"):
            raise ValueError(f"on_error is 'raise', 'null' or 'collect', not {on_error!r}")
        source = iter(items)
        first = 0
        while part := list(itertools.islice(source, block)):
            for result in self._run(part, first):
                if not isinstance(result, _native.Error):
                    yield result
                elif on_error == "raise":
                    raise result
                else:
                    yield result if on_error == "collect" else None
            first += len(part)

    def report(self) -> dict[str, Any] | None:
        """What the last run did, in a map that of the last block: items, failures, device, precision and times."""
        return self._report

    def _run(self, items: list[Mapping[str, npt.ArrayLike]], first: int) -> list[Arrays | _native.Error]:
        results: list[Arrays | _native.Error | None] = [None] * len(items)
        given, places = [], []
        for place, item in enumerate(items):
            try:
                given.append([_given(name, value) for name, value in item.items()])
                places.append(place)
            except (TypeError, ValueError) as error:
                results[place] = _failed(first + place, error)
        made, report = self._native.run(given, [first + place for place in places])
        self._report = json.loads(report)
        for place, result in zip(places, made, strict=True):
            results[place] = result if isinstance(result, _native.Error) else _arrays(result)
        return [result for result in results if result is not None]


# Element types that a model may have.
_TYPES = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64".split()
)


def _given(name: str, value: npt.ArrayLike) -> tuple[str, str, tuple[int, ...], bytes]:
    array = np.asarray(value)
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    if native.dtype.name not in _TYPES:
        raise TypeError(f"array `{name}` has elements of type {array.dtype}; numbers and booleans are taken")
    return name, native.dtype.name, native.shape, native.tobytes()


def _failed(index: int, error: Exception) -> _native.ItemError:
    made = _native.ItemError(f"item {index} failed in prepare: {error}")
    made.index, made.stage, made.kind = index, "prepare", "InvalidInput"
    return made


def _arrays(result: list[tuple[str, str, list[int], bytearray]]) -> Arrays:
    return {name: np.frombuffer(made, np.dtype(dtype)).reshape(shape) for name, dtype, shape, made in result}

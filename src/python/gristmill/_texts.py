"""What classes of models share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _progress
from ._arrow import ArrowData, is_arrow

Floats = npt.NDArray[np.float32]
Texts = str | Iterable[str] | ArrowData


class Reporting:
    """A model that tells what its last call did."""

    _report: dict[str, Any] | None = None

    def report(self) -> dict[str, Any] | None:
        """What the last call did: items, failures, truncated texts, device, precision, chunks and times."""
        return self._report

    def _run(self, call: Callable[..., Any], items: Any, *arguments: object, show: bool | None = False) -> Any:
        """What a call of the compiled half gives for items, less the report, which is kept."""
        total = len(items) if hasattr(items, "__len__") else None
        with _progress.bar_if(_progress.wanted(show), total, "Batches") as progress:
            *made, report = call(items, *arguments, progress)
        self._report = json.loads(report)
        return made[0] if len(made) == 1 else made


def listed(texts: Texts) -> Any:
    """One text or several as a list, and Arrow's data as it is."""
    given: Any = [texts] if isinstance(texts, str) else texts
    return given if is_arrow(given) else list(given)


def unit(vectors: Floats) -> Floats:
    """Vectors, each divided by its length; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    divided: Floats = vectors / np.maximum(length, np.float32(1e-12))
    return divided


def refuse(**arguments: tuple[object, object]) -> None:
    """Refuses an argument of another tool that is not built, unless it has its default."""
    for name, (value, known) in arguments.items():
        if value != known:
            raise ValueError(f"{name}={value!r} is not built; leave it out, or pass {known!r}")

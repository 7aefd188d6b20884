"""What classes of models share."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from . import _native, _progress
from ._arrow import ArrowData, is_arrow

Floats = npt.NDArray[np.float32]
Texts = str | Iterable[str] | ArrowData


class Reporting:
    """A model that tells what its last call did."""

    _report: _native.JobReport | dict[str, Any] | None = None

    def report(self) -> dict[str, Any] | None:
        """What the last call did: items, failures, truncated texts, device, precision, chunks and times."""
        if not isinstance(self._report, _native.JobReport):
            return self._report
        report: dict[str, Any] = json.loads(self._report.json())
        self._report = report
        return report

    def _run(self, call: Callable[..., Any], items: Any, *arguments: object, show: bool | None = False) -> Any:
        """What a call of the compiled half gives for items, less the report, which is kept."""
        total = len(items) if hasattr(items, "__len__") else None
        with _progress.bar_if(_progress.wanted(show), total, "Batches") as progress:
            *made, report = call(items, *arguments, progress)
        self._report = report
        return made[0] if len(made) == 1 else made


def listed(texts: Texts, instead: str = "give a list of its texts") -> Any:
    """One text or several as a list, and Arrow's data as it is; ``instead`` tells what to give for a dict."""
    given: Any = [texts] if isinstance(texts, str) else texts
    if is_arrow(given):
        return given
    ordered(given, "texts are", instead)
    return list(given)


def listed_pairs(pairs: Any, instead: str) -> tuple[list[Any], bool]:
    """One pair or several as a list, and whether it was one; ``instead`` tells what to give for a dict or a table."""
    ordered(pairs, "pairs are", instead)
    if is_arrow(pairs) and hasattr(pairs, "columns"):
        raise TypeError(f"a table was given where pairs are taken: {instead}")
    given = [pairs] if isinstance(pairs, str) else list(pairs)
    # As `CrossEncoder` tells one pair from several.
    single = bool(given) and isinstance(given[0], str)
    return [given] if single else given, single


def ordered(given: object, taken: str, instead: str) -> None:
    """Refuses what could be iterated over, but not as it was meant."""
    if isinstance(given, Mapping):
        raise TypeError(f"a dict was given where {taken} taken: {instead}")
    if isinstance(given, (set, frozenset)):
        raise TypeError(f"a set was given where {taken} taken, and has no order: give a list")
    if isinstance(given, (bytes, bytearray, memoryview)):
        raise TypeError(f"bytes were given where {taken} taken: decode them first")


def unit(vectors: Floats) -> Floats:
    """Vectors, each divided by its length; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    divided: Floats = vectors / np.maximum(length, np.float32(1e-12))
    return divided


def refuse(hint: str | None = None, /, **arguments: tuple[object, object]) -> None:
    """Refuses an argument of another tool that is not built, unless it has its default."""
    for name, (value, known) in arguments.items():
        if value != known:
            raise ValueError(f"{name}={value!r} is not built; {hint or f'leave it out, or pass {known!r}'}")


def check_truncation(truncation: bool) -> None:
    """Refuses texts that would not be truncated."""
    hint = "what is too long is always truncated, and counted by report(); max_tokens is the length"
    refuse(hint, truncation=(truncation, True))

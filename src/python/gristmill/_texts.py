"""What all classes for texts share."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


class Reporting:
    """A model that tells what its last call did."""

    _report: dict[str, Any] | None = None

    def report(self) -> dict[str, Any] | None:
        """What the last call did: items, failures, truncated texts, device, precision, chunks and times."""
        return self._report

    def _keep(self, report: str) -> None:
        self._report = json.loads(report)


def listed(texts: str | Sequence[str]) -> list[str]:
    """One text or several as a list."""
    return [texts] if isinstance(texts, str) else list(texts)


def floats(made: bytearray, width: int) -> Floats:
    """Rows of numbers from their bytes."""
    return np.frombuffer(made, np.float32).reshape(-1, width)


def refuse(**arguments: tuple[object, object]) -> None:
    """Refuses an argument of another tool that is not built, unless it has its default."""
    for name, (value, known) in arguments.items():
        if value != known:
            raise ValueError(f"{name}={value!r} is not built; leave it out, or pass {known!r}")

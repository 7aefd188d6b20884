"""What is taken as Arrow's data."""

from __future__ import annotations

from typing import Any, Protocol


class _Stream(Protocol):
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...


class _Array(Protocol):
    def __arrow_c_array__(self, requested_schema: Any = None) -> Any: ...


ArrowData = _Stream | _Array


def is_arrow(given: object) -> bool:
    """Whether this is Arrow's data, which is passed on as it is."""
    return hasattr(given, "__arrow_c_stream__") or hasattr(given, "__arrow_c_array__")

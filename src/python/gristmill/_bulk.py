"""Python's own functions over many items."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

from . import _native, _progress

P = ParamSpec("P")
R = TypeVar("R")


class BulkFunction(Generic[P, R]):
    """A function that also runs over many items; made by :func:`bulk`."""

    __name__: str

    def __init__(self, function: Callable[P, R], chunks: bool, workers: int | None) -> None:
        self._function = function
        self._chunks = chunks
        self._workers = workers
        functools.update_wrapper(self, function)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._function(*args, **kwargs)

    def map(
        self,
        items: Iterable[Any],
        *,
        on_error: Literal["raise", "null", "collect"] = "raise",
        window: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> _native.Results | _progress.Shown:
        """The results of items, in order, as they are taken; see :meth:`Model.map`."""
        results = _native.map_function(self._function, items, self._chunks, on_error, window, self._workers)
        return _progress.shown(results, items, show_progress_bar, self.__name__)


@overload
def bulk(function: Callable[P, R]) -> BulkFunction[P, R]: ...


@overload
def bulk(
    *, chunks: bool = False, workers: int | None = None
) -> Callable[[Callable[P, R]], BulkFunction[P, R]]: ...


def bulk(
    function: Callable[P, R] | None = None, *, chunks: bool = False, workers: int | None = None
) -> BulkFunction[P, R] | Callable[[Callable[P, R]], BulkFunction[P, R]]:
    """Lets a function run over many items: lazily, in order, on the threads of this package.

    ``function(item)`` is called as before; ``function.map(items)`` gives a result for each item. The threads share one
    interpreter: a function gains as far as it waits, or leaves the interpreter's lock to others, as NumPy's products,
    files, sockets and this package's models do. A function of Python's own code alone is as fast as in a loop.

    Parameters
    ----------
    function
        Takes an item; with ``chunks``, a list of items, of which it returns as many results.
    chunks
        Whether the function takes lists. How many items are in one is chosen by how long the first took. One that
        raises is called again with the halves of the list, down to the item at fault.
    workers
        Threads; as many as the machine allows by default.

    Examples
    --------
    >>> @gristmill.bulk
    ... def size(path):
    ...     return len(open(path, "rb").read())
    >>> sizes = list(size.map(paths))
    """
    if function is None:
        return lambda function: BulkFunction(function, chunks, workers)
    return BulkFunction(function, chunks, workers)

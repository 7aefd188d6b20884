"""Progress on the terminal or in a notebook: tqdm's where it is installed, a plain line elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from . import _native


class Bar(Protocol):
    """What is used of tqdm's bars."""

    def update(self, n: int) -> Any: ...

    def close(self) -> Any: ...


class Line:
    """A line on the terminal, written about ten times a second."""

    def __init__(self, total: int | None, desc: str) -> None:
        self._total, self._desc = total, desc
        self._done, self._started, self._shown = 0, time.monotonic(), 0.0

    def update(self, n: int) -> None:
        self._done += n
        if time.monotonic() - self._shown > 0.1:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        rate = self._done / max(self._shown - self._started, 1e-9)
        of = "" if self._total is None else f"/{self._total}"
        print(f"\r{self._desc}: {self._done}{of} [{rate:.1f}/s]", end="", file=sys.stderr, flush=True)

    def close(self) -> None:
        self._show()
        print(file=sys.stderr)


def wanted(show: bool | None) -> bool:
    """Whether to show progress; ``None`` leaves it to the level of the logger, as in sentence-transformers."""
    if show is None:
        return logging.getLogger("gristmill").getEffectiveLevel() in (logging.INFO, logging.DEBUG)
    return show


def bar(total: int | None, desc: str) -> Bar:
    """tqdm's bar, or a line."""
    try:
        from tqdm.auto import tqdm  # type: ignore[import-untyped, unused-ignore]
    except ImportError:
        return Line(total, desc)
    made: Bar = tqdm(total=total, desc=desc)
    return made


def bar_of(items: Any, desc: str) -> Bar:
    """A bar for items that may have a length."""
    return bar(len(items) if hasattr(items, "__len__") else None, desc)


@contextlib.contextmanager
def bar_if(show: bool, total: int | None, desc: str) -> Iterator[Callable[[int], Any] | None]:
    """What is called with the number of items done since the last call, if a bar is to be shown."""
    if not show:
        yield None
        return
    made = bar(total, desc)
    try:
        yield made.update
    finally:
        made.close()


class Shown:
    """Results with a bar."""

    def __init__(self, results: Any, bar: Bar) -> None:
        self._results, self._bar = results, bar

    def __iter__(self) -> Shown:
        return self

    def __next__(self) -> Any:
        try:
            result = next(self._results)
        except BaseException:
            self._bar.close()
            raise
        self._bar.update(1)
        return result

    def report(self) -> dict[str, Any] | None:
        """What the job did so far."""
        report: dict[str, Any] | None = self._results.report()
        return report

    def close(self) -> None:
        """Ends the job and the bar."""
        self._results.close()
        self._bar.close()


def shown(results: _native.Results, items: Any, show: bool | None, desc: str) -> _native.Results | Shown:
    """Results with a bar, if one is wanted."""
    if not wanted(show):
        return results
    return Shown(results, bar_of(items, desc))

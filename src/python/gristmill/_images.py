"""What models of images share."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from . import _native, _progress
from ._texts import Reporting

Image = str | os.PathLike[str] | bytes | npt.NDArray[np.uint8] | Any


class ImageModel(Reporting):
    """A model of a Hugging Face folder that takes images."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        device: str = "cpu",
        precision: str = "f32",
        workers: int | None = None,
        max_pixels: int | None = None,
        weights: str = "own",
    ) -> None:
        self._native = self._kind()(path, device, precision, workers, max_pixels, weights)

    def _kind(self) -> Any:
        """The class of the compiled half, which a build may lack."""
        raise NotImplementedError

    def _all(self, images: Image | Iterable[Image], show_progress_bar: bool | None) -> tuple[list[Any], bool]:
        """What the model finds of one image or several, and whether it was one."""
        single = is_one(images)
        given: Any = [images] if single else images
        results = self.map(given, show_progress_bar=show_progress_bar)
        try:
            return list(results), single
        finally:
            self._report = results.report()

    def map(
        self,
        images: Iterable[Image],
        *,
        on_error: Literal["raise", "null", "collect"] = "raise",
        window: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> _native.Results | _progress.Shown:
        """The vectors of images, or the scores of all classes, as they are taken; arguments as of :meth:`Model.map`."""
        results = self._native.map(images, on_error, window)
        return _progress.shown(results, images, show_progress_bar, "map")


def is_one(images: Any) -> bool:
    """Whether this is one image rather than several; arrays of four axes are several."""
    if isinstance(images, np.ndarray):
        return images.ndim < 4
    return isinstance(images, (str, os.PathLike, bytes)) or hasattr(images, "convert")

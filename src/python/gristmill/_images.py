"""Images in the forms that models of images take."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import numpy.typing as npt

Image = str | os.PathLike[str] | bytes | npt.NDArray[np.uint8] | Any


def is_one(images: Any) -> bool:
    """Whether this is one image rather than several; arrays of four axes are several."""
    if isinstance(images, np.ndarray):
        return images.ndim < 4
    return isinstance(images, (str, os.PathLike, bytes)) or hasattr(images, "convert")

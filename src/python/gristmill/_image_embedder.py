"""Images to vectors."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from . import _native
from ._images import Image, ImageModel
from ._texts import Floats, unit


class ImageEmbedder(ImageModel):
    """An image embedding model of a Hugging Face folder: CLIP, SigLIP, ViT, DINOv2.

    :class:`Embedder` opens the texts' side of the same folder of CLIP or SigLIP, whose vectors can be compared with
    these. An image is the path of a file, the bytes of one, an image of PIL's, or a ``uint8`` array of the shape
    ``[height, width, 3]``. Files are PNG, JPEG, WebP, BMP and GIF; they are read and decoded on the workers, so paths
    and bytes are the fastest to give.

    Parameters
    ----------
    path
        The model's folder.
    device
        ``"auto"``, ``"cpu"`` or ``"gpu"``.
    precision
        ``"f32"``, ``"bf16"``, ``"int8"``, ``"f16"`` (on a GPU) or ``"auto"``.
    workers
        Threads; as many as the machine allows by default.
    max_pixels
        Pixels of a file at most; 89,478,485 by default, as PIL warns beyond.
    weights
        ``"own"`` or ``"mapped"``, as :class:`Embedder` takes it.

    Raises
    ------
    gristmill.Error
        If the folder has no model that this package reads; the message says what it lacks.

    Examples
    --------
    >>> vectors = gristmill.ImageEmbedder("clip-vit-base-patch32").encode(paths)  # doctest: +SKIP
    """

    def _kind(self) -> Any:
        return _native.ImageEmbedder

    def get_sentence_embedding_dimension(self) -> int:
        """Numbers of a vector."""
        return int(self._native.dimension)

    def encode(
        self,
        images: Image | Iterable[Image],
        batch_size: int = 32,
        show_progress_bar: bool | None = None,
        normalize_embeddings: bool = False,
    ) -> Floats:
        """The vectors of images, in order.

        Chunks are chosen by measurement, so ``batch_size`` has no effect. Images are taken as they are needed, so
        ``images`` may be an iterator that loads them.

        Parameters
        ----------
        images
            Images, or one image.
        show_progress_bar
            As :meth:`Embedder.encode` takes it.
        normalize_embeddings
            Whether vectors get the length 1, whatever the folder says.

        Returns
        -------
        numpy.ndarray
            f32 of shape ``[len(images), dimension]``, or ``[dimension]`` for one image.

        Raises
        ------
        gristmill.ItemError
            For the first image that failed: ``index`` is its place, ``stage`` where it failed.
        """
        found, single = self._all(images, show_progress_bar)
        vectors = np.stack(found) if found else np.empty((0, self._native.dimension), np.float32)
        if normalize_embeddings:
            vectors = unit(vectors)
        return vectors[0] if single else vectors

"""Images to classes, with the names of transformers' image-classification pipeline."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _native
from ._classifier import check_top_k, told
from ._images import Image, ImageModel


class ImageClassifier(ImageModel):
    """An image classifier of a Hugging Face folder (``ViTForImageClassification``, ``SiglipForImageClassification``).

    Called with images it gives what ``pipeline("image-classification")`` of transformers gives. An image is anything
    that :class:`ImageEmbedder` takes.

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
        If the folder has no classifier that this package reads; the message says what it lacks.

    Examples
    --------
    >>> classifier = gristmill.ImageClassifier("vit-base-patch16-224")  # doctest: +SKIP
    >>> classifier("mill.jpg", top_k=1)  # doctest: +SKIP
    [{'label': 'barn', 'score': 0.71}]
    """

    def _kind(self) -> Any:
        return _native.ImageClassifier

    @property
    def labels(self) -> list[str]:
        """The names of the classes."""
        return list(self._native.labels)

    def __call__(
        self,
        inputs: Image | Iterable[Image],
        *,
        top_k: int | None = 5,
        batch_size: int | None = None,
        show_progress_bar: bool | None = None,
    ) -> list[Any]:
        """The classes of images, in order.

        Images are taken as they are needed, so ``inputs`` may be an iterator that loads them.

        Parameters
        ----------
        inputs
            Images, or one image.
        top_k
            Classes of each image, those with the highest scores first; ``None`` for all.
        batch_size
            Taken without effect: chunks are chosen by measurement.
        show_progress_bar
            As :meth:`Embedder.encode` takes it.

        Returns
        -------
        list
            For each image a list of dicts with ``label`` and ``score``; for one image that list alone.

        Raises
        ------
        gristmill.ItemError
            For the first image that failed: ``index`` is its place, ``stage`` where it failed.
        """
        check_top_k(top_k)
        rows, single = self._all(inputs, show_progress_bar)
        return told(self.labels, rows, top_k, single)

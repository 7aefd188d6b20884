"""Bulk inference: one model over many inputs, on all cores, with one copy of the weights, results in order."""

from ._embedder import Embedder
from ._model import Model
from ._native import Error, ItemError

__all__ = ["Embedder", "Error", "ItemError", "Model"]

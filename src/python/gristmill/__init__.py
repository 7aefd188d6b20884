"""Bulk inference: one model over many inputs, on all cores, with one copy of the weights, results in order."""

from ._classifier import Classifier
from ._embedder import Embedder
from ._job import Job
from ._model import Model
from ._native import Error, ItemError
from ._reranker import Reranker
from ._sparse_embedder import SparseEmbedder, SparseVectors
from ._tagger import Tagger
from ._token_embedder import TokenEmbedder

__all__ = [
    "Classifier",
    "Embedder",
    "Error",
    "ItemError",
    "Job",
    "Model",
    "Reranker",
    "SparseEmbedder",
    "SparseVectors",
    "Tagger",
    "TokenEmbedder",
]

"""Bulk inference: one model over many inputs, on all cores, with one copy of the weights, results in order."""

from ._bulk import BulkFunction, bulk
from ._classifier import Classifier
from ._embedder import Embedder
from ._hybrid_embedder import HybridEmbedder
from ._image_classifier import ImageClassifier
from ._image_embedder import ImageEmbedder
from ._job import Job
from ._model import Model
from ._native import ArrowArray, ArrowResults, Error, ItemError, Results
from ._pair_classifier import PairClassifier
from ._reranker import Reranker
from ._sparse_embedder import SparseEmbedder, SparseVectors
from ._tagger import Tagger
from ._token_embedder import TokenEmbedder
from ._zero_shot_classifier import ZeroShotClassifier

__all__ = [
    "ArrowArray",
    "ArrowResults",
    "BulkFunction",
    "Classifier",
    "Embedder",
    "Error",
    "HybridEmbedder",
    "ImageClassifier",
    "ImageEmbedder",
    "ItemError",
    "Job",
    "Model",
    "PairClassifier",
    "Reranker",
    "Results",
    "SparseEmbedder",
    "SparseVectors",
    "Tagger",
    "TokenEmbedder",
    "ZeroShotClassifier",
    "bulk",
]

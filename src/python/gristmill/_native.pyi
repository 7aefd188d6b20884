import os
from collections.abc import Callable, Iterable
from typing import Any, final

import numpy as np
import numpy.typing as npt

class Error(Exception):
    kind: str

class ItemError(Error):
    index: int
    stage: str

def command(arguments: list[str]) -> int: ...
def quantize(vectors: npt.NDArray[np.float32], precision: str) -> npt.NDArray[np.uint8]: ...
def map_function(
    function: Callable[..., Any],
    items: Iterable[Any],
    of_lists: bool,
    on_error: str,
    window: int | None,
    workers: int | None,
) -> Results: ...
def run_job(model: object, options: dict[str, Any]) -> tuple[dict[str, Any], str | None]: ...
def verify_job(folder: str | os.PathLike[str]) -> dict[str, int]: ...

@final
class ArrowArray:
    @staticmethod
    def of_vectors(vectors: npt.NDArray[np.float32], nulls: list[int]) -> ArrowArray: ...
    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> Any: ...
    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]: ...

@final
class ArrowResults:
    def __iter__(self) -> ArrowResults: ...
    def __next__(self) -> ArrowArray: ...
    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any: ...
    def report(self) -> dict[str, Any] | None: ...

@final
class Classifier:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        function_to_apply: str | None,
        max_tokens: int | None,
    ) -> Classifier: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def max_tokens(self) -> int: ...
    def classify(
        self, texts: Any, progress: Callable[[int], Any] | None
    ) -> tuple[npt.NDArray[np.float32], JobReport]: ...

@final
class PairClassifier:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        function_to_apply: str | None,
        max_tokens: int | None,
    ) -> PairClassifier: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def max_tokens(self) -> int: ...
    def classify(
        self, pairs: list[tuple[str, str]], progress: Callable[[int], Any] | None
    ) -> tuple[npt.NDArray[np.float32], JobReport]: ...

@final
class Embedder:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        truncate_dim: int | None,
        max_tokens: int | None,
        weights: str,
        task: str | None,
    ) -> Embedder: ...
    @property
    def dimension(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def prompts(self) -> dict[str, str]: ...
    def encode(
        self,
        texts: Any,
        prompt: str | None,
        prompt_name: str | None,
        nulls: bool,
        progress: Callable[[int], Any] | None,
    ) -> tuple[npt.NDArray[np.float32], list[int], JobReport]: ...

@final
class ImageClassifier:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        max_pixels: int | None,
        weights: str,
    ) -> ImageClassifier: ...
    @property
    def labels(self) -> list[str]: ...
    def map(self, images: Iterable[Any], on_error: str, window: int | None) -> Results: ...

@final
class ImageEmbedder:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        max_pixels: int | None,
        weights: str,
    ) -> ImageEmbedder: ...
    @property
    def dimension(self) -> int: ...
    def map(self, images: Iterable[Any], on_error: str, window: int | None) -> Results: ...

@final
class JobReport:
    def json(self) -> str: ...

@final
class Model:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        sizes: tuple[bool, list[tuple[str, int]], list[tuple[str, list[int | None]]]],
    ) -> Model: ...
    @property
    def inputs(self) -> list[str]: ...
    @property
    def outputs(self) -> list[str]: ...
    def run(self, inputs: Any) -> Any: ...
    def map(
        self, items: Any, on_error: str, window: int | None, bar: object
    ) -> Results | ArrowResults: ...
    def report(self) -> str | None: ...

@final
class Reranker:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        function_to_apply: str | None,
        query_prompt: str | None,
        query_prompt_name: str | None,
        max_tokens: int | None,
    ) -> Reranker: ...
    @property
    def max_tokens(self) -> int: ...
    def predict(
        self,
        pairs: list[tuple[str, str]],
        prompt: str | None,
        prompt_name: str | None,
        progress: Callable[[int], Any] | None,
    ) -> tuple[npt.NDArray[np.float32], JobReport]: ...
    def rank(
        self,
        documents: Any,
        query: str,
        prompt: str | None,
        prompt_name: str | None,
        progress: Callable[[int], Any] | None,
    ) -> tuple[npt.NDArray[np.float32], JobReport]: ...

@final
class HybridEmbedder:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        heads: tuple[bool, bool, bool],
        max_tokens: int | None,
    ) -> HybridEmbedder: ...
    @property
    def max_tokens(self) -> int: ...
    def encode(
        self, texts: Any, side: str | None, progress: Callable[[int], Any] | None
    ) -> tuple[
        npt.NDArray[np.float32] | None,
        list[list[tuple[int, float]]] | None,
        list[npt.NDArray[np.float32]] | None,
        JobReport,
    ]: ...

@final
class Results:
    def __iter__(self) -> Results: ...
    def __next__(self) -> Any: ...
    def close(self) -> None: ...
    def report(self) -> dict[str, Any] | None: ...

@final
class SparseEmbedder:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        prompt_text: str | None,
        prompt_name: str | None,
        max_active_dims: int | None,
        max_tokens: int | None,
    ) -> SparseEmbedder: ...
    @property
    def dimension(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    def words(self, ids: list[int]) -> list[str]: ...
    def encode(
        self,
        texts: Any,
        prompt: str | None,
        prompt_name: str | None,
        side: str | None,
        progress: Callable[[int], Any] | None,
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.int64], JobReport]: ...

@final
class Tagger:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        aggregation_strategy: str,
        stride: int | None,
        ignore_labels: list[str],
        max_tokens: int | None,
    ) -> Tagger: ...
    @property
    def labels(self) -> list[str]: ...
    @property
    def max_tokens(self) -> int: ...
    def tag(
        self, texts: Any, progress: Callable[[int], Any] | None
    ) -> tuple[list[list[dict[str, Any]]], JobReport]: ...

@final
class TokenEmbedder:
    def __new__(
        cls,
        path: str | os.PathLike[str],
        device: str,
        precision: str,
        workers: int | None,
        max_tokens: int | None,
    ) -> TokenEmbedder: ...
    @property
    def dimension(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    def encode(
        self, texts: Any, queries: bool, progress: Callable[[int], Any] | None
    ) -> tuple[list[npt.NDArray[np.float32]], JobReport]: ...

import os
from typing import Any, final

class Error(Exception):
    kind: str

class ItemError(Error):
    index: int
    stage: str

def command(arguments: list[str]) -> int: ...
def run_job(model: object, options: dict[str, Any]) -> tuple[dict[str, Any], str | None]: ...
def verify_job(folder: str | os.PathLike[str]) -> dict[str, int]: ...

_Made = tuple[str, str, list[int], bytearray]

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
    def classify(self, texts: list[str]) -> tuple[bytearray, str]: ...

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
    ) -> Embedder: ...
    @property
    def dimension(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...
    @property
    def prompts(self) -> dict[str, str]: ...
    def encode(
        self, texts: list[str], prompt: str | None, prompt_name: str | None, task: str | None
    ) -> tuple[bytearray, str]: ...

@final
class Model:
    def __new__(
        cls, path: str | os.PathLike[str], device: str, precision: str, workers: int | None
    ) -> Model: ...
    @property
    def inputs(self) -> list[str]: ...
    @property
    def outputs(self) -> list[str]: ...
    def run(
        self, items: list[list[tuple[str, str, tuple[int, ...], bytes]]], indexes: list[int]
    ) -> tuple[list[list[_Made] | Error], str]: ...

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
    def predict(self, pairs: list[tuple[str, str]]) -> tuple[bytearray, str]: ...

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
    def encode(self, texts: list[str]) -> tuple[bytearray, bytearray, bytearray, str]: ...

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
    def tag(self, texts: list[str]) -> tuple[list[list[dict[str, Any]]], str]: ...

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
    def encode(self, texts: list[str], queries: bool) -> tuple[list[bytearray], str]: ...

import os
from typing import final

class Error(Exception):
    kind: str

class ItemError(Error):
    index: int
    stage: str

_Made = tuple[str, str, list[int], bytearray]

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

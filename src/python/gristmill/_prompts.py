"""Prompts of texts, as sentence-transformers chooses them."""

from __future__ import annotations

from collections.abc import Mapping

from . import _native

_SIDES: dict[str | None, tuple[str, ...]] = {"query": ("query",), "document": ("document", "passage", "corpus")}


def all_prompts(given: Mapping[str, str | None] | None, own: Mapping[str, str]) -> dict[str, str]:
    """The prompts that were given and those of the folder, with ``query`` and ``document`` in any case."""
    prompts: dict[str, str | None] = {"query": None, "document": None, **(given or {})}
    for name, text in own.items():
        if prompts.get(name) is None:
            prompts[name] = text
    return {name: text or "" for name, text in prompts.items()}


def check_name(name: str | None, prompts: Mapping[str, str]) -> None:
    """Refuses a name that no prompt has."""
    if name is not None and name not in prompts:
        error = _native.Error(f'the model has no prompt "{name}"; it has {", ".join(sorted(prompts))}')
        error.kind = "InvalidInput"
        raise error


def name_of(side: str | None, default: str | None, prompts: Mapping[str, str]) -> str | None:
    """The name of the prompt of a call that has none: that of its side, else the default one."""
    return next((name for name in _SIDES.get(side, ()) if name in prompts), default)

#!/usr/bin/env python3
"""Makes a tiny random model with the heads of BGE-M3, and what they find of awkward texts.

    golden_hybrid.py FOLDER

`FOLDER/m3` holds the files of BAAI/bge-m3 (weights and heads as PyTorch's checkpoints) and golden.json: for each text of
`goldens/heads/texts.json` what `M3Embedder.encode` of FlagEmbedding gives, one text at a time: dense_vecs,
lexical_weights, colbert_vecs. Weights are f16, computed with in f32. Versions that the goldens were made with: FlagEmbedding 1.4.2, transformers 5.24,
torch 2.15.
"""

import importlib.abc
import importlib.machinery
import json
import pathlib
import sys
from unittest import mock

import torch
import transformers as tf

from golden_encoders import POSITIONS, unigram
from golden_heads import ROBERTA, SIZES, TEXTS


SHIFT = 1.25


class Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands in for what FlagEmbedding's rerankers import, which nothing here uses and transformers 5 has not."""

    NAMES = ("transformers.modeling_attn_mask_utils", "FlagEmbedding.inference.reranker.decoder_only.models")

    def find_spec(self, name, path, target=None):
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if name.startswith(self.NAMES) else None

    def create_module(self, spec):
        return mock.MagicMock(__path__=[], __spec__=spec, __all__=[])

    def exec_module(self, module):
        pass


sys.meta_path.insert(0, Absent())
from FlagEmbedding.inference.embedder.encoder_only.m3 import M3Embedder  # noqa: E402


def shorter(numbers):
    """Numbers with as many digits as the tests compare."""
    if getattr(numbers, "ndim", 0) == 0:
        return round(float(numbers), 6)
    return [shorter(number) for number in numbers]


def main():
    root = pathlib.Path(sys.argv[1])
    place = root / "m3"
    place.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(7)
    tokenizer, names = unigram("<s> $A </s>")
    names.update(cls_token="<s>", sep_token="</s>")
    fast = tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **names)
    fast.save_pretrained(place)
    config = tf.XLMRobertaConfig(**SIZES, **ROBERTA, architectures=["XLMRobertaModel"])
    model = tf.XLMRobertaModel(config, add_pooling_layer=False).eval()
    heads = {"sparse_linear": torch.nn.Linear(16, 1), "colbert_linear": torch.nn.Linear(16, 16)}
    with torch.no_grad():
        for module in [model, *heads.values()]:
            for name, weight in module.named_parameters():
                start = 1.0 if weight.dim() == 1 and "bias" not in name else 0.0
                weight.copy_((start + 0.3 * torch.randn_like(weight)).half().float())
        # Weights above 0 for about half of the tokens.
        heads["sparse_linear"].bias.fill_(SHIFT)
    config.save_pretrained(place)
    for name, module in {"pytorch_model.bin": model, **{f"{name}.pt": head for name, head in heads.items()}}.items():
        torch.save({key: value.half() for key, value in module.state_dict().items()}, place / name)
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    (place / "modules.json").write_text(json.dumps([
        {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for index, (kind, path) in enumerate(modules)]) + "\n")
    (place / "1_Pooling").mkdir(exist_ok=True)
    (place / "1_Pooling" / "config.json").write_text(json.dumps(
        {"word_embedding_dimension": 16, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}) + "\n")
    embedder = M3Embedder(str(place), use_fp16=False, devices="cpu")
    goldens = []
    for text in TEXTS:
        found = embedder.encode([text], max_length=POSITIONS, return_dense=True, return_sparse=True,
                                return_colbert_vecs=True)
        words = sorted((int(word), shorter(weight)) for word, weight in found["lexical_weights"][0].items())
        goldens.append([shorter(found["dense_vecs"][0]), words, shorter(found["colbert_vecs"][0])])
    (place / "golden.json").write_text(json.dumps(goldens, separators=(",", ":")) + "\n")


main()

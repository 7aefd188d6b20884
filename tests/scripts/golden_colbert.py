#!/usr/bin/env python3
"""Makes tiny random models with a vector for each token, and their vectors of awkward queries and documents.

    golden_colbert.py FOLDER [NAME...]

`FOLDER/NAME` holds what sentence-transformers' MultiVectorEncoder saves, or what PyLate or ColBERT's own code do, and
golden.json: for each text of texts.json the vectors of encode_query and encode_document, one text at a time, or null where
they are left out. Weights are f16, computed with in f32. Versions that the goldens were made with: sentence-transformers
6.2, transformers 5.24, torch 2.15.
"""

import json
import pathlib
import shutil
import string
import sys
import tempfile

import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from sentence_transformers import MultiVectorEncoder
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.multi_vector_encoder.modules import MultiVectorMask

from golden_encoders import POSITIONS, byte_level, word_piece
from golden_heads import BERT, DISTIL, MODERN, TEXTS

QUERIES, DOCUMENTS = [0, 1, 7, 10, 18, 19], [0, 1, 5, 8, 9, 10, 12, 14, 16, 19]
TOKENS = "token_embeddings"


def random(module):
    with torch.no_grad():
        for own, weight in module.named_parameters():
            start = 1.0 if weight.dim() == 1 and "bias" not in own else 0.0
            weight.copy_(start + 0.3 * torch.randn_like(weight))
    return module


def backbone(config, tokenizer, place):
    torch.manual_seed(7)
    tokenizer, names = tokenizer()
    shutil.rmtree(place, ignore_errors=True)
    random(tf.AutoModel.from_config(config).eval()).half().save_pretrained(place, safe_serialization=True)
    fast = tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **names)
    return fast


def save_tokenizer(fast, place, plain=()):
    """Saves a tokenizer; the tokens `plain` are words of its vocabulary alone."""
    fast.save_pretrained(place)
    path = place / "tokenizer.json"
    settings = json.loads(path.read_text())
    settings["added_tokens"] = [token for token in settings["added_tokens"] if token["content"] not in plain]
    path.write_text(json.dumps(settings, ensure_ascii=False, separators=(",", ":")) + "\n")


def markers():
    tokenizer, names = word_piece()
    tokenizer.add_tokens(["[unused0]", "[unused1]"])
    settings = json.loads(tokenizer.to_str())
    settings["model"]["vocab"].update({"[unused0]": 300, "[unused1]": 301})
    return type(tokenizer).from_str(json.dumps(settings)), names


def encoder(name, config, tokenizer, transformer, dense, mask, prompts):
    def make(place):
        save_tokenizer(backbone(config(), tokenizer, place), place)
        modules = [Transformer(str(place), **transformer), random(dense()), mask(), Normalize(module_input_name=TOKENS)]
        with tempfile.TemporaryDirectory() as saved:
            model = MultiVectorEncoder(modules=modules, device="cpu", prompts=prompts)
            model.save_pretrained(saved)
            for other in pathlib.Path(saved).iterdir():
                if other.is_dir() or other.name in ["modules.json", "config_sentence_transformers.json",
                                                    "sentence_bert_config.json"]:
                    copy = shutil.copytree if other.is_dir() else shutil.copy
                    copy(other, place / other.name)
    return make


def pylate(place):
    fast = backbone(tf.DistilBertConfig(**DISTIL), word_piece, place)
    fast.add_tokens(["[Q] ", "[D] "])
    save_tokenizer(fast, place)
    (place / "1_Dense").mkdir()
    torch.manual_seed(8)
    save_file({"linear.weight": 0.3 * torch.randn(4, 16)}, place / "1_Dense/model.safetensors")
    files = {
        "1_Dense/config.json": {"in_features": 16, "out_features": 4, "bias": False,
                                "activation_function": "torch.nn.modules.linear.Identity"},
        "modules.json": [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
                         {"idx": 1, "name": "1", "path": "1_Dense", "type": "pylate.models.Dense.Dense"}],
        "config_sentence_transformers.json": {
            "model_type": "ColBERT", "prompts": {}, "default_prompt_name": None, "similarity_fn_name": "MaxSim",
            "query_prefix": "[Q] ", "document_prefix": "[D] ", "query_length": 12, "document_length": 40,
            "attend_to_expansion_tokens": False, "skiplist_words": list(string.punctuation)},
        "sentence_bert_config.json": {"max_seq_length": 39, "do_lower_case": False},
    }
    for own, content in files.items():
        (place / own).write_text(json.dumps(content, indent=1) + "\n")


def stanford(place):
    save_tokenizer(backbone(tf.BertConfig(**BERT), markers, place), place, ["[unused0]", "[unused1]"])
    weights = {f"bert.{name}": weight for name, weight in load_file(place / "model.safetensors").items()}
    torch.manual_seed(8)
    weights["linear.weight"] = (0.3 * torch.randn(4, 16)).half()
    save_file(weights, place / "model.safetensors", metadata={"format": "pt"})
    path = place / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "architectures": ["HF_ColBERT"]}, indent=1) + "\n")
    metadata = {"query_token_id": "[unused0]", "doc_token_id": "[unused1]", "doc_maxlen": 20, "query_maxlen": 10,
                "attend_to_mask_tokens": True, "mask_punctuation": True, "dim": 4, "similarity": "cosine"}
    (place / "artifact.metadata").write_text(json.dumps(metadata, indent=1) + "\n")


def dense(**options):
    return lambda: Dense(16, 4, module_input_name=TOKENS, **options)


MODELS = {
    "fixed": encoder("fixed", lambda: tf.DistilBertConfig(**DISTIL), word_piece,
                     dict(document_length=30, query_expansion={"strategy": "fixed", "attend": False, "length": 12}),
                     dense(bias=False, activation_function=torch.nn.Identity()),
                     lambda: MultiVectorMask(list(string.punctuation)), {"query": "[Q] ", "document": "[D] "}),
    "least": encoder("least", lambda: tf.ModernBertConfig(**MODERN), byte_level,
                     dict(query_length=20, query_expansion={"strategy": "min", "attend": True, "length": 10,
                                                            "token": "<unk>"}),
                     dense(bias=True, activation_function=torch.nn.Tanh()),
                     lambda: MultiVectorMask(["e", ".", "Ġ"], skiplist_tasks=["query", "document"]), {"query": "q: "}),
    "pylate": pylate,
    "stanford": stanford,
}


def make(folder, name):
    place = pathlib.Path(folder) / name
    MODELS[name](place)
    model = MultiVectorEncoder(str(place), device="cpu", model_kwargs={"dtype": torch.float32})
    golden = []
    for index, text in enumerate(TEXTS):
        both = [(encode, index in wanted) for encode, wanted in
                [(model.encode_query, QUERIES), (model.encode_document, DOCUMENTS)]]
        golden.append([[[float(f"{x:.7g}") for x in row] for row in encode([text])[0].tolist()] if wanted else None
                       for encode, wanted in both])
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in golden)
    (place / "golden.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    for own in sys.argv[2:] or MODELS:
        make(sys.argv[1], own)

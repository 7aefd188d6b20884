#!/usr/bin/env python3
"""Makes the modules that sentence-transformers runs behind an encoder, and their vectors for awkward texts.

    golden_modules.py ENCODERS FOLDER

ENCODERS is the folder that golden_encoders.py made; the encoder `bert` of it stands in front of all modules and is not
copied. Each folder of FOLDER holds what sentence-transformers saves beside the encoder, and golden.json: for each text
the vector of SentenceTransformer.encode, one text at a time. Versions that the goldens were made with:
sentence-transformers 6.2, transformers 5.24, torch 2.15.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize, Transformer
from sentence_transformers.sentence_transformer.modules import LayerNorm, Pooling

from golden_encoders import POSITIONS, TEXTS

ALL = ["lasttoken", "cls", "weightedmean", "mean_sqrt_len_tokens", "max", "mean"]
OLDER = {"word_embedding_dimension": 32, "pooling_mode_lasttoken": True, "pooling_mode_mean_tokens": True,
         "pooling_mode_cls_token": False, "pooling_mode_max_tokens": True, "pooling_mode_mean_sqrt_len_tokens": False}
CASES = {
    "poolings": (lambda: [Pooling(32, ALL)], {}, None),
    "dense": (lambda: [Pooling(32, ["weightedmean", "cls"]), Dense(64, 24, activation_function=torch.nn.GELU()),
                       LayerNorm(24), Dense(24, 24, bias=False, activation_function=torch.nn.Identity(),
                                            use_residual=True), Normalize()], {}, None),
    "truncated": (lambda: [Pooling(32, "mean"), Dense(32, 16, use_residual=True),
                           Dense(16, 12, activation_function=torch.nn.ReLU()), Normalize()],
                  {"truncate_dim": 7}, None),
    "older-switches": (lambda: [Pooling(32, ["max", "mean", "lasttoken"]), Dense(96, 8)], {}, OLDER),
}


def make(encoders, folder, name):
    modules, options, older = CASES[name]
    torch.manual_seed(11)
    encoder = pathlib.Path(encoders) / "bert"
    modules = modules()
    with torch.no_grad():
        for module in modules:
            for weight in module.parameters():
                weight.copy_(0.3 * torch.randn_like(weight))
    place = pathlib.Path(folder) / name
    shutil.rmtree(place, ignore_errors=True)
    with tempfile.TemporaryDirectory() as whole:
        transformer = Transformer(str(encoder), max_seq_length=POSITIONS)
        SentenceTransformer(modules=[transformer, *modules], device="cpu", **options).save_pretrained(whole)
        if older:
            (pathlib.Path(whole) / "1_Pooling/config.json").write_text(json.dumps(older))
        model = SentenceTransformer(whole, device="cpu")
        golden = [[float(f"{x:.8g}") for x in model.encode([text])[0].tolist()] for text in TEXTS]
        shutil.copytree(whole, place)
    for other in [*encoder.iterdir(), place / "README.md"]:
        (place / other.name).unlink(missing_ok=True)
    rows = (json.dumps({"text": text, "vector": vector}) for text, vector in zip(TEXTS, golden))
    (place / "golden.json").write_text("[" + ",\n".join(rows) + "]\n")
    print(name, len(golden[0]), "numbers")


if __name__ == "__main__":
    for case in CASES:
        make(sys.argv[1], sys.argv[2], case)

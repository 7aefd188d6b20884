#!/usr/bin/env python3
"""Makes tiny random models of word vectors, and their vectors for awkward texts.

    golden_words.py FOLDER

Each folder holds what model2vec's StaticModel or sentence-transformers' StaticEmbedding saves, and golden.json: for each
text of golden_encoders.py the vector of the same package's `encode`. Versions that the goldens were made with: model2vec
0.8, sentence-transformers 6.2.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
from model2vec import StaticModel
from sentence_transformers import SentenceTransformer
from sentence_transformers.models import Normalize, StaticEmbedding

from golden_encoders import TEXTS, byte_level, unigram, word_piece

WIDTH = 12


def save(place, model, texts=TEXTS):
    place.mkdir(parents=True, exist_ok=True)
    if isinstance(model, StaticModel):
        model.save_pretrained(place)
        model = StaticModel.from_pretrained(place)
    else:
        model.save_pretrained(str(place), create_model_card=False)
        model = SentenceTransformer(str(place), device="cpu")
    (place / "README.md").unlink(missing_ok=True)
    golden = [{"text": text, "vector": [float(f"{x:.9g}") for x in np.asarray(model.encode([text])[0])]} for text in texts]
    (place / "golden.json").write_text(json.dumps(golden) + "\n")


def main(folder):
    folder, random = pathlib.Path(folder), np.random.default_rng(7)
    vectors = lambda rows: random.standard_normal((rows, WIDTH)).astype(np.float32)
    settings = {"model_type": "model2vec", "architectures": ["StaticModel"], "seq_length": 1000000}
    shutil.rmtree(folder, ignore_errors=True)

    tokenizer = word_piece()[0]
    save(folder / "model2vec", StaticModel(vectors(tokenizer.get_vocab_size()), tokenizer, {**settings, "normalize": True},
                                           normalize=True))
    tokenizer = unigram()[0]
    count = tokenizer.get_vocab_size()
    save(folder / "model2vec-mapped", StaticModel(
        vectors(40), tokenizer, {**settings, "normalize": False}, normalize=False, max_length=9,
        weights=random.random(count).astype(np.float64), token_mapping=random.integers(0, 40, count)))
    tokenizer = word_piece()[0]
    save(folder / "static", SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=vectors(tokenizer.get_vocab_size())), Normalize()]))
    tokenizer = byte_level()[0]
    tokenizer.enable_truncation(7, direction="left")
    model = SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=vectors(tokenizer.get_vocab_size()))],
        prompts={"query": "query: "}, default_prompt_name="query", truncate_dim=5)
    save(folder / "static-cut", model)


if __name__ == "__main__":
    main(sys.argv[1])

#!/usr/bin/env python3
"""Makes tiny random models with a masked-word head, and their sparse vectors for awkward texts.

    golden_sparse.py FOLDER [NAME...]

`FOLDER/NAME` holds what sentence-transformers' SparseEncoder saves, or transformers' model alone, and golden.json: for
each text of texts.json the ids and weights of SparseEncoder.encode, one text at a time. Weights are f16, computed with in
f32. Versions that the goldens were made with: sentence-transformers 6.2, transformers 5.24, torch 2.15.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
import transformers as tf
from sentence_transformers import SparseEncoder
from sentence_transformers.base.modules import Transformer
from sentence_transformers.sparse_encoder.modules import SpladePooling

from golden_encoders import POSITIONS, byte_level, word_piece
from golden_heads import BERT, DISTIL, MODERN, ROBERTA, SIZES, TEXTS

# Settings, tokenizer, pooling or none, options of the encoder, and whether the two ends share the words' vectors.
MODELS = {
    "albert": (lambda: tf.AlbertConfig(**SIZES, embedding_size=12, max_position_embeddings=POSITIONS), word_piece, None, {}, True),
    "bert": (lambda: tf.BertConfig(**BERT, hidden_act="gelu_new"), word_piece, None, {}, True),
    "distilbert": (lambda: tf.DistilBertConfig(**DISTIL), word_piece, lambda: SpladePooling(activation_function="log1p_relu"),
                   {"prompts": {"query": "a ", "document": "the "}, "default_prompt_name": "document"}, False),
    "electra": (lambda: tf.ElectraConfig(**SIZES, embedding_size=12, max_position_embeddings=POSITIONS), word_piece,
                lambda: SpladePooling(), {}, True),
    "modernbert": (lambda: tf.ModernBertConfig(**MODERN), byte_level, lambda: SpladePooling(), {"max_active_dims": 5}, True),
    "mpnet": (lambda: tf.MPNetConfig(**SIZES, max_position_embeddings=POSITIONS + 2), word_piece, lambda: SpladePooling(), {},
              True),
    "roberta": (lambda: tf.RobertaConfig(**SIZES, **ROBERTA), byte_level, lambda: SpladePooling(), {}, True),
}


def make(folder, name):
    config, tokenizer, pooling, options, tied = MODELS[name]
    place = pathlib.Path(folder) / name
    torch.manual_seed(7)
    config, (tokenizer, names) = config(), tokenizer()
    config.tie_word_embeddings = tied
    model = tf.AutoModelForMaskedLM.from_config(config).eval()
    with torch.no_grad():
        for own, weight in model.named_parameters():
            start = 1.0 if weight.dim() == 1 and "bias" not in own else 0.0
            # Few words have a weight.
            start = -3.0 if weight.shape == (config.vocab_size,) else start
            weight.copy_(start + 0.3 * torch.randn_like(weight))
    shutil.rmtree(place, ignore_errors=True)
    model.half().save_pretrained(place, safe_serialization=True)
    tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **names).save_pretrained(place)
    path = place / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, separators=(",", ":")) + "\n")
    arguments = {"dtype": torch.float32}
    if pooling:
        with tempfile.TemporaryDirectory() as saved:
            transformer = Transformer(str(place), transformer_task="fill-mask")
            SparseEncoder(modules=[transformer, pooling()], device="cpu", **options).save_pretrained(saved)
            for other in ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json", "1_SpladePooling"]:
                copy = shutil.copytree if (pathlib.Path(saved) / other).is_dir() else shutil.copy
                copy(pathlib.Path(saved) / other, place / other)
    model = SparseEncoder(str(place), device="cpu", model_kwargs=arguments)
    golden = []
    for text in TEXTS:
        vector = model.encode([text], convert_to_sparse_tensor=False)[0]
        ids = vector.nonzero().flatten().tolist()
        golden.append([ids, [float(f"{vector[index].item():.7g}") for index in ids]])
    lines = ",\n".join(json.dumps(one, separators=(",", ":")) for one in golden)
    (place / "golden.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    for own in sys.argv[2:] or MODELS:
        make(sys.argv[1], own)

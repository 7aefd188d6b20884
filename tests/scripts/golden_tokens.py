#!/usr/bin/env python3
"""Makes tiny random models with a head for the classes of tokens, and the entities of awkward texts.

    golden_tokens.py FOLDER [NAME...]

`FOLDER/NAME` holds a model of transformers' own class for token classification and golden.json: entities by
transformers' pipeline, one text at a time, each as [label, score, word, start, end], by the aggregation, the overlap of
windows or null, and the text's place in texts.json; null for a text without tokens. Weights are f16, computed with in
f32. Versions that the goldens were made with: transformers 5.24, torch 2.15.
"""

import json
import pathlib
import shutil
import sys
import warnings

import torch
import transformers as tf

from golden_encoders import POSITIONS, byte_level, unigram, word_piece
from golden_heads import BERT, DISTIL, LLAMA, MODERN, ROBERTA, SIZES, TEXTS

NAMES = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "MISC"]
LABELS = dict(id2label=dict(enumerate(NAMES)), label2id={name: index for index, name in enumerate(NAMES)})
ALL = range(len(TEXTS))
# Every strategy, each of some texts; and long texts in windows.
MUCH = [("simple", None, ALL), ("none", None, [2, 5, 8, 10, 15]), ("first", None, [0, 6, 7, 9, 12, 14]),
        ("average", None, [3, 4, 5, 10, 11, 13, 15, 16, 20]), ("max", None, [0, 5, 7, 8, 10, 17]),
        ("simple", 7, [0, 18]), ("average", 0, [19])]
LITTLE = [("none", None, [0, 1, 7]), ("simple", None, [18])]
MODELS = {
    "camembert": (lambda: tf.CamembertConfig(**SIZES, **ROBERTA, **LABELS), lambda: unigram("<s> $A </s>"), MUCH),
    "distilbert": (lambda: tf.DistilBertConfig(**DISTIL, **LABELS), word_piece, MUCH),
    "electra": (lambda: tf.ElectraConfig(**BERT, embedding_size=8, **LABELS), word_piece, LITTLE),
    "modernbert": (lambda: tf.ModernBertConfig(**MODERN, classifier_bias=True, norm_bias=True, **LABELS), byte_level,
                   LITTLE),
    "qwen3": (lambda: tf.Qwen3Config(**SIZES, **LLAMA, head_dim=10, **LABELS), lambda: byte_level("$A"), LITTLE),
    "roberta": (lambda: tf.RobertaConfig(**SIZES, **ROBERTA, **LABELS), byte_level, MUCH),
}


def make(folder, name):
    config, tokenizer, wanted = MODELS[name]
    place = pathlib.Path(folder) / name
    torch.manual_seed(7)
    config, (tokenizer, names) = config(), tokenizer()
    model = tf.AutoModelForTokenClassification.from_config(config).eval()
    with torch.no_grad():
        for own, weight in model.named_parameters():
            start = 1.0 if weight.dim() == 1 and "bias" not in own else 0.0
            weight.copy_(start + 0.4 * torch.randn_like(weight))
    shutil.rmtree(place, ignore_errors=True)
    model.half().save_pretrained(place, safe_serialization=True)
    tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=POSITIONS, **names).save_pretrained(place)
    path = place / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, separators=(",", ":")) + "\n")
    model = tf.AutoModelForTokenClassification.from_pretrained(place, dtype=torch.float32)
    tokenizer = tf.AutoTokenizer.from_pretrained(place)
    golden = []
    for strategy, overlap, texts in wanted:
        more = {} if overlap is None else {"stride": overlap}
        pipeline = tf.pipeline("token-classification", model=model, tokenizer=tokenizer, device="cpu",
                               aggregation_strategy=strategy, **more)
        for text in texts:
            found = None
            if tokenizer(TEXTS[text])["input_ids"]:
                found = [[one.get("entity", one.get("entity_group")), float(f"{float(one['score']):.7g}"), one["word"],
                          one["start"], one["end"]] for one in pipeline(TEXTS[text])]
            golden.append([strategy, overlap, text, found])
    lines = ",\n".join(json.dumps(one, ensure_ascii=True, separators=(",", ":")) for one in golden)
    (place / "golden.json").write_text(f"[\n{lines}\n]\n")


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    for own in sys.argv[2:] or MODELS:
        make(sys.argv[1], own)

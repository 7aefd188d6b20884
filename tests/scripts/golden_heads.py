#!/usr/bin/env python3
"""Makes tiny random models with a classification head, and their scores for awkward texts and pairs.

    golden_heads.py FOLDER [NAME...]

`classes/NAME` holds a model of transformers' own class for sequence classification and golden.json: for each text of
texts.json the scores of all classes by transformers' pipeline, one text at a time, or null for a text without tokens.
`pair-classes/NAME` holds the same for pairs of texts by their places in texts.json, and zero_shot.json: the scores of labels of
one's own by the pipeline zero-shot-classification.
`pairs/NAME` holds what sentence-transformers' CrossEncoder saves, and golden.json: pairs of texts by their places in
texts.json, each with the score of CrossEncoder.predict. Weights are f16, computed with in f32. Versions that the goldens were made with:
sentence-transformers 6.2, transformers 5.24, torch 2.15.
"""

import json
import pathlib
import shutil
import sys
import tempfile

import torch
import transformers as tf
from sentence_transformers import CrossEncoder
from tokenizers import processors

from golden_encoders import POSITIONS, TEXTS, byte_level, unigram, word_piece

TEXTS = TEXTS + ["ends with <pad><pad>", "<pad>"]
SIZES = dict(vocab_size=320, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
ROBERTA = dict(max_position_embeddings=POSITIONS + 2, pad_token_id=1, type_vocab_size=1)
LLAMA = dict(max_position_embeddings=POSITIONS, num_key_value_heads=1, pad_token_id=1, bos_token_id=0, eos_token_id=2)
MODERN = dict(**{**SIZES, "num_hidden_layers": 2}, max_position_embeddings=POSITIONS, local_attention=16, pad_token_id=1,
              bos_token_id=0, cls_token_id=0, eos_token_id=2, sep_token_id=2)
DEBERTA = dict(**SIZES, max_position_embeddings=POSITIONS, relative_attention=True, pos_att_type="p2c|c2p", position_buckets=12,
               norm_rel_ebd="layer_norm", share_att_key=True, position_biased_input=False, pad_token_id=1,
               pooler_hidden_act="gelu")
T5 = dict(vocab_size=320, d_model=16, d_kv=10, d_ff=24, num_layers=1, num_decoder_layers=2, num_heads=2,
          eos_token_id=2, pad_token_id=1, decoder_start_token_id=3)
MOODS = dict(id2label={0: "sad", 1: "none", 2: "glad"}, label2id={"sad": 0, "none": 1, "glad": 2})
MANY = dict(MOODS, problem_type="multi_label_classification")
BERT = dict(**SIZES, max_position_embeddings=POSITIONS)
BART = dict(vocab_size=320, d_model=16, encoder_attention_heads=2, decoder_attention_heads=4, encoder_ffn_dim=24,
            decoder_ffn_dim=20, encoder_layers=1, decoder_layers=1, max_position_embeddings=POSITIONS)
DISTIL = dict(vocab_size=320, dim=16, n_layers=1, n_heads=2, hidden_dim=24, max_position_embeddings=POSITIONS)


def pairs_of_bytes():
    tokenizer, names = byte_level()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), False, False)
    return tokenizer, names


def pairs_of_pieces():
    tokenizer, names = unigram()
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s> $A </s>", "<s> $A </s> $B:1 </s>:1", [("<s>", 0), ("</s>", 2)])
    return tokenizer, names


CLASSES = {
    "albert": (lambda: tf.AlbertConfig(**BERT, embedding_size=8, num_labels=1), word_piece),
    "bart": (lambda: tf.BartConfig(**BART), byte_level),
    "bert": (lambda: tf.BertConfig(**BERT), word_piece),
    "camembert": (lambda: tf.CamembertConfig(**SIZES, **ROBERTA, **MOODS), lambda: unigram("<s> $A </s>")),
    "deberta": (lambda: tf.DebertaConfig(**BERT, relative_attention=True, pos_att_type="c2p|p2c", pad_token_id=1,
                                         pooler_hidden_act="gelu", **MOODS), lambda: byte_level("<s> $A </s>")),
    "deberta-v3": (lambda: tf.DebertaV2Config(**DEBERTA, **MOODS), lambda: unigram("<s> $A </s>")),
    "distilbert": (lambda: tf.DistilBertConfig(**DISTIL, **MOODS), word_piece),
    "electra": (lambda: tf.ElectraConfig(**BERT, embedding_size=8, **MANY), word_piece),
    "eurobert": (lambda: tf.EuroBertConfig(**SIZES, **LLAMA, mask_token_id=4, **MOODS), byte_level),
    "eurobert-mean": (lambda: tf.EuroBertConfig(**SIZES, **LLAMA, mask_token_id=4, classifier_pooling="mean", **MOODS),
                      byte_level),
    "gemma3": (lambda: tf.Gemma3TextConfig(**SIZES, **LLAMA, head_dim=12, sliding_window=9, query_pre_attn_scalar=16,
                                           layer_types=["sliding_attention"], **MOODS), lambda: unigram("<s> $A")),
    "llama": (lambda: tf.LlamaConfig(**SIZES, **LLAMA, **MOODS), lambda: byte_level("<s> $A")),
    "modernbert": (lambda: tf.ModernBertConfig(**MODERN, **MOODS), byte_level),
    "modernbert-mean": (lambda: tf.ModernBertConfig(**MODERN, classifier_pooling="mean", classifier_bias=True,
                                                    classifier_activation="silu", norm_bias=True, **MANY), byte_level),
    "gte": (lambda: tf.GteConfig(**BERT, **MOODS, pad_token_id=1), lambda: unigram("<s> $A </s>")),
    # The end of a text is not its last token.
    "mbart": (lambda: tf.MBartConfig(**BART, scale_embedding=True, **MOODS), lambda: unigram("$A </s> <s>")),
    "mpnet": (lambda: tf.MPNetConfig(**SIZES, max_position_embeddings=POSITIONS + 2, problem_type="regression", **MOODS),
              word_piece),
    "nomic-bert": (lambda: tf.NomicBertConfig(**BERT, **MOODS), word_piece),
    "qwen3": (lambda: tf.Qwen3Config(**SIZES, **LLAMA, head_dim=10, **MOODS), lambda: byte_level("$A")),
    "roberta": (lambda: tf.RobertaConfig(**SIZES, **ROBERTA, **MOODS), byte_level),
    "t5": (lambda: tf.T5Config(**T5, relative_attention_num_buckets=8, relative_attention_max_distance=20), unigram),
    "umt5": (lambda: tf.UMT5Config(**T5, **MOODS), unigram),
    "xlm-roberta-xl": (lambda: tf.XLMRobertaXLConfig(**SIZES, **ROBERTA, **MOODS), lambda: unigram("<s> $A </s>")),
}
FOLLOWS = dict(id2label={0: "contradiction", 1: "entailment", 2: "neutral"},
               label2id={"contradiction": 0, "entailment": 1, "neutral": 2})
PAIR_CLASSES = {
    "bart": (lambda: tf.BartConfig(**BART, **FOLLOWS), pairs_of_bytes),
    "bert": (lambda: tf.BertConfig(**BERT, **FOLLOWS), word_piece),
    "deberta-v3": (lambda: tf.DebertaV2Config(**DEBERTA, **FOLLOWS), pairs_of_pieces),
}
# Settings, tokenizer, its options, further settings of config.json, and the activation that is saved.
PAIRS = {
    "bart": (lambda: tf.BartConfig(**BART, num_labels=1), pairs_of_bytes, dict(model_max_length=POSITIONS - 1), {}, None),
    "bert": (lambda: tf.BertConfig(**BERT, num_labels=1), word_piece,
             dict(model_input_names=["input_ids", "token_type_ids", "attention_mask"]), {}, None),
    "deberta-v3": (lambda: tf.DebertaV2Config(**DEBERTA, num_labels=1), pairs_of_pieces, dict(), {}, None),
    "one-type": (lambda: tf.BertConfig(**BERT, num_labels=1), word_piece,
                 dict(model_input_names=["input_ids", "attention_mask"], model_max_length=POSITIONS - 1),
                 {"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, None),
    "roberta": (lambda: tf.RobertaConfig(**SIZES, **ROBERTA, num_labels=1), pairs_of_bytes,
                dict(truncation_side="left", model_max_length=POSITIONS - 1), {}, torch.nn.Identity()),
}


def model_of(config, tokenizer, options, place):
    """Saves a random model and its tokenizer."""
    torch.manual_seed(7)
    config, (tokenizer, names) = config(), tokenizer()
    model = tf.AutoModelForSequenceClassification.from_config(config).eval()
    with torch.no_grad():
        for own, weight in model.named_parameters():
            start = 1.0 if weight.dim() == 1 and "bias" not in own and config.model_type != "gemma3_text" else 0.0
            weight.copy_(start + 0.3 * torch.randn_like(weight))
    shutil.rmtree(place, ignore_errors=True)
    model.half().save_pretrained(place, safe_serialization=True)
    options = {"model_max_length": POSITIONS, **names, **options}
    tf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options).save_pretrained(place)
    path = place / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()), ensure_ascii=False, separators=(",", ":")) + "\n")


def number(score):
    return float(f"{float(score):.9g}")


def classes(folder, name):
    place = pathlib.Path(folder) / "classes" / name
    model_of(*CLASSES[name], {}, place)
    model = tf.AutoModelForSequenceClassification.from_pretrained(place, dtype=torch.float32)
    tokenizer = tf.AutoTokenizer.from_pretrained(place)
    pipeline = tf.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    golden = []
    for text in TEXTS:
        if not tokenizer(text)["input_ids"]:
            golden.append(None)
            continue
        scores = {one["label"]: number(one["score"]) for one in pipeline(text, top_k=None, truncation=True)}
        golden.append([scores[model.config.id2label[index]] for index in range(model.config.num_labels)])
    golden = {"labels": list(model.config.id2label.values()), "scores": golden}
    (place / "golden.json").write_text(json.dumps(golden) + "\n")


PLACES = [*zip(range(len(TEXTS)), reversed(range(len(TEXTS)))), (19, 18), (18, 19), (0, 19), (19, 0), (19, 19)]


def pair_classes(folder, name):
    place = pathlib.Path(folder) / "pair-classes" / name
    model_of(*PAIR_CLASSES[name], {}, place)
    model = tf.AutoModelForSequenceClassification.from_pretrained(place, dtype=torch.float32)
    tokenizer = tf.AutoTokenizer.from_pretrained(place)
    pipeline = tf.pipeline("text-classification", model=model, tokenizer=tokenizer, device="cpu")
    golden = []
    for pair in PLACES:
        texts = dict(zip(["text", "text_pair"], [TEXTS[one] for one in pair]))
        scores = {one["label"]: number(one["score"]) for one in pipeline(texts, top_k=None, truncation=True)}
        golden.append({"pair": pair, "scores": [scores[label] for label in FOLLOWS["label2id"]]})
    (place / "golden.json").write_text(json.dumps(golden) + "\n")
    zero_shot(place)


def zero_shot(place):
    """What the pipeline for labels of one's own gives with a model of pairs."""
    model = tf.AutoModelForSequenceClassification.from_pretrained(place, dtype=torch.float32)
    tokenizer = tf.AutoTokenizer.from_pretrained(place)
    pipeline = tf.pipeline("zero-shot-classification", model=model, tokenizer=tokenizer, device="cpu")
    golden = []
    for labels, multi_label in [(["grain", "a quick fox", "東京"], False), (["grain", "a quick fox"], True), (["grain"], False)]:
        for text in [TEXTS[one] for one in (0, 5, 8, 18)]:
            found = pipeline(text, labels, multi_label=multi_label, hypothesis_template="It is about {}.")
            scores = dict(zip(found["labels"], map(number, found["scores"])))
            golden.append({"text": text, "labels": labels, "multi_label": multi_label, "scores": scores})
    (place / "zero_shot.json").write_text(json.dumps(golden, ensure_ascii=False) + "\n")


def pairs(folder, name):
    config, tokenizer, options, settings, activation = PAIRS[name]
    place = pathlib.Path(folder) / "pairs" / name
    model_of(config, tokenizer, options, place)
    path = place / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}, indent=2) + "\n")
    if activation:
        with tempfile.TemporaryDirectory() as saved:
            CrossEncoder(str(place), activation_fn=activation, device="cpu").save_pretrained(saved)
            for other in ["modules.json", "config_sentence_transformers.json", "sentence_bert_config.json"]:
                shutil.copy(pathlib.Path(saved) / other, place)
    model = CrossEncoder(str(place), device="cpu", model_kwargs={"dtype": torch.float32})
    golden = [{"pair": pair, "score": number(model.predict([[TEXTS[one] for one in pair]])[0])} for pair in PLACES]
    (place / "golden.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    for own in sys.argv[2:] or CLASSES:
        if own in CLASSES:
            classes(sys.argv[1], own)
    for own in sys.argv[2:] or PAIR_CLASSES:
        if own in PAIR_CLASSES:
            pair_classes(sys.argv[1], own)
    for own in sys.argv[2:] or PAIRS:
        if own in PAIRS:
            pairs(sys.argv[1], own)
    (pathlib.Path(sys.argv[1]) / "texts.json").write_text(json.dumps(TEXTS, indent=0) + "\n")

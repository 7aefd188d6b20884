#!/usr/bin/env python3
"""Makes tiny tokenizers in the files that folders had before tokenizer.json, and the tokens of awkward texts.

    golden_tokenizers.py FOLDER

Each folder holds vocab.txt, vocab.json with merges.txt, or a sentencepiece model, with the settings beside it, and
golden.json: texts, the tokens of each, and those of each with the next. They are what transformers'
convert_slow_tokenizer makes, as of 4.57; where transformers 5 reads the files otherwise, the script says so. Versions
that the goldens were made with: transformers 5.24, sentencepiece 0.2.3.
"""

import importlib
import json
import pathlib
import shutil
import sys
import types

import sentencepiece
import transformers as tf
from tokenizers import AddedToken, processors

from golden_encoders import CORPUS, TEXTS, byte_level, word_piece

slow = importlib.import_module("transformers.convert_slow_tokenizer")
TEXTS = [text for text in TEXTS if len(text) < 300] + [
    "``quoted'' text", "1,000, 2,000", "wide  spaces\n\n  and\tmore ", "<mask> a <mask>b", "[MASK] a [MASK]b", "x</s>y<s>",
    "\u200b zero width", "Ünïcode ﬁ ligature ① ½", " leading", "<extra_id_1> t5", "<s>NOTUSED", "▁ underline ▁▁",
]
NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]
ANGLED = dict(zip(NAMES, ["<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"]))
# Class, converter, file, special tokens, settings, settings of the trainer.
PIECES = {
    "albert": ("Albert", slow.AlbertConverter, "spiece.model",
               dict(zip(NAMES, ["[CLS]", "[SEP]", "<unk>", "[SEP]", "<pad>", "[CLS]", "[MASK]"])),
               dict(do_lower_case=True, keep_accents=False),
               dict(pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols="[CLS],[SEP],[MASK]")),
    "camembert": ("Camembert", slow.CamembertConverter, "sentencepiece.bpe.model", ANGLED, {}, {}),
    "deberta-v2": ("DebertaV2", slow.DebertaV2Converter, "spm.model",
                   dict(zip(NAMES, ["[CLS]", "[SEP]", "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"])),
                   dict(do_lower_case=False, split_by_punct=True),
                   dict(pad_id=0, bos_id=1, eos_id=2, unk_id=3, pad_piece="[PAD]", bos_piece="[CLS]", eos_piece="[SEP]",
                        unk_piece="[UNK]", user_defined_symbols="»«")),
    "t5": ("T5", slow.T5Converter, "spiece.model", {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
           dict(extra_ids=5), dict(pad_id=0, eos_id=1, unk_id=2, bos_id=-1)),
    "t5-pairs": ("T5", slow.T5Converter, "spiece.model",
                 {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}, dict(extra_ids=5),
                 dict(model_type="bpe", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)),
    "xlm-roberta-pairs": ("XLMRoberta", slow.XLMRobertaConverter, "sentencepiece.bpe.model", ANGLED, {},
                          dict(model_type="bpe")),
    "xlm-roberta": ("XLMRoberta", slow.XLMRobertaConverter, "sentencepiece.bpe.model", ANGLED, {}, {}),
}


class Merges:
    """What SentencePieceExtractor of 4.57 extracts: the merges, by the scores of the pieces that they make."""

    def __init__(self, file):
        self.model = sentencepiece.SentencePieceProcessor(model_file=file)

    def extract(self, scores):
        vocab = {self.model.id_to_piece(index): index for index in range(self.model.get_piece_size())}
        merges = []
        for merge, score in dict(scores).items():
            splits = [(merge[:at], merge[at:], score) for at in range(1, len(merge))]
            splits = [split for split in splits if split[0] in vocab and split[1] in vocab]
            merges += sorted(splits, key=lambda split: (vocab[split[0]], vocab[split[1]]))
        merges.sort(key=lambda merge: (merge[2], len(merge[0]), len(merge[1])), reverse=True)
        return vocab, [merge[:2] for merge in merges]


def convert(place, name):
    """The tokenizer that the converter makes of the files, with the special tokens that the class of 4.57 adds."""
    _, converter, file, tokens, settings, _ = PIECES[name]
    original = types.SimpleNamespace(vocab_file=str(place / file), _extra_ids=settings.get("extra_ids"), **settings)
    made = converter.__new__(converter)
    made.original_tokenizer = original
    made.SpmExtractor = Merges
    made.proto = slow.import_protobuf().ModelProto()
    made.proto.ParseFromString((place / file).read_bytes())
    numbers = {}
    original.convert_tokens_to_ids = lambda token: numbers[token]
    bare = made.tokenizer(made.proto)
    special = [AddedToken(token, lstrip=key == "mask_token" and name != "deberta-v2", normalized=False, special=True)
               for key, token in tokens.items()]
    special += [AddedToken(f"<extra_id_{index}>", normalized=False, special=True) for index in range(settings.get("extra_ids", 0))]
    if name == "camembert":
        special += [AddedToken(text, normalized=False, special=True) for text in ["<s>NOTUSED", "</s>NOTUSED", "<unk>NOTUSED"]]
    bare.add_tokens(special)
    numbers.update(bare.get_vocab(with_added_tokens=True))
    tokenizer = made.converted()
    tokenizer.add_tokens(special)
    return tokenizer


def save(place, tokenizer, texts=TEXTS):
    pairs = list(zip(texts, texts[1:]))
    golden = {
        "texts": texts,
        "ids": [tokenizer.encode(text).ids for text in texts],
        "pairs": [[(one := tokenizer.encode(*pair)).ids, one.type_ids] for pair in pairs],
    }
    (place / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    try:
        other = tf.AutoTokenizer.from_pretrained(place)
    except Exception as error:
        return print(f"{place.name}: transformers 5: {error}")
    for text, ids in zip(texts, golden["ids"]):
        if other(text)["input_ids"] != ids:
            print(f"{place.name}: transformers 5 gives other tokens of {text!r}")


class Proteins:
    """transformers' tokenizer of ESM, which is in Python, with the names of a fast one."""

    def __init__(self, place):
        self.own = tf.EsmTokenizer.from_pretrained(place)

    def encode(self, *texts):
        ids = self.own(*texts)["input_ids"]
        return types.SimpleNamespace(ids=ids, type_ids=[0] * len(ids))


def proteins(place):
    place.mkdir()
    letters = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO.-", "<null_1>", "<mask>"]
    (place / "vocab.txt").write_text("\n".join(letters))
    (place / "tokenizer_config.json").write_text('{"tokenizer_class": "EsmTokenizer"}\n')
    save(place, Proteins(place), [*TEXTS, "MKTAYIAKQRQISFVKSHFSRQ", "mkt MKT\nAYIA", "M<mask>K <null_1>x", "ÅMK*-.", "M K T"])


def main(folder):
    folder = pathlib.Path(folder)
    shutil.rmtree(folder, ignore_errors=True)
    settings = lambda place, **all: (place / "tokenizer_config.json").write_text(json.dumps(all, indent=1) + "\n")
    for name, (cls, _, file, tokens, own, trainer) in PIECES.items():
        place = folder / name
        place.mkdir(parents=True)
        model = str(place / file).removesuffix(".model")
        # A table of few lines, since the usual ones are large; without one the normalizer has no table.
        (place / "rules.tsv").write_text("9\t20\nA\t20\nFB01\t66 69\n2460\t31\n200B\t\n")
        rules = {"normalization_rule_tsv": str(place / "rules.tsv")}
        rules = {"normalization_rule_name": "identity"} if name == "deberta-v2" else rules
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(CORPUS * 3), model_prefix=model, vocab_size=150, minloglevel=2, num_threads=1,
            hard_vocab_limit=False, **rules, **trainer)
        pathlib.Path(model + ".vocab").unlink()
        (place / "rules.tsv").unlink()
        settings(place, tokenizer_class=cls + "Tokenizer", **own)
        if name == "deberta-v2":
            count = sentencepiece.SentencePieceProcessor(model_file=str(place / file)).get_piece_size()
            (place / "added_tokens.json").write_text(json.dumps({"[MASK]": count}) + "\n")
        save(place, convert(place, name))

    for name, cls, cased in [("bert", "BertTokenizer", False), ("bert-cased", "BertTokenizer", True)]:
        place = folder / name
        place.mkdir()
        vocab = sorted(word_piece()[0].get_vocab().items(), key=lambda entry: entry[1])
        (place / "vocab.txt").write_text("".join(token + "\n" for token, _ in vocab))
        settings(place, tokenizer_class=cls, **(dict(do_lower_case=False, tokenize_chinese_chars=False) if cased else {}))
        save(place, tf.AutoTokenizer.from_pretrained(place)._tokenizer)
    place = folder / "mpnet"
    place.mkdir()
    names = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    (place / "vocab.txt").write_text("".join(names.get(token, token) + "\n" for token, _ in vocab))
    (place / "config.json").write_text('{"model_type": "mpnet"}\n')
    tokenizer = tf.MPNetTokenizer.from_pretrained(place)._tokenizer
    marks = [(token, tokenizer.token_to_id(token)) for token in ["<s>", "</s>"]]
    # As the converter of 4.57 has it; transformers 5 gives all tokens the first type.
    tokenizer.post_processor = processors.TemplateProcessing(
        "<s>:0 $A:0 </s>:0", "<s>:0 $A:0 </s>:0 </s>:0 $B:1 </s>:1", marks)
    save(place, tokenizer)

    proteins(folder / "esm")

    place = folder / "deberta"
    place.mkdir()
    bytes_, _ = byte_level()
    bytes_.model.save(str(place))
    vocab = json.loads((place / "vocab.json").read_text())
    names = {"<s>": "[CLS]", "<pad>": "[PAD]", "</s>": "[SEP]", "<unk>": "[UNK]", "<mask>": "[MASK]"}
    vocab = {names.get(token, token): number for token, number in vocab.items()}
    (place / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False))
    settings(place, tokenizer_class="DebertaTokenizer")
    tokenizer = tf.AutoTokenizer.from_pretrained(place)._tokenizer
    # In 4.57 the mask takes the spaces before it, and a pair's second text has the second type.
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=True, normalized=False, special=True)])
    tokenizer.post_processor = processors.TemplateProcessing(
        "[CLS]:0 $A:0 [SEP]:0", "[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        [(token, tokenizer.token_to_id(token)) for token in ["[CLS]", "[SEP]"]])
    save(place, tokenizer)

    place = folder / "roberta"
    place.mkdir()
    byte_level()[0].model.save(str(place))
    settings(place, tokenizer_class="RobertaTokenizer", add_prefix_space=True)
    tokenizer = tf.AutoTokenizer.from_pretrained(place)._tokenizer
    # In 4.57 the mask takes the spaces before it.
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
    save(place, tokenizer)


if __name__ == "__main__":
    main(sys.argv[1])

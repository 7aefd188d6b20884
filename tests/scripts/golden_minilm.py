"""Writes tests/goldens/minilm.json (texts) and minilm.npz (tokens and vectors): golden_minilm.py [DATA_DIR]

Run after tests/setup.sh. What is in the files: tests/goldens/README.md.
"""

import json
import sys
from pathlib import Path

import numpy as np

from glosses import glosses, spread
from ort_minilm import Reference

HERE = Path(__file__).resolve().parent.parent


def odd_texts():
    """Texts at the edges of what a tokenizer and a length limit see."""
    return [
        "",
        " ",
        "\t \u00a0\u2003",
        "a",
        "!",
        "\u0000",
        "bell \u0007 escape \u001b[31m red \u001b[0m null \u0000 end",
        "delete \u007f next line \u0085 separator \u2028 done",
        "one line\nanother line\r\nand a third",
        "soft\u00adhyphen, zero\u200bwidth\u200dspace, \ufeffbyte order mark, \u202eright to left\u202c",
        "replacement \ufffd character \ufffe and noncharacter",
        "🙂",
        "mills 🌾🌬️ and families 👩‍👩‍👧‍👦, flags 🇳🇴🇯🇵, skin 👍🏽",
        "风车把谷物磨成面粉。",
        "水車は川のそばで回り、粉を挽く。",
        "풍차는 바람의 힘으로 곡식을 빻는다",
        "mixed 中文 and English 与 punctuation、。",
        "Ветряная мельница мелет зерно",
        "ο ανεμόμυλος αλέθει το σιτάρι",
        "الطاحونة تطحن القمح",
        "הטחנה טוחנת חיטה",
        "पवनचक्की अनाज पीसती है",
        "กังหันลมบดเมล็ดพืช",
        "Zwölf Mühlen mahlen Größe, Straße, ŒUVRE, ÅNGSTRÖM, İstanbul",
        "e\u0301 decomposed and \u00e9 composed; A\u030a and \u00c5; ﬁ ligature; Ⅳ; ½; ①",
        "𝕞𝕒𝕥𝕙 𝓵𝓮𝓽𝓽𝓮𝓻𝓼 and 𐍈 beyond the basic plane",
        "UPPER lower MiXeD CamelCase snake_case kebab-case",
        "don't can't o'clock rock'n'roll",
        "3.14159 -2,71828 1e-12 0x1F4A9 50% $9.99 #42 @home a&b c/d",
        "fn main() { println!(\"{}\", 6 * 7); } // https://example.org/a?b=c&d=e#f",
        "[CLS] [SEP] [MASK] [PAD] [UNK] written by the user",
        "[CLS][SEP]",
        "##ing ##ed unaffordable antidisestablishmentarianism",
        "x" * 99,
        "x" * 100,
        "x" * 101,
        "x" * 5000,
        "." * 1000,
        "a\u0301" * 300,
        "\u0301" * 300,
        "中" * 254,
        "中" * 255,
    ]


def long_texts(rows):
    """Texts around and past 256 tokens, two of which are [CLS] and [SEP], and one of 100,000 characters."""
    words = [" ".join(["grain"] * count) for count in (1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129)]
    edge = [" ".join(["grain"] * count) for count in (252, 253, 254, 255, 256, 257, 510, 511, 512, 513)]
    joined = ["; ".join(rows[start : start + 40]) for start in range(0, len(rows), 8000)]
    text = "; ".join(rows[1::7])[:100_000]
    return words + edge + joined + [text, "q" * 100_000]


def main():
    data = Path(sys.argv[1] if len(sys.argv) > 1 else HERE / "data")
    rows = glosses(data / "wordnet")
    texts = spread(rows, 200) + odd_texts() + long_texts(rows)
    reference = Reference(data / "minilm", data / "minilm.onnx")
    tokens, vectors = zip(*(reference.embed(text) for text in texts))
    (HERE / "goldens/minilm.json").write_text(json.dumps(texts, ensure_ascii=True, indent=0) + "\n")
    np.savez_compressed(
        HERE / "goldens/minilm.npz",
        tokens=np.concatenate(tokens).astype(np.int32),
        offsets=np.cumsum([0, *map(len, tokens)]).astype(np.int64),
        vectors=np.array(vectors, np.float32),
    )
    print(len(texts), "texts,", sum(map(len, tokens)), "tokens")


main()

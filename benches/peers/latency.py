"""Time of one text by a peer, again and again: latency.py ENGINE MODEL_DIR GRAPH.onnx TEXTS THREADS

Takes the first text of 32 tokens. The last line printed is JSON: the median in milliseconds, tokenizing included.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from engines import load

TOKENS, TIMES = 32, 200


def main():
    engine, folder, graph, texts, threads = sys.argv[1:]
    run = load(engine, graph, int(threads), "sentence_embedding")
    tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    tokenizer.no_padding()
    rows = Path(texts).read_text(encoding="utf-8").split("\n")
    text = next(row for row in rows if len(tokenizer.encode(row).ids) == TOKENS)
    seconds = []
    for _ in range(TIMES):
        start = time.perf_counter()
        ids = np.array([tokenizer.encode(text).ids], np.int64)
        run([{"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}])
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"median_ms": 1000 * sorted(seconds)[TIMES // 2]}))
    sys.stdout.flush()
    os._exit(0)


main()

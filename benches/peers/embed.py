"""The whole embedding job by a peer: embed.py ENGINE MODEL_DIR GRAPH.onnx TEXTS OUT.npy THREADS BATCH

Reads the texts, tokenizes, sorts by length, pads each batch to its longest text, runs, writes the vectors in the order
of the texts. The last line printed is JSON: seconds for loading and for the rest.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from engines import finish, load


def main():
    engine, folder, graph, texts, out, threads, size = sys.argv[1:]
    threads, size = int(threads), int(size)
    start = time.perf_counter()
    run = load(engine, graph, threads, "sentence_embedding")
    tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    tokenizer.no_padding()
    tokenizer.enable_truncation(json.loads(Path(folder, "sentence_bert_config.json").read_text())["max_seq_length"])
    loaded = time.perf_counter()
    rows = Path(texts).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    ids = [encoding.ids for encoding in tokenizer.encode_batch(rows)]
    order = sorted(range(len(ids)), key=lambda i: -len(ids[i]))
    batches = []
    for first in range(0, len(order), size):
        part = [ids[i] for i in order[first : first + size]]
        tokens = np.zeros((len(part), len(part[0])), np.int64)
        mask = np.zeros_like(tokens)
        for row, row_ids in enumerate(part):
            tokens[row, : len(row_ids)] = row_ids
            mask[row, : len(row_ids)] = 1
        batches.append({"input_ids": tokens, "attention_mask": mask, "token_type_ids": np.zeros_like(tokens)})
    sorted_vectors = np.concatenate(run(batches))
    vectors = np.empty_like(sorted_vectors)
    vectors[order] = sorted_vectors
    np.save(out, vectors)
    finish(loaded - start, time.perf_counter() - loaded)


main()

"""From Python: gristmill's wheel beside sentence-transformers, ONNX Runtime by hand, and a pool of processes.

    python benches/peers/python.py --data tests/data [--texts N] [--rounds N] [--threads N] [--out FILE.md]

Each contender is a program of its own that reads the texts and makes their vectors in memory, timed from the start of its
interpreter. They run in turn; times are medians over the rounds. A round before them fills the page cache and measures
memory: the largest sum of the proportional set sizes of all processes of the program, sampled every 50 ms. A contender
whose package is not installed has a row that says so. `--python NAME=PYTHON` runs one in another environment.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path

# What a program says, as seconds since its start: imports done, first vector, all vectors.


def gristmill(folder, graph, texts, threads):
    import gristmill

    imported = time.monotonic()
    embedder = gristmill.Embedder(folder, workers=threads)
    embedder.encode(texts[:1])
    first = time.monotonic()
    return imported, first, embedder.encode(texts)


def gristmill_bf16(folder, graph, texts, threads):
    import gristmill

    imported = time.monotonic()
    embedder = gristmill.Embedder(folder, workers=threads, precision="bf16")
    embedder.encode(texts[:1])
    first = time.monotonic()
    return imported, first, embedder.encode(texts)


def sentence_transformers(folder, graph, texts, threads):
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(threads)
    imported = time.monotonic()
    model = SentenceTransformer(folder, device="cpu", local_files_only=True)
    model.encode(texts[:1], show_progress_bar=False)
    first = time.monotonic()
    return imported, first, model.encode(texts, show_progress_bar=False)


def onnxruntime(folder, graph, texts, threads):
    import numpy as np
    import onnxruntime
    from tokenizers import Tokenizer

    imported = time.monotonic()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
    tokenizer.enable_truncation(json.loads(Path(folder, "sentence_bert_config.json").read_text())["max_seq_length"])
    tokenizer.enable_padding()

    def encode(batch):
        encoded = tokenizer.encode_batch(batch)
        ids = np.array([part.ids for part in encoded], np.int64)
        mask = np.array([part.attention_mask for part in encoded], np.int64)
        inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        return session.run(["sentence_embedding"], inputs)[0]

    encode(texts[:1])
    first = time.monotonic()
    # As sentence-transformers does: batches of 32 of similar length, and the vectors in the order of the texts.
    order = sorted(range(len(texts)), key=lambda place: -len(texts[place]))
    parts = [encode([texts[place] for place in order[at : at + 32]]) for at in range(0, len(order), 32)]
    vectors = np.empty((len(texts), parts[0].shape[1]), np.float32)
    vectors[order] = np.concatenate(parts)
    return imported, first, vectors


def process_pool(folder, graph, texts, threads):
    from concurrent.futures import ProcessPoolExecutor

    import numpy as np
    from process_pool import embed

    imported = time.monotonic()
    first, vectors = None, []
    with ProcessPoolExecutor(8) as executor:
        for vector in executor.map(embed, [(folder, graph, text) for text in texts], chunksize=16):
            first = first or time.monotonic()
            vectors.append(vector)
    return imported, first, np.array(vectors)


CONTENDERS = {
    "gristmill f32": gristmill,
    "gristmill bf16": gristmill_bf16,
    "sentence-transformers f32 (torch)": sentence_transformers,
    "ONNX Runtime f32 by hand": onnxruntime,
    "process pool, 8 x ONNX Runtime": process_pool,
}


def contend(name, folder, graph, texts, out, threads, started):
    import numpy as np

    rows = Path(texts).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    imported, first, vectors = CONTENDERS[name](folder, graph, rows, int(threads))
    done = time.monotonic()
    np.save(out, vectors)
    print(json.dumps([moment - float(started) for moment in (imported, first, done)]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that tests/setup.sh fills")
    parser.add_argument("--texts", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--python", action="append", default=[], metavar="NAME=PYTHON", help="NAME as in the table")
    parser.add_argument("--out", type=Path, help="where the table goes besides stdout")
    options = parser.parse_args()
    import numpy as np
    from processes import run

    pythons = dict.fromkeys(CONTENDERS, sys.executable) | dict(given.split("=", 1) for given in options.python)
    folder, graph = options.data / "minilm", options.data / "minilm.onnx"
    os.environ |= {"OMP_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1"}
    os.environ["RAYON_NUM_THREADS"] = str(options.threads)
    figures, memory, vectors, missing = {name: [] for name in CONTENDERS}, {}, {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        texts = Path(scratch, "texts.txt")
        lines = (options.data / "glosses.txt").read_text(encoding="utf-8").split("\n")[: options.texts]
        texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
        names = list(CONTENDERS)
        for turn in range(options.rounds + 1):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                if name in missing:
                    continue
                out = Path(scratch, "vectors.npy")
                command = [pythons[name], __file__, "contend", name, folder, graph, texts, out, options.threads]
                try:
                    _, peak, printed = run([*command, time.monotonic()], turn == 0)
                except SystemExit as error:
                    missing[name] = str(error)
                    continue
                if turn == 0:
                    memory[name], vectors[name] = peak, np.load(out)
                else:
                    figures[name].append(json.loads(printed.splitlines()[-1]))
    table(options, figures, memory, vectors, missing)


def table(options, figures, memory, vectors, missing):
    ours, reference = figures["gristmill f32"], vectors["gristmill f32"]
    lines = [
        f"{options.texts} texts, all-MiniLM-L6-v2, {options.threads} threads each (the pool: 8 processes of one), "
        f"{os.cpu_count()} CPUs, Python {platform.python_version()}, medians of {options.rounds} rounds in turn.",
        "",
        "| contender | texts/s | whole program, this / gristmill f32 | imports s | first vector s | all s | peak MB "
        "| largest difference |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, rounds in figures.items():
        if name in missing:
            lines.append(f"| {name} | not measured: its package is not installed | | | | | | |")
            continue
        imported, first, done = (statistics.median(column) for column in zip(*rounds, strict=True))
        # The pool has no first call of its own: its rate is that of the whole program after the imports.
        rate = statistics.median(
            options.texts / (end - (start if name.startswith("process") else middle)) for start, middle, end in rounds
        )
        ratio = statistics.median(own[2] / other[2] for own, other in zip(rounds, ours, strict=True))
        difference = float(abs(vectors[name] - reference).max())
        lines.append(
            f"| {name} | {rate:.0f} | {ratio:.2f} | {imported:.2f} | {first:.2f} | {done:.2f} "
            f"| {memory[name] / 1e6:.0f} | {difference:.1e} |"
        )
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["contend"]:
        contend(*sys.argv[2:])
    else:
        main()

"""The template of a process pool beside gristmill: the same model, the same texts, one table in Markdown.

    benches/peers/run.sh --process-pool [--workers N] [--items N] [--rounds N] [--out FILE.md]

The pool: `ProcessPoolExecutor` with one ONNX Runtime session for each worker, made on its first need, one thread each.
gristmill: its `embed` example, as it comes. Both are whole programs, timed from the start of the process; both read the
texts, tokenize, run and write the vectors. They run in turn; times are medians over the rounds. A round before them
fills the page cache and measures memory, which would slow the others down: the largest sum of the proportional set sizes
of all processes, sampled every 50 ms, and for gristmill at least the peak resident set that its report states.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

_model = None


def model(folder, graph):
    """The worker's own model, made on first need."""
    global _model
    if _model is None:
        import onnxruntime
        from tokenizers import Tokenizer

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
        tokenizer.no_padding()
        limit = json.loads(Path(folder, "sentence_bert_config.json").read_text())["max_seq_length"]
        tokenizer.enable_truncation(limit)
        _model = session, tokenizer
    return _model


def embed(job):
    import numpy as np

    folder, graph, text = job
    session, tokenizer = model(folder, graph)
    ids = np.array([tokenizer.encode(text).ids], np.int64)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
    return session.run(["sentence_embedding"], inputs)[0][0]


def pool(folder, graph, texts, out, workers, chunksize, started):
    import numpy as np

    rows = Path(texts).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    vectors, first = [], None
    with ProcessPoolExecutor(int(workers)) as executor:
        for vector in executor.map(embed, [(folder, graph, row) for row in rows], chunksize=int(chunksize)):
            first = first or time.monotonic() - float(started)
            vectors.append(vector)
    np.save(out, np.array(vectors))
    print(json.dumps({"first": first}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--embed", type=Path, required=True, help="gristmill's example `embed`, built for release")
    parser.add_argument("--workers", type=int, default=8, help="processes of the pool (8)")
    parser.add_argument("--chunksize", type=int, default=16, help="of the pool (16)")
    parser.add_argument("--items", type=int, default=1000, help="texts (1000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, help="where the table goes besides stdout")
    options = parser.parse_args()
    import numpy as np
    from processes import run

    folder, graph = options.data / "minilm", options.data / "minilm.onnx"
    figures = {"pool": [], "gristmill": []}
    with tempfile.TemporaryDirectory() as scratch:
        scratch = Path(scratch)
        lines = (options.data / "glosses.txt").read_text(encoding="utf-8").split("\n")[: options.items]
        texts = scratch / "texts.txt"
        texts.write_text("\n".join(lines) + "\n", encoding="utf-8")
        for round_ in range(options.rounds + 1):
            sampled = round_ == 0
            started = time.monotonic()
            command = [sys.executable, __file__, "pool", folder, graph, texts, scratch / "pool.npy"]
            seconds, memory, printed = run([*command, options.workers, options.chunksize, started], sampled)
            pooled = (json.loads(printed.splitlines()[-1])["first"], seconds)
            pool_memory = memory
            report = scratch / "report.json"
            command = [options.embed, "--model", folder, texts, "--out", scratch / "ours.npy", "--report", report]
            started = time.time()
            seconds, memory, _ = run(command, sampled)
            ours = json.loads(report.read_text())
            # Up to the last vector in the file, less what the job took from its first result on. What comes then, the
            # model's fingerprint for the report and the end of the process, counts in the whole time only.
            written = (scratch / "ours.npy").stat().st_mtime - started
            first = written - (ours["seconds"] - ours["first_result_seconds"])
            if sampled:
                peaks = pool_memory, max(memory, ours["peak_rss_bytes"] or 0)
            else:
                figures["pool"].append(pooled)
                figures["gristmill"].append((first, seconds))
        difference = np.abs(np.load(scratch / "pool.npy") - np.load(scratch / "ours.npy")).max()
    table(options, figures, peaks, ours, difference)


def table(options, figures, peaks, report, difference):
    median = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in figures.items()}
    (pool_first, pool_seconds), (first, seconds) = median["pool"], median["gristmill"]
    pool_memory, memory = peaks
    items = report["items"]
    lines = [
        f"{items} texts, all-MiniLM-L6-v2, {os.cpu_count()} CPUs; the pool: {options.workers} processes with a model each, "
        f"chunksize {options.chunksize}, Python {platform.python_version()}; gristmill: {report['workers']} threads. "
        f"Largest difference between the vectors: {difference:.1e}.",
        "",
        "| | process pool | gristmill | gristmill / pool |",
        "|---|---|---|---|",
        f"| first result | {pool_first:.2f} s | {first:.2f} s | {first / pool_first:.2f} |",
        f"| all results | {pool_seconds:.2f} s | {seconds:.2f} s | {seconds / pool_seconds:.2f} |",
        f"| texts a second | {items / pool_seconds:.0f} | {items / seconds:.0f} | {pool_seconds / seconds:.2f} |",
        f"| memory, all processes | {pool_memory / 1e6:.0f} MB | {memory / 1e6:.0f} MB | {memory / pool_memory:.2f} |",
    ]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["pool"]:
        pool(*sys.argv[2:])
    else:
        main()

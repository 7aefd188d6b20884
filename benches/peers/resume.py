"""A job over a Parquet file, killed halfway and started again: gristmill, sentence-transformers and Ray Data.

    cargo build --release --features files,parquet --example embed
    python benches/peers/resume.py --data tests/data [--texts N] [--part N] [--rounds N] [--threads N] [--out FILE.md]

In an environment with pyarrow, sentence-transformers, torch and ray. The same texts with ids and the same model, vectors
written as Parquet. gristmill: the `embed` example. sentence-transformers: the program that its documentation suggests, a
read, an `encode`, a write. Ray Data: the same `encode` in one actor with all threads, with checkpoints by the column of ids
and blocks of as many rows as a part of gristmill's. Each runs once whole, which is timed, with the memory of all its
processes; then a run is killed with SIGKILL, all its processes at once, when half of the whole run's time has passed, and
the same command is started again. The rows that the second run computes are counted where the model is called; the best
is what was missing at the kill, about half. Medians over the rounds, in turn.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class Encoder:
    """sentence-transformers over a batch; says in a file of its own how many rows it was given."""

    def __init__(self, model, threads, count):
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        self.model = SentenceTransformer(model, device="cpu", local_files_only=True)
        self.count = count

    def __call__(self, table):
        import pyarrow as pa

        vectors = self.model.encode(table["text"].to_pylist(), show_progress_bar=False)
        with open(self.count, "a", encoding="utf-8") as file:
            file.write(f"{len(table)}\n")
        values = pa.FixedSizeListArray.from_arrays(vectors.ravel(), vectors.shape[1])
        return table.append_column("vector", values)


def sentence_transformers(model, texts, out, count, threads, _part):
    import pyarrow.parquet as pq

    done = Encoder(model, threads, count)(pq.read_table(texts))
    out.mkdir(exist_ok=True)
    pq.write_table(done, out / "vectors.parquet")


def ray_data(model, texts, out, count, threads, part):
    import ray
    from ray.data.checkpoint import CheckpointConfig

    ray.init(num_cpus=threads + 1, include_dashboard=False, log_to_driver=False, logging_level="error")
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    kept = out.with_name(out.name + ".checkpoint")
    context.checkpoint_config = CheckpointConfig("id", str(kept), delete_checkpoint_on_success=False)
    rows = ray.data.read_parquet(str(texts)).map_batches(
        Encoder,
        fn_constructor_args=(model, threads, count),
        batch_format="pyarrow",
        batch_size=part,
        concurrency=1,
        num_cpus=threads,
    )
    rows.write_parquet(str(out))


PROGRAMS = {"sentence-transformers": sentence_transformers, "Ray Data with sentence-transformers": ray_data}


def command(name, model, texts, out, count, options):
    if name != "gristmill":
        words = [sys.executable, __file__, "contend", name, model, texts, out, count, options.threads, options.part]
    else:
        words = [ROOT / "target/release/examples/embed", "--device", "cpu", "--model", model]
        words += ["--workers", options.threads, texts, "--out-dir", out, "--resume", "--rows", options.part, "--report", count]
    return [str(word) for word in words]


def descendants(root):
    from processes import children_of

    children, left, found = children_of(), [root], []
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def computed(name, count):
    """The rows for which the model was called."""
    if not count.exists():
        return 0
    text = count.read_text(encoding="utf-8")
    return json.loads(text)["items"] if name == "gristmill" else sum(map(int, text.split()))


def killed(words, seconds):
    """Starts a command and kills it with all its processes after so many seconds."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        time.sleep(seconds)
        early = process.poll() is not None
        for pid in descendants(process.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
    if early:
        sys.exit(f"{words[0]} had ended before it was killed")


def vectors(out):
    """Ids and vectors of all files of a folder, in the order of the ids."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables(pq.read_table(path, columns=["id", "vector"]) for path in sorted(out.rglob("*.parquet")))
    table = table.sort_by("id")
    width = len(table["vector"][0])
    flat = [value for piece in table["vector"].chunks for value in piece.flatten().to_numpy(zero_copy_only=False)]
    return table["id"].to_numpy(), np.array(flat, np.float32).reshape(-1, width)


def contend(name, scratch, options, texts):
    """One whole run and one that is killed and started again: seconds, bytes, seconds, rows."""
    from processes import run

    out, count = scratch / "out", scratch / "count"

    def clean():
        for path in scratch.glob("out*"):
            shutil.rmtree(path)
        count.unlink(missing_ok=True)

    words = command(name, options.data / "minilm", texts, out, count, options)
    clean()
    whole, peak, _ = run(words, True)
    sound = vectors(out)
    clean()
    killed(words, whole / 2)
    count.unlink(missing_ok=True)
    again, _, _ = run(words, False)
    rows = computed(name, count)
    made = vectors(out)
    good = len(made[0]) == options.texts and (made[0] == sound[0]).all() and abs(made[1] - sound[1]).max() < 1e-5
    clean()
    return whole, peak, again, rows, good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that tests/setup.sh fills")
    parser.add_argument("--texts", type=int, default=20_000)
    parser.add_argument("--part", type=int, default=500, help="rows of a part of a job, and of a block of Ray's")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the table goes besides stdout")
    options = parser.parse_args()
    import pyarrow as pa
    import pyarrow.parquet as pq

    os.environ |= {"OMP_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1"}
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0"}
    options.data = options.data.resolve()
    glosses = (options.data / "glosses.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    names = ["gristmill", *PROGRAMS]
    figures = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        texts = scratch / "texts.parquet"
        ids = pa.array(range(options.texts), pa.int64())
        lines = [glosses[row % len(glosses)] for row in range(options.texts)]
        pq.write_table(pa.table({"id": ids, "text": lines}), texts, row_group_size=options.part)
        for turn in range(options.rounds):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                figures[name].append(contend(name, scratch, options, texts))
                print(name, *figures[name][-1], file=sys.stderr, flush=True)
    table(options, figures)


def table(options, figures):
    lines = [
        f"{options.texts} texts, all-MiniLM-L6-v2, parts of {options.part}, {options.threads} threads each, "
        f"{os.cpu_count()} CPUs, Python {platform.python_version()}, medians of {options.rounds} rounds in turn.",
        "",
        "| contender | rows/s | peak MB | killed halfway: seconds to the end | rows computed again or for the first time "
        "| complete and equal |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for name, rounds in figures.items():
        whole, peak, again, rows = (statistics.median(column) for column in list(zip(*rounds, strict=True))[:4])
        good = "yes" if all(each[4] for each in rounds) else "no"
        lines.append(f"| {name} | {options.texts / whole:.0f} | {peak / 1e6:.0f} | {again:.1f} | {rows:.0f} | {good} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["contend"]:
        name, model, texts, out, count, threads, part = sys.argv[2:]
        PROGRAMS[name](model, Path(texts), Path(out), Path(count), int(threads), int(part))
    else:
        main()

#!/usr/bin/env python3
"""Jobs over files: killed and resumed, in shares, and their pace beside that of plain lines.

    cargo build --release --features files,parquet --example embed --example verify_job
    benches/file_jobs.py kills  --rows 1000000 --kills 20      killed at random moments, resumed, compared byte for byte
    benches/file_jobs.py shares --rows 1000000 --processes 4   each process its share of the parts, merged, compared
    benches/file_jobs.py pace   --rows 20000 --model DIR       the same texts as Parquet and as plain lines, in turn
    benches/file_jobs.py memory --rows 20000 1000000           the peak memory of a small model over few and many rows

Needs pyarrow, and the glosses of tests/setup.sh. Rows are WordNet glosses, repeated, with ids; the model is the small one of
word vectors in tests/goldens unless `--model` names another one.
"""

import argparse
import filecmp
import json
import os
import pathlib
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "target/release/examples"
WORDS = ROOT / "tests/goldens/words/model2vec"
GLOSSES = ROOT / "tests/data/glosses.txt"


def texts(rows):
    """So many glosses, repeated."""
    glosses = GLOSSES.read_text().splitlines()
    return [glosses[row % len(glosses)] for row in range(rows)]


def write_parquet(path, rows):
    import pyarrow
    import pyarrow.parquet

    table = pyarrow.table({"id": pyarrow.array(range(rows), pyarrow.int64()), "text": texts(rows)})
    pyarrow.parquet.write_table(table, path, row_group_size=100_000)


def embed(model, *arguments):
    command = [EXAMPLES / "embed", "--device", "cpu", "--model", model, *arguments]
    return [str(word) for word in command]


def run(command, codes=(0,)):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode not in codes:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stderr}{done.stdout}")
    return done.stderr + done.stdout


def files(folder):
    return sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())


def assert_same(a, b):
    """Fails unless two folders have the same files with the same bytes."""
    names = files(a)
    if names != files(b):
        sys.exit(f"{a} and {b} have other files: {set(names) ^ set(files(b))}")
    _, differ, failed = filecmp.cmpfiles(a, b, names, shallow=False)
    if differ or failed:
        sys.exit(f"{a} and {b} differ in {differ + failed}")
    print(f"the same bytes in all {len(names)} files, {sum((a / name).stat().st_size for name in names)} bytes")


def parts(folder):
    try:
        return (folder / "_gristmill/manifest.jsonl").read_bytes().count(b"\n")
    except FileNotFoundError:
        return 0


def whole(place, arguments):
    """The folder of a run that nothing interrupts, and its seconds."""
    write_parquet(place / "texts.parquet", arguments.rows[0])
    started = time.monotonic()
    run(embed(arguments.model, place / "texts.parquet", "--out-dir", place / "whole"))
    seconds = time.monotonic() - started
    print(f"uninterrupted: {arguments.rows[0]} rows in {seconds:.1f} s, {parts(place / 'whole')} parts")
    return place / "whole", seconds


def kills(place, arguments):
    sound, seconds = whole(place, arguments)
    chance, out = random.Random(arguments.seed), place / "killed"
    command = embed(arguments.model, place / "texts.parquet", "--out-dir", out, "--resume")
    progress = []
    for _ in range(arguments.kills):
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        # On average a little more than an equal share of the work, and the time to start.
        time.sleep(0.15 + chance.random() * 2 * seconds / arguments.kills)
        child.send_signal(signal.SIGKILL)
        code = child.wait()
        progress.append((parts(out), code))
    print("parts after each kill:", ", ".join(f"{count}{'' if code == -9 else ' (had ended)'}" for count, code in progress))
    run(command)
    assert_same(sound, out)
    print(run([EXAMPLES / "verify_job", "--complete", out]).strip())
    print(run([EXAMPLES / "verify_job", sound, out]).strip())


def shares(place, arguments):
    sound, _ = whole(place, arguments)
    count = arguments.processes
    folders = [place / f"share-{index}" for index in range(1, count + 1)]
    running = [
        subprocess.Popen(
            embed(arguments.model, place / "texts.parquet", "--out-dir", folder, "--shard", f"{index}/{count}"),
            stderr=subprocess.PIPE,
        )
        for index, folder in enumerate(folders, 1)
    ]
    for child in running:
        said = child.communicate()[1]
        if child.returncode != 0:
            sys.exit(said.decode())
    run([EXAMPLES / "verify_job", "--merge", place / "merged", *folders])
    assert_same(sound, place / "merged")
    print(run([EXAMPLES / "verify_job", "--complete", place / "merged"]).strip())


def report(command, place):
    """Runs a command; its wall seconds, those of the job itself, and its peak memory."""
    path = place / "report.json"
    started = time.monotonic()
    run([*command, "--report", path])
    wall = time.monotonic() - started
    told = json.loads(path.read_text())
    return wall, told["seconds"], told["peak_rss_bytes"] / 2**20


def pace(place, arguments):
    rows = arguments.rows[0]
    write_parquet(place / "texts.parquet", rows)
    (place / "texts.txt").write_text("\n".join(texts(rows)) + "\n")
    ratios, seen = [], {"parquet": [], "lines": []}
    for turn in range(arguments.rounds):
        for name in ["parquet", "lines"] if turn % 2 else ["lines", "parquet"]:
            out = place / "out"
            shutil.rmtree(out, ignore_errors=True)
            command = {
                "parquet": embed(arguments.model, place / "texts.parquet", "--out-dir", out),
                "lines": embed(arguments.model, place / "texts.txt", "--out", place / "out.npy"),
            }[name]
            seen[name].append(report(command, place))
        ratios.append(seen["lines"][-1][0] / seen["parquet"][-1][0])
        print(f"round {turn + 1}: parquet / lines {ratios[-1]:.3f} of the throughput", flush=True)
    for name, runs in seen.items():
        wall, job, memory = (statistics.median(column) for column in zip(*runs))
        print(f"{name}: {wall:.2f} s in all, {job:.2f} s in the job, {rows / wall:.0f} rows/s, peak {memory:.0f} MiB")
    print(f"median ratio of the throughputs: {statistics.median(ratios):.3f}")


def memory(place, arguments):
    for rows in arguments.rows:
        write_parquet(place / "texts.parquet", rows)
        shutil.rmtree(place / "out", ignore_errors=True)
        wall, _, peak = report(embed(arguments.model, place / "texts.parquet", "--out-dir", place / "out"), place)
        print(f"{rows} rows: {wall:.1f} s, {rows / wall:.0f} rows/s, peak {peak:.0f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["kills", "shares", "pace", "memory"])
    parser.add_argument("--rows", type=int, nargs="+", default=[1_000_000])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--model", type=pathlib.Path, default=WORDS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        globals()[arguments.task](pathlib.Path(folder), arguments)


if __name__ == "__main__":
    main()

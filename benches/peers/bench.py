"""Times whole processes from outside, interleaved, and prints one table in Markdown. Started by run.sh.

Every contender gets the same inputs and the same CPUs (the first --threads of those allowed) and is told that number of
threads where it can be told. A round runs each contender once, starting with another one each time; the figures are
medians over the rounds, the ratios medians of each round's own ratio. One untimed pass over a few inputs comes first.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
MAGIKA = ROOT / "examples/models/magika"


@dataclass
class Contender:
    """A command; `%IN%`, `%OUT%` and `%REPORT%` in it stand for the input, the output and gristmill's report."""

    name: str
    command: list
    to_stdout: bool = False
    missing: str = ""
    seconds: list = field(default_factory=list)
    own: list = field(default_factory=list)
    load: list = field(default_factory=list)
    cpu: list = field(default_factory=list)
    memory: list = field(default_factory=list)
    check: str = ""


def cpu_flags():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), []))


def cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown CPU"
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown CPU")


def engines(job, options, module, batches):
    """The Python peers of one job; `batches` gives each engine's batch size."""
    bf16 = cpu_flags() & {"avx512_bf16", "amx_bf16"}
    folder = options.data / "minilm" if job == "embed" else MAGIKA
    graph = [options.data / "minilm.onnx"] if job == "embed" else []
    for name, engine in [
        (f"ONNX Runtime f32, 1 session x {options.threads} threads", "ort"),
        (f"ONNX Runtime f32, {options.threads} sessions x 1 thread", "ort-sessions"),
        ("OpenVINO f32, LATENCY", "ov-latency-f32"),
        ("OpenVINO f32, THROUGHPUT", "ov-throughput-f32"),
        ("OpenVINO bf16, LATENCY", "ov-latency-bf16"),
        ("OpenVINO bf16, THROUGHPUT", "ov-throughput-bf16"),
    ]:
        package = "onnxruntime" if engine.startswith("ort") else "openvino"
        missing = "" if importable(package) else f"the package {package} is not installed"
        if engine.endswith("bf16") and not bf16:
            missing = "this CPU has no bf16 instructions"
        size = batches[engine]
        command = [sys.executable, HERE / f"{module}.py", engine, folder, *graph, "%IN%", "%OUT%", options.threads, size]
        yield Contender(f"{name}, batch {size}", command, missing=missing)


def importable(package):
    return subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True).returncode == 0


def gristmill(options, example, before, after):
    path = Path(options.target) / "release/examples" / example
    missing = "" if path.exists() else f"{path} is not built"
    for precision in options.precisions.split(","):
        flags = ["--workers", options.threads, "--precision", precision, "--report", "%REPORT%"]
        yield Contender(f"gristmill {precision}", [path, *before, "%IN%", *after, *flags], missing=missing)


def embed_contenders(options):
    yield from gristmill(options, "embed", ["--model", options.data / "minilm"], ["--out", "%OUT%"])
    small = {"ort-sessions": 8}
    names = ("ort", "ort-sessions", "ov-latency-f32", "ov-throughput-f32", "ov-latency-bf16", "ov-throughput-bf16")
    yield from engines("embed", options, "embed", {name: small.get(name, 32) for name in names})


def identify_contenders(options):
    yield from gristmill(options, "identify", [], ["--jsonl", "%OUT%"])
    command = Path(sys.executable).parent / "magika"
    missing = "" if command.exists() else "the package magika is not installed"
    yield Contender("magika command", [command, "--jsonl", "-r", "%IN%"], to_stdout=True, missing=missing)
    names = ("ort", "ort-sessions", "ov-latency-f32", "ov-throughput-f32", "ov-latency-bf16", "ov-throughput-bf16")
    yield from engines("identify", options, "identify", {name: 8 if name.endswith("bf16") else 1 for name in names})


def run(contender, given, folder, options, keep):
    """Runs one contender once; with `keep`, its figures count."""
    out, report = folder / "out.npy", folder / "report.json"  # the ending that NumPy insists on
    out.unlink(missing_ok=True)
    report.unlink(missing_ok=True)
    places = {"%IN%": given, "%OUT%": out, "%REPORT%": report}
    command = [str(places.get(part, part)) for part in contender.command]
    cpus = sorted(os.sched_getaffinity(0))[: options.threads] if hasattr(os, "sched_getaffinity") else None
    environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads), "TOKENIZERS_PARALLELISM": "true"}
    with open(out if contender.to_stdout else folder / "stdout", "wb") as stdout, open(folder / "stderr", "wb") as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, env=environment,
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None,
        )
        status, usage = wait(process, start + options.limit)
        seconds = time.perf_counter() - start
    if status:
        last = (folder / "stderr").read_text(errors="replace").strip().splitlines()[-1:] or ["no message"]
        contender.missing = f"past {options.limit} s" if status == "late" else f"exit status {status}: {last[0][:200]}"
    elif keep:
        contender.seconds.append(seconds)
        contender.cpu.append(usage.ru_utime + usage.ru_stime)
        contender.memory.append(usage.ru_maxrss / 1024)
        own = None if contender.to_stdout else own_figures(folder, report)
        if own:
            contender.own.append(own["seconds"])
            contender.load.append(own["load_seconds"])
    return out


def wait(process, deadline):
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode, usage
        if time.perf_counter() > deadline:
            process.kill()
            process.wait()
            return "late", None
        time.sleep(0.002)


def own_figures(folder, report):
    """What the engine says itself, if it does: gristmill in its report, the Python peers in their last line."""
    try:
        text = report.read_text() if report.exists() else (folder / "stdout").read_text().splitlines()[-1]
        found = json.loads(text)
        return found if {"seconds", "load_seconds"} <= found.keys() else None
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def vectors(path):
    import numpy

    return numpy.load(path)


def labels(path):
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        entry = json.loads(line)
        if "result" in entry:  # the magika command's own form
            entry["label"] = entry["result"].get("value", {}).get("output", {}).get("label")
        found[os.path.basename(entry["path"])] = entry.get("label")
    return found


def vectors_agree(ours, reference):
    if ours.shape != reference.shape:
        return f"shape {ours.shape}, not {reference.shape}"
    return f"{abs(ours - reference).max():.1e}"


def labels_agree(ours, reference):
    return f"{100 * sum(ours.get(name) == label for name, label in reference.items()) / max(1, len(reference)):.2f} %"


def compete(contenders, given, few, folder, options, read, agree, judge):
    """All rounds of one job. `judge` names the contender whose output the others' are compared with."""
    for contender in contenders:
        if not contender.missing:
            run(contender, few, folder, options, keep=False)
    outputs = {}
    for number in range(options.rounds):
        turn = number % len(contenders)
        for contender in contenders[turn:] + contenders[:turn]:
            if contender.missing:
                continue
            print(f"round {number + 1}/{options.rounds}: {contender.name}", file=sys.stderr)
            out = run(contender, given, folder, options, keep=True)
            if not contender.missing and contender.name not in outputs:
                try:
                    outputs[contender.name] = read(out)
                except (OSError, ValueError, KeyError) as error:
                    contender.missing = f"output cannot be read: {error}"
    reference = next((outputs[c.name] for c in contenders if judge in c.name and c.name in outputs), None)
    for contender in contenders:
        if reference is not None and contender.name in outputs:
            contender.check = agree(outputs[contender.name], reference)


def table(contenders, items, unit, check):
    """The rows; the first contender is the base of the ratios."""
    base = contenders[0].seconds if not contenders[0].missing else []
    rows = [
        f"| {unit} | {unit}/s | gristmill is faster by | wall s | its own s (load + run) | CPU s | peak MB | {check} |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    middle = statistics.median
    for c in contenders:
        if c.missing or not c.seconds:
            rows.append(f"| {c.name} | none: {c.missing} | | | | | | |")
            continue
        ratio = f"{middle(theirs / ours for theirs, ours in zip(c.seconds, base)):.2f}" if base else "-"
        own = f"{middle(c.load):.2f} + {middle(c.own):.2f}" if c.own else "-"
        rows.append(
            f"| {c.name} | {items / middle(c.seconds):.0f} | {ratio} | {middle(c.seconds):.2f} "
            f"({min(c.seconds):.2f} to {max(c.seconds):.2f}) | {own} | {middle(c.cpu):.1f} | {middle(c.memory):.0f} | {c.check or '-'} |"
        )
    return rows


def first_lines(path, count, out):
    """Writes the first lines of a file to another; how many there were."""
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")[:count]
    out.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def bench_embed(options, folder):
    texts = folder / "texts"
    items = first_lines(options.data / "glosses.txt", options.texts, texts)
    first_lines(texts, 64, folder / "few")
    contenders = list(embed_contenders(options))
    compete(contenders, texts, folder / "few", folder, options, vectors, vectors_agree, "ONNX Runtime")
    return table(contenders, items, "texts", "largest difference from ONNX Runtime")


def bench_identify(options, folder):
    subprocess.run([options.data / "venv/bin/python", ROOT / "tests/scripts/corpus.py", str(options.files), options.data], check=True)
    files = options.data / f"files-{options.files}"
    few = folder / "few-files"
    shutil.copytree(files / "00", few)
    items = sum(len(names) for _, _, names in os.walk(files))
    contenders = list(identify_contenders(options))
    compete(contenders, files, few, folder, options, labels, labels_agree, "magika command")
    return table(contenders, items, "files", "labels equal to the magika command's")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default="embed,identify")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--texts", type=int, default=8000)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--precisions", default="f32", help="of gristmill, divided by commas; the first is the base")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a process is ended")
    parser.add_argument("--data", type=Path, default=ROOT / "tests/data")
    parser.add_argument("--target", default=os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    lines = [f"{cpu_name()}, {options.threads} threads for each, median of {options.rounds} interleaved rounds, whole process"]
    for job in options.jobs.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows = {"embed": bench_embed, "identify": bench_identify}[job](options, Path(folder))
        lines += ["", f"**{job}**", "", *rows]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()

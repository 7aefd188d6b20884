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
    latency: list = field(default_factory=list)
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


def engines(job, options, module, batches, model=None):
    """The Python peers of one job; `batches` gives each engine's batch size, `model` what they are told to open."""
    bf16 = cpu_flags() & {"avx512_bf16", "amx_bf16"}
    model = model or ([options.data / "minilm", options.data / "minilm.onnx"] if job == "embed" else [MAGIKA])
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
        command = [sys.executable, HERE / f"{module}.py", engine, *model, "%IN%", "%OUT%", options.threads, size]
        yield Contender(f"{name}, batch {size}", command, missing=missing)


def importable(package):
    return subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True).returncode == 0


def gristmill(options, example, before, after):
    path = Path(options.target) / "release/examples" / example
    missing = "" if path.exists() else f"{path} is not built"
    for precision in options.precisions.split(","):
        flags = ["--workers", options.threads, "--precision", precision, "--report", "%REPORT%"]
        yield Contender(f"gristmill {precision}", [path, *before, "%IN%", *after, *flags], missing=missing)


ENGINES = ("ort", "ort-sessions", "ov-latency-f32", "ov-throughput-f32", "ov-latency-bf16", "ov-throughput-bf16")


def embed_contenders(options, small=8, large=32):
    yield from gristmill(options, "embed", ["--model", options.data / "minilm"], ["--out", "%OUT%"])
    yield from engines("embed", options, "embed", {name: small if name == "ort-sessions" else large for name in ENGINES})
    program = Path(options.target) / "release/peers"
    missing = "" if program.exists() else f"{program} is not built"
    model = [options.data / "minilm", options.data / "minilm.onnx"]
    for engine in ("tract", "rten", "candle"):
        command = [program, engine, *model, "%IN%", "%OUT%", options.threads, small]
        yield Contender(f"{engine}, {options.threads} threads, batch {small}", command, missing=missing)


def mlp_contenders(options, graph):
    yield from gristmill(options, "run", [graph, "--in"], ["--out", "%OUT%"])
    # The peers' best batch is found by trying.
    for size in (64, 1024, 8192):
        yield from engines("mlp", options, "mlp", dict.fromkeys(ENGINES, size), [graph])


def latency_contenders(options):
    missing = "" if options.latency else "--latency names no program"
    command = [options.latency, options.data / "minilm", "%IN%", options.threads]
    yield Contender("gristmill f32", command, missing=missing)
    for contender in engines("embed", options, "latency", dict.fromkeys(ENGINES, "")):
        # A latency has no batch and no output.
        contender.name = contender.name.removesuffix(", batch ")
        contender.command = [part for part in contender.command[:-1] if part != "%OUT%"]
        yield contender


def identify_contenders(options):
    yield from gristmill(options, "identify", [], ["--jsonl", "%OUT%"])
    command = Path(sys.executable).parent / "magika"
    missing = "" if command.exists() else "the package magika is not installed"
    yield Contender("magika command", [command, "--jsonl", "-r", "%IN%"], to_stdout=True, missing=missing)
    yield from engines("identify", options, "identify", {name: 8 if name.endswith("bf16") else 1 for name in ENGINES})


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
        if own and "median_ms" in own:
            contender.latency.append(own["median_ms"])
        elif own:
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
    """What the engine says itself, if it does: gristmill in its report, the peers in their last line."""
    try:
        text = report.read_text() if report.exists() else (folder / "stdout").read_text().splitlines()[-1]
        found = json.loads(text)
        return found if {"seconds", "load_seconds"} <= found.keys() or "median_ms" in found else None
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def vectors(path):
    import numpy

    found = numpy.load(path)
    return found["y"] if hasattr(found, "files") else found


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
    skipped = [part for part in options.skip.split(",") if part]
    contenders[:] = [c for c in contenders if not any(part in c.name for part in skipped)]
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
            if agree and not contender.missing and contender.name not in outputs:
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
    return race_texts(options, folder, texts, items)


def bench_long(options, folder):
    from long_texts import long_texts
    from tokenizers import Tokenizer

    texts = folder / "texts"
    glosses = (options.data / "glosses.txt").read_text(encoding="utf-8").removesuffix("\n").split("\n")
    rows = long_texts(Tokenizer.from_file(str(options.data / "minilm/tokenizer.json")), glosses, options.long_texts)
    texts.write_text("".join(row + "\n" for row in rows), encoding="utf-8")
    return race_texts(options, folder, texts, len(rows))


def bench_one(options, folder):
    texts = folder / "texts"
    items = first_lines(options.data / "glosses.txt", 1, texts)
    model = ["--model", options.data / "minilm", "--mapped"]
    mapped = list(gristmill(options, "embed", model, ["--out", "%OUT%"]))
    for contender in mapped:
        contender.name += ", weights mapped"
    return race_texts(options, folder, texts, items, more=mapped, small=1, large=1)


def race_texts(options, folder, texts, items, more=(), **batches):
    first_lines(texts, 64, folder / "few")
    contenders = [*embed_contenders(options, **batches), *more]
    compete(contenders, texts, folder / "few", folder, options, vectors, vectors_agree, "ONNX Runtime")
    return table(contenders, items, "texts", "largest difference from ONNX Runtime"), contenders, items, "texts"


def bench_mlp(options, folder):
    script, graph = HERE / "mlp_model.py", folder / "mlp.onnx"
    for rows, name in ((1024, "few.npz"), (options.rows, "rows.npz")):
        subprocess.run([options.data / "venv/bin/python", script, graph, folder / name, str(rows)], check=True)
    contenders = list(mlp_contenders(options, graph))
    compete(contenders, folder / "rows.npz", folder / "few.npz", folder, options, vectors, vectors_agree, "ONNX Runtime")
    check = "largest difference from ONNX Runtime"
    return table(contenders, options.rows, "rows", check), contenders, options.rows, "rows"


def bench_latency(options, folder):
    """One text of 32 tokens again and again within a process."""
    contenders, texts = list(latency_contenders(options)), options.data / "glosses.txt"
    compete(contenders, texts, texts, folder, options, lambda _: None, None, "no one")
    base = contenders[0].latency
    rows = ["| one text of 32 tokens | ms | gristmill is faster by |", "|---|---:|---:|"]
    for c in contenders:
        if c.missing or not c.latency:
            rows.append(f"| {c.name} | none: {c.missing} | |")
            continue
        ratio = f"{statistics.median(theirs / ours for theirs, ours in zip(c.latency, base)):.2f}" if base else "-"
        rows.append(f"| {c.name} | {statistics.median(c.latency):.2f} | {ratio} |")
    return rows, [], 0, ""


def bench_identify(options, folder):
    subprocess.run([options.data / "venv/bin/python", ROOT / "tests/scripts/corpus.py", str(options.files), options.data], check=True)
    files = options.data / f"files-{options.files}"
    few = folder / "few-files"
    shutil.copytree(files / "00", few)
    items = sum(len(names) for _, _, names in os.walk(files))
    contenders = list(identify_contenders(options))
    compete(contenders, files, few, folder, options, labels, labels_agree, "magika command")
    return table(contenders, items, "files", "labels equal to the magika command's"), contenders, items, "files"


JOBS = {
    "embed": bench_embed,
    "long": bench_long,
    "identify": bench_identify,
    "mlp": bench_mlp,
    "one": bench_one,
    "latency": bench_latency,
}


def write_plot(path, job, contenders, items, unit):
    from plot import chart

    ran = [c for c in contenders if c.seconds and not c.missing]
    rows = [(c.name, items / statistics.median(c.seconds), f"{unit}/s") for c in ran]
    path.write_text(chart(f"{job}: {items} {unit}, whole process", f"{unit} per second", rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", default=",".join(JOBS), help="of " + ", ".join(JOBS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--texts", type=int, default=8000)
    parser.add_argument("--long-texts", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=8000)
    parser.add_argument("--latency", type=Path, help="the program of the bench `latency`, for the job of that name")
    parser.add_argument("--skip", default="", help="contenders to leave out: parts of their names, divided by commas")
    parser.add_argument("--plots", type=Path, help="a folder for a bar chart of each job")
    parser.add_argument("--precisions", default="f32,bf16", help="of gristmill, divided by commas; the first is the base")
    parser.add_argument("--limit", type=float, default=600, help="seconds after which a process is ended")
    parser.add_argument("--data", type=Path, default=ROOT / "tests/data")
    parser.add_argument("--target", default=os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    parser.add_argument("--out", type=Path, help="also write the table to this file")
    options = parser.parse_args()
    lines = [f"{cpu_name()}, {options.threads} threads for each, median of {options.rounds} interleaved rounds, whole process"]
    for job in options.jobs.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows, contenders, items, unit = JOBS[job](options, Path(folder))
            if options.plots and contenders:
                write_plot(options.plots / f"{job}.svg", job, contenders, items, unit)
        lines += ["", f"**{job}**", "", *rows]
    text = "\n".join(lines) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text)


if __name__ == "__main__":
    main()

"""The console script: the examples as commands."""

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import gristmill
import numpy as np
from conftest import GOLDENS, MAGIKA, TARGET

SCRIPT = Path(sysconfig.get_path("scripts")) / "gristmill"
BERT = GOLDENS / "encoders" / "bert"
CLASSES = GOLDENS / "heads" / "classes" / "distilbert"
PAIRS = GOLDENS / "heads" / "pairs" / "bert"
TOKENS = GOLDENS / "heads" / "tokens" / "distilbert"
TEXTS = ["the quick brown fox", "", "a", "東京は日本の首都です。"]


def run(*arguments: str | Path) -> tuple[int, str, str]:
    done = subprocess.run([SCRIPT, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_vectors_are_those_of_the_example_and_the_class(tmp_path: Path) -> None:
    texts, own, other = tmp_path / "texts.txt", tmp_path / "own.npy", tmp_path / "other.npy"
    texts.write_text("\n".join(TEXTS) + "\n")
    flags: list[str | Path] = ["--model", BERT, texts, "--device", "cpu", "--out"]
    report = tmp_path / "report.json"
    code, _, told = run("embed", *flags, own, "--report", report)
    assert code == 0 and "4 vectors of 32" in told
    assert json.loads(report.read_text())["items"] == 4
    subprocess.run([TARGET / "debug" / "examples" / "embed", *flags, other], check=True, capture_output=True)
    assert own.read_bytes() == other.read_bytes()
    assert np.load(own).tobytes() == gristmill.Embedder(BERT).encode(TEXTS).tobytes()


def test_lines_are_those_of_the_classes(tmp_path: Path) -> None:
    texts, pairs = tmp_path / "texts.txt", tmp_path / "pairs.tsv"
    texts.write_text("\n".join(TEXTS) + "\n")
    pairs.write_text("a fox\tthe lazy dog\nno tab\n")
    code, out, told = run("classify", "--model", CLASSES, texts, "--device", "cpu")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0, told
    assert [line["label"] for line in lines] == [own["label"] for own in gristmill.Classifier(CLASSES)(TEXTS)]
    code, out, told = run("tag", "--model", TOKENS, texts, "--device", "cpu")
    entities = [json.loads(line)["entities"] for line in out.splitlines()]
    names = ("label", "word", "start", "end")
    expected = [[tuple(own.values()) for own in text] for text in gristmill.Tagger(TOKENS)(TEXTS)]
    assert [[tuple(own[name] for name in names) for own in text] for text in entities] == [
        [(label, *rest) for label, _, *rest in text] for text in expected
    ]
    # A failed line has the exit code of failed items.
    code, out, told = run("rerank", "--model", PAIRS, pairs, "--device", "cpu")
    assert code == 3 and "no tab" in told
    score = json.loads(out.splitlines()[0])["score"]
    assert np.float32(score) == gristmill.Reranker(PAIRS).predict(("a fox", "the lazy dog"))


def test_models_and_files(tmp_path: Path) -> None:
    arrays, out = tmp_path / "in.npz", tmp_path / "out.npz"
    rows = np.random.default_rng(1).integers(0, 256, (3, 2048), np.int32)
    np.savez(arrays, bytes=rows)
    code, _, told = run("run", MAGIKA, "--in", arrays, "--out", out, "--device", "cpu")
    assert code == 0, told
    [own] = gristmill.Model(MAGIKA).run({"bytes": rows}).values()
    assert np.load(out)["target_label"].tobytes() == own.tobytes()
    code, listed, told = run("identify", Path(__file__), "--device", "cpu")
    assert code == 0 and f"{__file__}: python" in listed, told
    code, listed, told = run("inspect", MAGIKA, "--device", "cpu")
    assert code == 0 and "target_label" in listed, told


def test_how_a_command_line_ends(tmp_path: Path) -> None:
    code, out, _ = run("--help")
    names = ("embed", "embed-images", "classify", "rerank", "tag", "run", "identify", "inspect", "verify-job")
    assert code == 0 and all(f"\n  {name} " in out for name in names)
    assert run("--version")[:2] == (0, "gristmill 0.1.0\n")
    for arguments, expected, named in [
        ([], 2, "usage: gristmill"),
        (["grind"], 2, "grind is no command"),
        (["embed"], 2, "--model DIR is missing"),
        (["embed", "--nonsense"], 2, "--nonsense"),
        (["verify-job"], 2, "two folders"),
        (["classify", "--model", str(CLASSES), str(tmp_path / "absent")], 1, "absent"),
        (["verify-job", "--complete", str(tmp_path)], 1, "no job"),
    ]:
        code, _, told = run(*arguments)
        assert code == expected and named in told, (arguments, code, told)
    for name in names:
        code, out, _ = run(name, "--help")
        lines = [line for line in out.splitlines() if line.startswith(("usage: ", "       "))]
        assert code == 0 and lines[0].startswith(f"usage: gristmill {name} "), out
    code, out, _ = run("embed", "--help")
    assert code == 0 and "\n       gristmill embed --model DIR TEXTS... --out-dir DIR" in out
    done = subprocess.run([sys.executable, "-m", "gristmill", "--version"], capture_output=True, text=True)
    assert done.stdout == "gristmill 0.1.0\n"
    # Whoever read the output has seen enough.
    files = [str(Path(__file__))] * 5000
    piped = subprocess.Popen([SCRIPT, "identify", *files], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert piped.stdout is not None
    piped.stdout.readline()
    piped.stdout.close()
    assert piped.wait(timeout=60) == 141


def test_signals_end_a_command_with_what_was_read(tmp_path: Path) -> None:
    for number, expected in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        out = tmp_path / f"{number}.jsonl"
        job = subprocess.Popen(
            [SCRIPT, "classify", "--model", CLASSES, "-", "--out", out, "--device", "cpu"],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        assert job.stdin is not None
        job.stdin.write(b"the quick brown fox\n" * 3)
        job.stdin.flush()
        time.sleep(3)
        os.kill(job.pid, number)
        assert job.wait(timeout=60) == expected
        assert len(out.read_text().splitlines()) == 3
        job.stdin.close()

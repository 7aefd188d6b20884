"""Jobs over files: the folders that the commands write."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gristmill
import numpy as np
import pytest
from conftest import GOLDENS, MAGIKA

BERT = GOLDENS / "encoders" / "bert"
CLASSES = GOLDENS / "heads" / "classes" / "distilbert"
PAIRS = GOLDENS / "heads" / "pairs" / "bert"
TOKENS = GOLDENS / "heads" / "tokens" / "distilbert"


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    rows: list[dict[str, Any]] = [{"id": place, "text": f"fox {place} jumps over {place % 7}"} for place in range(25)]
    rows[7]["text"] = None
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "gristmill", *arguments], capture_output=True, text=True)


def alike(one: Path, other: Path) -> None:
    told = command("verify-job", one, other)
    assert told.returncode == 0, told.stderr
    for part in sorted(one.glob("part-*")):
        assert part.read_bytes() == (other / part.name).read_bytes()


def test_a_job_is_that_of_the_command(texts: Path, tmp_path: Path) -> None:
    for name, model, flag, extra in [
        ("embed", gristmill.Embedder(BERT), BERT, {"output": "f16"}),
        ("classify", gristmill.Classifier(CLASSES), CLASSES, {}),
        ("tag", gristmill.Tagger(TOKENS), TOKENS, {}),
    ]:
        own, other = tmp_path / f"{name}-own", tmp_path / f"{name}-other"
        job = gristmill.Job(model, texts, own, rows=10, id="id", **extra)  # type: ignore[arg-type]
        ended = job.run()
        assert ended == {
            "rows": 25, "finished": 25, "failed": 1, "parts": 3, "finished_parts": 3, "ran": 25, "complete": True,
        }
        assert job.verify() == {"rows": 25, "failed": 1, "parts": 3}
        report = job.report()
        assert report is not None and report["items"] == 25 and report["errors"] == 1
        letters = [json.loads(line) for path in own.glob("*.errors.jsonl") for line in path.read_text().splitlines()]
        assert [letter["id"] for letter in letters] == ["7"] and "null" in letters[0]["error"]
        flags = [part for key, value in extra.items() for part in (f"--{key}", value)]
        flags += ["--rows", "10", "--id", "id", "--device", "cpu"]
        told = command(name, "--model", flag, texts, "--out-dir", other, *flags)
        assert told.returncode == 3, told.stderr
        alike(own, other)


def test_pairs_and_a_model_of_arrays(tmp_path: Path) -> None:
    pairs = tmp_path / "pairs.csv"
    pairs.write_text("q,document\na fox,the lazy dog\na fox,word word\n")
    job = gristmill.Job(gristmill.Reranker(PAIRS), [pairs], tmp_path / "scores", query="q", keep=["document"])
    assert job.run()["complete"]
    [part] = (tmp_path / "scores").glob("part-*.jsonl")
    rows = [json.loads(line) for line in part.read_text().splitlines()]
    expected = gristmill.Reranker(PAIRS).predict([("a fox", "the lazy dog"), ("a fox", "word word")])
    assert [set(row) for row in rows] == [{"document", "score", "tokens", "truncated"}] * 2
    assert np.array([row["score"] for row in rows], np.float32).tobytes() == expected.tobytes()

    table = tmp_path / "table.jsonl"
    table.write_text(json.dumps({"bytes": [65] * 2048}) + "\n")
    model = gristmill.Model(MAGIKA)
    assert gristmill.Job(model, table, tmp_path / "labels", keep=[]).run()["complete"]
    [part] = (tmp_path / "labels").glob("part-*.jsonl")
    [own] = model.run({"bytes": np.full((1, 2048), 65, np.int32)}).values()
    assert np.array(json.loads(part.read_text())["target_label"], np.float32).tobytes() == own.tobytes()


def test_a_job_resumes_in_shares_and_refuses_another(texts: Path, tmp_path: Path) -> None:
    embedder, out = gristmill.Embedder(BERT), tmp_path / "vectors"
    first = gristmill.Job(embedder, texts, out, rows=10, shard=(1, 2))
    ended = first.run()
    assert not ended["complete"] and 0 < ended["finished_parts"] < 3
    with pytest.raises(gristmill.Error, match="not finished"):
        first.verify()
    whole = gristmill.Job(embedder, texts, out, rows=10)
    with pytest.raises(gristmill.Error, match="holds a job already"):
        whole.run()
    ended = whole.run(resume=True)
    assert ended["complete"] and ended["ran"] < 25
    other = gristmill.Job(embedder, texts, out, rows=10, output="f16")
    with pytest.raises(gristmill.Error, match="option output"):
        other.run(resume=True)
    # The row that failed was repaired.
    texts.write_text(texts.read_text().replace("null", '"a fox"'))
    assert whole.run(retry_errors=True)["failed"] == 0
    assert whole.verify()["failed"] == 0


def test_vectors_of_bytes_take_ranges(texts: Path, tmp_path: Path) -> None:
    embedder = gristmill.Embedder(BERT)
    vectors = embedder.encode(["fox 0 jumps over 0", "fox 1 jumps over 1"])
    ranges = np.stack([vectors.min(axis=0) - 1, vectors.max(axis=0) + 1])
    out = tmp_path / "vectors"
    assert gristmill.Job(embedder, texts, out, output="uint8", ranges=ranges, to_format="npy").run()["complete"]
    made = np.load(out / "part-00000-of-00001.npy")
    assert made.dtype == np.uint8 and made.shape == (25, 32)
    np.save(tmp_path / "ranges.npy", ranges)
    other = tmp_path / "other"
    told = command("embed", "--model", BERT, texts, "--out-dir", other, "--output", "uint8", "--to", "npy",
                   "--ranges", tmp_path / "ranges.npy", "--device", "cpu")
    assert told.returncode == 3, told.stderr
    alike(out, other)


def test_what_does_not_fit_is_told(texts: Path, tmp_path: Path) -> None:
    embedder, reranker = gristmill.Embedder(BERT), gristmill.Reranker(PAIRS)
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (embedder, {"shard": (0, 2)}, "shard"),
        (embedder, {"rows": 0}, "rows"),
        (embedder, {"query": "q"}, "query is for a Reranker"),
        (embedder, {"output": "int8"}, "ranges"),
        (embedder, {"output": "int8", "ranges": [1.0]}, "shape"),
        (embedder, {"output": "int8", "ranges": np.zeros((2, 3))}, r"\(2, 32\)"),
        (reranker, {"column": "text"}, "column"),
        (reranker, {"output": "f16"}, "output is for an Embedder"),
        (gristmill.Model(MAGIKA), {"column": "text"}, "column"),
    ]
    for model, options, named in wrong:
        with pytest.raises(ValueError, match=named):
            gristmill.Job(model, texts, tmp_path / "out", **options)
    failing: list[tuple[dict[str, Any], str]] = [
        ({"output": "int4"}, "int4"),
        ({"from_format": "xml"}, "xml"),
        ({"prompt_name": "title"}, "no prompt"),
    ]
    for options, named in failing:
        with pytest.raises(gristmill.Error, match=named):
            gristmill.Job(embedder, texts, tmp_path / "out", **options).run()
    with pytest.raises((FileNotFoundError, gristmill.Error), match="absent"):
        gristmill.Job(embedder, tmp_path / "absent.jsonl", tmp_path / "out").run()
    with pytest.raises(TypeError, match="SparseEmbedder"):
        gristmill.Job(gristmill.SparseEmbedder(GOLDENS / "heads" / "sparse" / "bert"), texts, tmp_path / "out")  # type: ignore[arg-type]


def test_a_signal_leaves_a_job_that_resumes(tmp_path: Path) -> None:
    texts, out = tmp_path / "texts.txt", tmp_path / "out"
    texts.write_text("a text that is long enough to take a while\n" * 200_000)
    code = "import gristmill, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; job = gristmill.Job(gristmill.Embedder(sys.argv[1], workers=1), sys.argv[2], sys.argv[3], rows=500)"
    code += "; job.run()"
    process = subprocess.Popen([sys.executable, "-c", code, BERT, texts, out], stderr=subprocess.PIPE)
    for _ in range(600):
        if len(list(out.glob("part-*"))) >= 2:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    assert time.monotonic() - started < 5
    parts = len(list(out.glob("part-*")))
    assert 2 <= parts < 400
    job = gristmill.Job(gristmill.Embedder(BERT), texts, out, rows=500, shard=(1, 400))
    assert job.run(resume=True)["finished_parts"] >= parts

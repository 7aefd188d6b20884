"""Texts to vectors: those of the command, whatever stands around a text."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import gristmill
import numpy as np
import numpy.typing as npt
import pytest
from conftest import GOLDENS, MINILM, TARGET

BERT = GOLDENS / "encoders" / "bert"
TEXTS = [f"the {word} of a river, {count} times over" for count in range(40) for word in ("mouth", "source", "bed")]


@pytest.fixture(scope="module")
def embedder() -> gristmill.Embedder:
    return gristmill.Embedder(MINILM, workers=2)


def test_vectors_are_those_of_the_command(embedder: gristmill.Embedder, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    command: list[str | Path] = [TARGET / "debug" / "examples" / "embed", "--model", MINILM, tmp_path / "texts.txt"]
    command += ["--device", "cpu", "--out", tmp_path / "vectors.npy"]
    subprocess.run(command, check=True, capture_output=True)
    expected = np.load(tmp_path / "vectors.npy")
    vectors = embedder.encode(TEXTS)
    assert vectors.dtype == np.float32 and vectors.shape == (len(TEXTS), 384)
    assert vectors.tobytes() == expected.tobytes()
    report = embedder.report()
    assert report is not None and report["items"] == len(TEXTS) and report["device"] == "cpu"


def test_one_text_and_none(embedder: gristmill.Embedder) -> None:
    one = embedder.encode(TEXTS[3])
    assert one.shape == (384,)
    assert one.tobytes() == embedder.encode(TEXTS)[3].tobytes()
    assert embedder.encode([]).shape == (0, 384)
    assert embedder.get_sentence_embedding_dimension() == 384


def test_lengths_and_dimensions(embedder: gristmill.Embedder) -> None:
    whole = embedder.encode(TEXTS[:5])
    short = embedder.encode(TEXTS[:5], truncate_dim=64)
    assert short.tobytes() == np.ascontiguousarray(whole[:, :64]).tobytes()
    again = embedder.encode(TEXTS[:5], truncate_dim=64, normalize_embeddings=True)
    assert np.allclose(np.linalg.norm(again, axis=1), 1)
    assert embedder.encode(TEXTS[:5], truncate_dim=385).tobytes() == whole.tobytes()
    for wrong in (-1, 0):
        with pytest.raises(ValueError, match="384"):
            embedder.encode(TEXTS[0], truncate_dim=wrong)
    fixed = gristmill.Embedder(MINILM, truncate_dim=64)
    assert fixed.encode(TEXTS[0]).shape == (64,)


def test_prompts(embedder: gristmill.Embedder) -> None:
    prompted = embedder.encode(TEXTS[0], prompt="query: ")
    assert prompted.tobytes() == embedder.encode("query: " + TEXTS[0]).tobytes()
    # The folder has no prompts, so that queries and documents have none either.
    assert embedder.prompts == {"query": "", "document": ""} and embedder.default_prompt_name is None
    assert embedder.encode(TEXTS[0], prompt_name="query").tobytes() == embedder.encode(TEXTS[0]).tobytes()
    assert embedder.encode_query(TEXTS[0]).tobytes() == embedder.encode(TEXTS[0]).tobytes()
    assert embedder.encode_document(TEXTS[0]).tobytes() == embedder.encode(TEXTS[0]).tobytes()
    with pytest.raises(gristmill.Error, match="nothing like that"):
        embedder.encode(TEXTS[0], prompt_name="nothing like that")


def with_settings(folder: Path, **settings: Any) -> Path:
    """A small model with settings of sentence-transformers."""
    shutil.copytree(BERT, folder)
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    return folder


def test_prompts_are_chosen_as_in_sentence_transformers(tmp_path: Path) -> None:
    prompts = {"query": "of the folder: ", "title": "title: "}
    folder = with_settings(tmp_path / "bert", prompts=prompts, default_prompt_name="title")
    plain = gristmill.Embedder(BERT)

    def is_with(made: Any, prompt: str) -> bool:
        return bool(made.tobytes() == plain.encode(prompt + TEXTS[0]).tobytes())

    assert gristmill.Embedder(folder).default_prompt_name == "title"
    own = gristmill.Embedder(folder, prompts={"query": "find: ", "more": "more: "})
    assert own.prompts == {"query": "find: ", "document": "", "more": "more: ", "title": "title: "}
    assert is_with(own.encode(TEXTS[0]), "title: ")
    assert is_with(own.encode_query(TEXTS[0]), "find: ")
    # The prompt of documents is there, and empty, so that the default one does not count.
    assert is_with(own.encode_document(TEXTS[0]), "")
    assert is_with(own.encode(TEXTS[0], prompt_name="more"), "more: ")
    assert is_with(own.encode_query(TEXTS[0], prompt_name="more"), "more: ")
    assert is_with(own.encode_query(TEXTS[0], prompt_name="more", prompt="this: "), "this: ")
    assert is_with(own.encode(TEXTS[0], prompt=""), "")
    vectors = gristmill.Embedder(folder, default_prompt_name="query", trust_remote_code=True).encode([TEXTS[0]])
    assert is_with(vectors[0], "of the folder: ")
    own.prompts["late"], own.default_prompt_name = "late: ", "late"
    assert is_with(own.encode(TEXTS[0]), "late: ")
    (tmp_path / "texts.txt").write_text(TEXTS[0] + "\n")
    gristmill.Job(own, tmp_path / "texts.txt", tmp_path / "out", to_format="npy").run()
    assert is_with(np.load(tmp_path / "out" / "part-00000-of-00001.npy"), "late: ")
    with pytest.raises(gristmill.Error, match="it has document, late, more, query, title"):
        own.encode(TEXTS[0], prompt_name="passage")
    with pytest.raises(gristmill.Error, match="passage"):
        gristmill.Embedder(folder, default_prompt_name="passage")


def test_the_length_is_set_on_an_open_model() -> None:
    model = gristmill.Embedder(BERT)
    assert (model.device, model.max_seq_length) == ("cpu", 64)
    text = "the mill of a river " * 9
    whole = model.encode(text)
    model.max_seq_length = 16
    assert model.max_seq_length == model.get_max_seq_length() == 16
    assert model.encode(text).tobytes() == gristmill.Embedder(BERT, max_tokens=16).encode(text).tobytes()
    report = model.report()
    assert report is not None and report["truncated"] == 1
    with pytest.raises(gristmill.Error, match="64 positions"):
        model.max_seq_length = 65
    model.max_seq_length = 64
    assert model.encode(text).tobytes() == whole.tobytes()


def test_a_truncate_dim_beyond_the_dimension_is_all_of_it(tmp_path: Path) -> None:
    whole = gristmill.Embedder(BERT).encode(TEXTS[:2])
    long = gristmill.Embedder(BERT, truncate_dim=1000)
    assert long.get_sentence_embedding_dimension() == 32
    assert long.encode(TEXTS[:2], truncate_dim=99).tobytes() == whole.tobytes()
    short = gristmill.Embedder(BERT, truncate_dim=8)
    assert short.encode(TEXTS[:2], truncate_dim=4).shape == (2, 4)
    # What was cut off when the folder was opened is not there.
    for model in (short, gristmill.Embedder(with_settings(tmp_path / "bert", truncate_dim=8))):
        with pytest.raises(ValueError, match="opened for vectors of 8"):
            model.encode(TEXTS[:2], truncate_dim=16)
    with pytest.raises(gristmill.Error, match="truncate_dim is 0"):
        gristmill.Embedder(BERT, truncate_dim=0)


def test_the_weights_of_a_task() -> None:
    folder = GOLDENS / "adapters" / "jina-v3"
    embedder = gristmill.Embedder(folder)
    queries = gristmill.Embedder(folder, task="retrieval.query")
    for task, goldens in json.loads((folder / "golden.json").read_text()).items():
        texts = [golden["text"] for golden in goldens]
        prompt_name = task if task in embedder.prompts else None
        vectors = embedder.encode(texts, task=task or None, prompt_name=prompt_name)
        assert np.allclose(vectors, [golden["vector"] for golden in goldens], atol=2e-5), task
        # The other model has another task of its own, and the prompt is a matter apart.
        if task == "retrieval.query":
            assert queries.encode(texts, prompt_name=task).tobytes() == vectors.tobytes()
            assert queries.encode(texts, prompt="the query: ").tobytes() == vectors.tobytes()
            assert queries.encode(texts).tobytes() == embedder.encode(texts, task=task).tobytes() != vectors.tobytes()
        elif task:
            assert queries.encode(texts, task=task).tobytes() == vectors.tobytes()
    with pytest.raises(gristmill.Error, match="retrieval.query, separation, text-matching"):
        embedder.encode(TEXTS, task="classification")
    with pytest.raises(gristmill.Error, match="the folder has none"):
        gristmill.Embedder(MINILM, task="separation")


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    with pytest.raises((FileNotFoundError, gristmill.Error), match="config"):
        gristmill.Embedder(tmp_path)
    with pytest.raises(gristmill.Error, match="precision") as caught:
        gristmill.Embedder(MINILM, precision="int4")
    assert caught.value.kind == "InvalidInput"
    with pytest.raises(TypeError):
        gristmill.Embedder(MINILM).encode([1, 2])  # type: ignore[list-item]
    misread: list[tuple[Any, str]] = [({"text": "a"}, "list of its texts"), ({"a"}, "no order"), (b"ab", "decode")]
    for given, named in misread:
        with pytest.raises(TypeError, match=named):
            gristmill.Embedder(BERT).encode(given)


def test_arguments_of_sentence_transformers(embedder: gristmill.Embedder) -> None:
    expected = embedder.encode(TEXTS).tobytes()
    same = embedder.encode(TEXTS, batch_size=7, show_progress_bar=False, convert_to_numpy=True, precision="float32")
    assert same.tobytes() == expected
    assert embedder.encode_query(TEXTS, pool=None, chunk_size=None).tobytes() == expected
    assert embedder.encode_query(TEXTS, device="cpu", normalize_embeddings=False).tobytes() == expected
    refused: list[dict[str, Any]] = [{"output_value": "token_embeddings"}, {"device": "cuda"}]
    refused += [{"pool": {"processes": []}}, {"chunk_size": 5}]
    for wrong in refused:
        with pytest.raises(ValueError, match=next(iter(wrong))):
            embedder.encode_document(TEXTS, **wrong)
    assert embedder.get_embedding_dimension() == 384


def test_vectors_in_fewer_bytes_are_those_of_a_job(tmp_path: Path) -> None:
    small = gristmill.Embedder(GOLDENS / "encoders" / "bert")
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    vectors = small.encode(TEXTS)
    ranges = np.stack([vectors.min(axis=0), vectors.max(axis=0)])
    for precision in ("int8", "uint8", "binary", "ubinary"):
        out = tmp_path / precision
        own: Any = {"ranges": ranges} if precision.endswith("int8") else {}
        gristmill.Job(small, tmp_path / "texts.txt", out, output=precision, to_format="npy", **own).run()
        expected = np.load(out / "part-00000-of-00001.npy")
        made = small.encode(TEXTS, precision=precision)
        assert made.dtype == expected.dtype and np.array_equal(made, expected), precision
        assert small.encode([], precision=precision).shape == (0, expected.shape[1])
    assert np.array_equal(small.encode(TEXTS[0], precision="ubinary"), small.encode(TEXTS, precision="ubinary")[0])
    with pytest.raises(ValueError, match="int8 of one text"):
        small.encode(TEXTS[0], precision="int8")
    with pytest.raises(ValueError, match="precision is one of"):
        small.encode(TEXTS, precision="int4")


def test_tensors_of_pytorch(embedder: gristmill.Embedder, monkeypatch: pytest.MonkeyPatch) -> None:
    class Torch(types.ModuleType):
        """What is used of PyTorch, which is too large to be installed for two calls."""

        @staticmethod
        def from_numpy(array: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
            return list(array)

    monkeypatch.setitem(sys.modules, "torch", Torch("torch"))
    expected = embedder.encode(TEXTS[:3])
    forms: list[dict[str, Any]] = [{"convert_to_tensor": True}, {"convert_to_numpy": False}]
    for arguments in forms:
        assert np.array_equal(embedder.encode(TEXTS[:3], **arguments), expected)
    reranker = gristmill.Reranker(GOLDENS / "heads" / "pairs" / "bert")
    pairs = [(TEXTS[0], TEXTS[1]), (TEXTS[2], TEXTS[3])]
    assert np.array_equal(reranker.predict(pairs, convert_to_tensor=True), reranker.predict(pairs))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="PyTorch"):
        embedder.encode(TEXTS[:3], convert_to_tensor=True)


def test_vectors_are_compared_as_the_folder_says(tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    shutil.copytree(GOLDENS / "encoders" / "bert", folder)
    settings = folder / "config_sentence_transformers.json"
    vectors = gristmill.Embedder(folder).encode(TEXTS[:4])
    a, b = vectors[:2].astype(np.float64), vectors.astype(np.float64)
    norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
    apart = a[:, None] - b
    expected = {
        None: a @ b.T / norms,
        "cosine": a @ b.T / norms,
        "dot": a @ b.T,
        "euclidean": -np.sqrt((apart**2).sum(-1)),
        "manhattan": -np.abs(apart).sum(-1),
    }
    for name, alike in expected.items():
        settings.write_text(json.dumps({"similarity_fn_name": name}))
        embedder = gristmill.Embedder(folder)
        assert embedder.similarity_fn_name == (name or "cosine")
        assert np.allclose(embedder.similarity(vectors[:2], vectors), alike, atol=1e-4)
        assert np.allclose(embedder.similarity_pairwise(vectors[:2], vectors[2:]), alike[[0, 1], [2, 3]], atol=1e-4)
        assert embedder.similarity(vectors[0], vectors[1]).shape == (1, 1)
        assert embedder.similarity(vectors[:0], vectors).shape == (0, 4)
    assert gristmill.Embedder(folder, similarity_fn_name="dot").similarity_fn_name == "dot"
    settings.write_text(json.dumps({"similarity_fn_name": "own"}))
    with pytest.raises(ValueError, match="own"):
        gristmill.Embedder(folder)


def test_threads_share_a_model(embedder: gristmill.Embedder) -> None:
    expected = embedder.encode(TEXTS).tobytes()
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(embedder.encode(TEXTS).tobytes())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [expected] * 4


def encode_in_process(_: int) -> bytes:
    vector: npt.NDArray[np.float32] = gristmill.Embedder(MINILM, workers=1).encode(TEXTS[0])
    return vector.tobytes()


def test_a_spawned_process_has_its_own(embedder: gristmill.Embedder) -> None:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(encode_in_process, [0]) == [embedder.encode(TEXTS[0]).tobytes()]


def test_a_forked_process_is_refused(embedder: gristmill.Embedder) -> None:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            embedder.encode(TEXTS)
            os.write(write, b"no error")
        except gristmill.Error as error:
            os.write(write, f"{error.kind}: {error}".encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    message = os.read(read, 10_000)
    assert b"spawn" in message and b"Unsupported" in message


def test_a_signal_ends_a_job() -> None:
    # Whoever started the tests in the background has had the signal ignored.
    code = "import gristmill, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code += "; e = gristmill.Embedder(sys.argv[1]); print('ready', flush=True)"
    code += "; e.encode(['a text that is long enough to take a while ' * 5] * 200_000)"
    job = subprocess.Popen([sys.executable, "-c", code, MINILM], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert job.stdout is not None and job.stdout.readline() == b"ready\n"
    time.sleep(1)
    job.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = job.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert time.monotonic() - started < 3

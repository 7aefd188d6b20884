"""Many models one after the other, results that outlive them, and other threads meanwhile."""

import asyncio
import concurrent.futures
import functools
import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gristmill
import numpy as np
import pytest
from conftest import GOLDENS, MAGIKA

HEADS = GOLDENS / "heads"
TEXTS = ["the quick brown fox", "jumps over", "the lazy dog"]
KINDS: list[tuple[Callable[[Path], Any], Path, Callable[[Any], Any]]] = [
    (gristmill.Embedder, GOLDENS / "encoders" / "bert", lambda model: model.encode(TEXTS)),
    (gristmill.Classifier, HEADS / "classes" / "distilbert", lambda model: model(TEXTS, top_k=None)),
    (gristmill.Reranker, HEADS / "pairs" / "bert", lambda model: model.rank(TEXTS[0], TEXTS)),
    (gristmill.Tagger, HEADS / "tokens" / "distilbert", lambda model: model(TEXTS)),
    (gristmill.HybridEmbedder, HEADS / "hybrid" / "m3", lambda model: model.encode(TEXTS)),
    (gristmill.SparseEmbedder, HEADS / "sparse" / "bert", lambda model: model.encode(TEXTS)),
    (gristmill.TokenEmbedder, HEADS / "colbert" / "fixed", lambda model: model.encode_document(TEXTS)),
]
# Opens and runs of each kind; as many as find a leak of a page each.
TIMES = 2_000 if os.environ.get("GRISTMILL_FULL") == "1" else 100
MOST_GROWTH = 6 << 20


def resident() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_opens_and_runs_leave_nothing_behind() -> None:
    def rounds(count: int) -> None:
        for _ in range(count):
            for kind, folder, run in KINDS:
                run(kind(folder))
            with pytest.raises(gristmill.Error):
                gristmill.Classifier(HEADS / "tokens" / "distilbert")

    rounds(TIMES // 2)
    before = resident()
    rounds(TIMES)
    grown = resident() - before
    assert grown < MOST_GROWTH, f"{grown} bytes more after {TIMES} rounds"


@pytest.mark.parametrize("kind, folder, run", KINDS)
def test_results_outlive_their_model(kind: Any, folder: Path, run: Any) -> None:
    model = kind(folder)
    result = run(model)
    same = str(result)
    del model
    gc.collect()
    # What the memory of a result held would be written over.
    for _ in range(20):
        run(kind(folder))
    assert str(result) == same


def test_an_event_loop_goes_on() -> None:
    model = gristmill.Model(MAGIKA)
    embedder = gristmill.Embedder(GOLDENS / "encoders" / "bert")
    texts = ["a text that is long enough to take a while"] * 4_000
    expected = embedder.encode(texts[:1])

    async def ticks(done: asyncio.Event) -> int:
        count = 0
        while not done.is_set():
            await asyncio.sleep(0.001)
            count += 1
        return count

    async def both() -> tuple[Any, Any, int]:
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        ticking = asyncio.create_task(ticks(done))
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            vectors = loop.run_in_executor(pool, embedder.encode, texts)
            arrays = loop.run_in_executor(pool, model.run, {"bytes": np.zeros((1, 2048), np.int32)})
            results = await vectors, await arrays
        done.set()
        return *results, await ticking

    vectors, arrays, count = asyncio.run(both())
    assert (vectors == expected).all() and len(vectors) == len(texts)
    assert list(arrays) == model.outputs
    # The lock was free while the texts ran.
    assert count > 10


def test_threads_share_models_of_every_kind() -> None:
    models = [(kind(folder), run) for kind, folder, run in KINDS]
    expected = [str(run(model)) for model, run in models]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        again = list(pool.map(lambda own: str(own[1](own[0])), models * 8))
    assert again == expected * 8


def test_a_fork_is_refused_by_every_kind() -> None:
    models = [(kind(folder), run) for kind, folder, run in KINDS]
    calls = [functools.partial(run, model) for model, run in models]
    calls += [functools.partial(kind, folder) for kind, folder, _ in KINDS]
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        told = b""
        for call in calls:
            try:
                call()
            except gristmill.Error as error:
                told += b"." if "spawn" in str(error) else b"?"
        os.write(write, told)
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"." * len(calls)

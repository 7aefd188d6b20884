"""Texts of Arrow batches to vectors: nulls, what is no text, and failures among others."""

from collections.abc import Iterator
from pathlib import Path

import gristmill
import numpy as np
import numpy.typing as npt
import pytest
from conftest import MINILM
from gristmill._columns import TextColumn, encode_all
from gristmill.ray import pool
from gristmill.spark import contents

pa = pytest.importorskip("pyarrow")

TEXTS = ["the mouth of a river", "its source", "its bed", "both banks"]


@pytest.fixture(scope="module")
def embedder() -> gristmill.Embedder:
    return gristmill.Embedder(MINILM, workers=2)


def columns(**options: object) -> TextColumn:
    return TextColumn(str(MINILM), "text", **options)  # type: ignore[arg-type]


def rows(made: npt.ArrayLike) -> npt.NDArray[np.float32]:
    return np.array(made, np.float32)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("kind", ["string", "large_string", "string_view", "dictionary"])
def test_vectors_stand_beside_their_texts(embedder: gristmill.Embedder, kind: str, fixed: bool) -> None:
    types = {"string": pa.string(), "large_string": pa.large_string(), "string_view": pa.string_view()}
    text = pa.array(TEXTS).dictionary_encode() if kind == "dictionary" else pa.array(TEXTS, types[kind])
    batch = pa.record_batch({"id": pa.array([4, 3, 2, 1]), "text": text})
    for given in (batch, pa.Table.from_batches([batch, batch.slice(0, 0)])):
        made = columns().embed(embedder, given, fixed=fixed)
        assert made.schema.names == ["id", "text", "embedding", "error"]
        assert made.column("id").to_pylist() == [4, 3, 2, 1] and made.column("error").null_count == 4
        assert made.schema.field("embedding").type == (pa.list_(pa.float32(), 384) if fixed else pa.list_(pa.float32()))
        assert rows(made.column("embedding").to_pylist()).tobytes() == embedder.encode(TEXTS).tobytes()


@pytest.mark.parametrize("fixed", [True, False])
def test_a_row_without_text_is_dead(embedder: gristmill.Embedder, fixed: bool) -> None:
    broken = pa.array([b"ab\xff", *(text.encode() for text in TEXTS), None], pa.binary()).view(pa.string())
    for text, errors in [
        (pa.array([None, *TEXTS, None]), {0: "the text is null", 5: "the text is null"}),
        (broken, {0: "the text is not UTF-8: invalid start byte at byte 2", 5: "the text is null"}),
        (pa.nulls(2), {0: "the text is null", 1: "the text is null"}),
        (pa.array([], pa.string()), {}),
    ]:
        # From the middle of an array, as engines cut batches.
        batch = pa.record_batch({"text": pa.concat_arrays([text, text])}).slice(len(text))
        made = columns(output="v", error="why").embed(embedder, batch, fixed=fixed)
        made.column("v").validate(full=True)
        assert {row: why for row, why in enumerate(made.column("why").to_pylist()) if why is not None} == errors
        vectors = made.column("v").to_pylist()
        assert [row for row, vector in enumerate(vectors) if vector is None] == list(errors)
        alive = rows([vector for vector in vectors if vector is not None])
        assert alive.tobytes() == (embedder.encode(TEXTS).tobytes() if len(text) > 2 else b"")
    with pytest.raises(ValueError, match=r"row 1 .*`text`.*null"):
        columns(error=None).embed(embedder, pa.record_batch({"text": pa.array(["a", None])}), fixed=fixed)


def test_a_failed_text_leaves_the_others() -> None:
    calls: list[int] = []

    def encode(texts: list[str]) -> npt.NDArray[np.float32]:
        calls.append(len(texts))
        for place, text in enumerate(texts):
            if text == "bad":
                error = gristmill.ItemError(f"item {place} failed in run: it is bad")
                error.index = place
                raise error
        return np.array([[len(text)] for text in texts], np.float32).reshape(len(texts), 1)

    texts = [f"{'x' * place}" for place in range(1000)]
    texts[13] = texts[700] = texts[999] = "bad"
    parts, errors = encode_all(encode, texts)
    assert errors == dict.fromkeys((13, 700, 999), "failed in run: it is bad")
    assert np.concatenate(parts)[:, 0].tolist() == [len(text) for text in texts if text != "bad"]
    # Each failure costs the texts of its halves: 500 + 250 + ... twice at most.
    assert sum(calls) < 1000 + 3 * 2 * 1000
    assert encode_all(encode, ["bad", "bad"]) == ([], {place: "failed in run: it is bad" for place in (0, 1)})


def test_what_is_wrong_is_told(embedder: gristmill.Embedder, tmp_path: Path) -> None:
    batch = pa.record_batch({"text": pa.array(TEXTS), "number": pa.array([1, 2, 3, 4])})
    with pytest.raises(ValueError, match="no column `texts`; there are `text`, `number`"):
        TextColumn("", "texts").embed(embedder, batch, fixed=True)
    with pytest.raises(ValueError, match="`number` already"):
        columns(error="number").embed(embedder, batch, fixed=True)
    with pytest.raises(TypeError, match="int64"):
        TextColumn("", "number").embed(embedder, batch, fixed=True)
    with pytest.raises(ValueError, match="known are"):
        columns(task="answer")
    with pytest.raises(ValueError, match="share"):
        columns(error="embedding")
    with pytest.raises(FileNotFoundError, match="every machine"):
        TextColumn(str(tmp_path / "nothing"), "text").open(1)
    with pytest.raises(gristmill.Error, match="nothing like that"):
        columns(prompt_name="nothing like that").open(1)


def test_mapped_weights_give_the_same_bits(embedder: gristmill.Embedder) -> None:
    mapped = gristmill.Embedder(MINILM, workers=1, weights="mapped")
    assert mapped.encode(TEXTS).tobytes() == embedder.encode(TEXTS).tobytes()
    with pytest.raises(gristmill.Error, match="mapped"):
        gristmill.Embedder(MINILM, weights="shared")


def test_options_reach_the_model(embedder: gristmill.Embedder) -> None:
    batch = pa.record_batch({"text": pa.array(TEXTS)})
    chosen = columns(prompt="query: ", truncate_dim=64, normalize_embeddings=True)
    expected = embedder.encode(TEXTS, prompt="query: ", truncate_dim=64, normalize_embeddings=True)
    made = chosen.embed(embedder, batch, fixed=True).column("embedding")
    assert made.type == pa.list_(pa.float32(), 64)
    assert rows(made.to_pylist()).tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [([8], (7, 1)), ([8] * 3, (7, 3)), ([2, 64, 64], (63, 2)), ([32, 64], (31, 3)), ([0, 4], (3, 1)), ([2, 2], (1, 2))],
)
def test_an_actor_gets_a_node(nodes: list[int], expected: tuple[int, int]) -> None:
    assert pool(nodes, None, 1) == expected


def test_actors_of_a_given_size() -> None:
    assert pool([16, 16], 16, 1) == (16, 2)
    assert pool([16, 16], 4, 1) == (4, 8)
    for nodes, num_cpus in (([0, 1], None), ([16], 0)):
        with pytest.raises(ValueError, match="num_cpus"):
            pool(nodes, num_cpus, 1)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    yield tmp_path


def test_a_replaced_model_is_another(folder: Path) -> None:
    before = contents(str(folder))
    assert contents(str(folder)) == before
    (folder / "new").write_text("[]")
    (folder / "new").rename(folder / "1_Pooling" / "config.json")
    assert contents(str(folder)) != before

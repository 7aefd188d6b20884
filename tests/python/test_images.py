"""Images to vectors: those of transformers, whatever form an image is given in."""

import io
import json
from pathlib import Path
from typing import Any

import gristmill
import numpy as np
import pytest
from conftest import GOLDENS, TARGET

VISION = GOLDENS / "vision"
NAMES: list[str] = json.loads((VISION / "images" / "images.json").read_text())
PATHS = [VISION / "images" / name for name in NAMES]


@pytest.fixture(scope="module")
def embedder() -> gristmill.ImageEmbedder:
    return gristmill.ImageEmbedder(VISION / "clip", workers=2)


def pixels() -> list[Any]:
    """The images as PIL sees them."""
    arrays = np.load(VISION / "images" / "pixels.npz")
    return [arrays[name] for name in NAMES]


def test_vectors_are_those_of_transformers(embedder: gristmill.ImageEmbedder) -> None:
    expected = np.load(VISION / "clip" / "golden.npz")["vectors"]
    vectors = embedder.encode(pixels())
    assert vectors.dtype == np.float32 and vectors.shape == expected.shape
    assert vectors.shape[1] == embedder.get_sentence_embedding_dimension()
    assert np.allclose(vectors, expected, atol=2e-5)
    report = embedder.report()
    assert report is not None and (report["items"], report["errors"]) == (len(NAMES), 0)
    length = np.linalg.norm(embedder.encode(pixels(), normalize_embeddings=True), axis=1)
    assert np.allclose(length, 1)


def test_every_form_of_an_image(embedder: gristmill.ImageEmbedder) -> None:
    path = VISION / "images" / "rgb.png"
    array = np.load(VISION / "images" / "pixels.npz")["rgb.png"]
    expected = embedder.encode(path)
    assert expected.shape == (embedder.get_sentence_embedding_dimension(),)
    turned = np.ascontiguousarray(array[::-1])[::-1]
    forms: list[Any] = [str(path), path.read_bytes(), array, turned]
    for own in (*forms, [path], np.stack([array])):
        assert embedder.encode(own).ravel().tobytes() == expected.tobytes()
    # Of an iterator images are taken as they are needed.
    assert embedder.encode(iter(forms)).tobytes() == np.stack([expected] * 4).tobytes()
    assert embedder.encode([]).shape == (0, len(expected))


def test_images_of_pil(embedder: gristmill.ImageEmbedder) -> None:
    image = pytest.importorskip("PIL.Image")
    for name in ("rgba.png", "palette.gif", "gray.png"):
        path = VISION / "images" / name
        opened = image.open(path)
        assert embedder.encode(opened).tobytes() == embedder.encode(path).tobytes(), name
    made = io.BytesIO()
    image.new("RGB", (9, 7), (1, 2, 3)).save(made, "BMP")
    assert embedder.encode(made.getvalue()).tobytes() == embedder.encode(image.new("RGB", (9, 7), (1, 2, 3))).tobytes()


def test_vectors_are_those_of_the_command(embedder: gristmill.ImageEmbedder, tmp_path: Path) -> None:
    import subprocess
    import sysconfig

    lists = tmp_path / "paths.txt"
    lists.write_text("\n".join(str(path) for path in PATHS) + "\n")
    flags: list[str | Path] = ["--model", VISION / "clip", lists, "--device", "cpu", "--out"]
    script = Path(sysconfig.get_path("scripts")) / "gristmill"
    subprocess.run([script, "embed-images", *flags, tmp_path / "own.npy"], check=True, capture_output=True)
    example = TARGET / "debug" / "examples" / "embed_images"
    subprocess.run([example, *flags, tmp_path / "other.npy"], check=True, capture_output=True)
    assert (tmp_path / "own.npy").read_bytes() == (tmp_path / "other.npy").read_bytes()
    assert np.load(tmp_path / "own.npy").tobytes() == embedder.encode(PATHS).tobytes()


def test_what_fails_is_told(embedder: gristmill.ImageEmbedder, capsys: pytest.CaptureFixture[str]) -> None:
    good = PATHS[0]
    wrong: list[tuple[Any, str]] = [
        (VISION / "images" / "absent.png", "absent.png"),
        (b"no image", "PNG, JPEG"),
        (np.zeros((4, 4), np.uint8), "height, width, 3"),
        (np.zeros((4, 4, 4), np.uint8), "height, width, 3"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.zeros((0, 4, 3), np.uint8), "0 bytes"),
        (7, "not int"),
    ]
    for given, message in wrong:
        with pytest.raises(gristmill.ItemError, match=message) as caught:
            embedder.encode([good, given])
        assert caught.value.index == 1
    found = list(embedder.map([good, b"", good], on_error="null"))
    assert found[1] is None and found[0].tobytes() == found[2].tobytes()
    assert len(list(embedder.map([good] * 3, show_progress_bar=True))) == 3
    assert "3/3" in capsys.readouterr().err
    with pytest.raises(gristmill.ItemError, match="pixels"):
        gristmill.ImageEmbedder(VISION / "clip", max_pixels=5).encode([good])
    with pytest.raises(FileNotFoundError):
        gristmill.ImageEmbedder(VISION / "absent")


def test_classes_are_those_of_transformers() -> None:
    classifier = gristmill.ImageClassifier(VISION / "vit-classes", workers=2)
    assert classifier.labels == ["cat", "dog", "bird"]
    expected = np.load(VISION / "vit-classes" / "golden.npz")["scores"]
    found = classifier(pixels(), top_k=None)
    for classes, row in zip(found, expected, strict=True):
        scores = {own["label"]: own["score"] for own in classes}
        assert np.allclose([scores[label] for label in classifier.labels], row, atol=2e-5)
        assert [own["score"] for own in classes] == sorted(scores.values(), reverse=True)
    report = classifier.report()
    assert report is not None and (report["items"], report["errors"]) == (len(NAMES), 0)
    path = VISION / "images" / "rgb.png"
    alone = classifier(path, top_k=2, batch_size=4)
    assert len(alone) == 2 and classifier([path])[0][:2] == alone and classifier([]) == []
    rows = list(classifier.map([path, "none.png", path], on_error="null"))
    assert rows[1] is None and np.array_equal(rows[0], rows[2])
    assert rows[0][classifier.labels.index(alone[0]["label"])] == np.float32(alone[0]["score"])
    with pytest.raises(gristmill.Error, match="ForImageClassification"):
        gristmill.ImageClassifier(VISION / "vit")

"""Holds vectors to ONNX Runtime: compare_embed.py OURS.npy [TEXTS] [DATA_DIR] [--bound 1e-5]

OURS.npy is what `embed --model DATA_DIR/minilm TEXTS --out OURS.npy` wrote, TEXTS by default DATA_DIR/glosses.txt. The
reference (f32, one text at a time, no padding) is kept beside the data as NAME.ort.npy and made where it is missing or
older than the texts. Exit status 1 past the bound.
"""

import argparse
from pathlib import Path

import numpy as np

from ort_minilm import Reference


def reference(texts, data):
    kept = data / (texts.stem + ".ort.npy")
    if not kept.exists() or kept.stat().st_mtime < texts.stat().st_mtime:
        model = Reference(data / "minilm", data / "minilm.onnx")
        lines = texts.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        np.save(kept, np.array([model.embed(line)[1] for line in lines], np.float32))
    return np.load(kept)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ours", type=Path)
    parser.add_argument("texts", type=Path, nargs="?")
    parser.add_argument("data", type=Path, nargs="?", default=Path(__file__).resolve().parent.parent / "data")
    parser.add_argument("--bound", type=float, default=1e-5)
    arguments = parser.parse_args()
    theirs = reference(arguments.texts or arguments.data / "glosses.txt", arguments.data)
    ours = np.load(arguments.ours)
    if ours.shape != theirs.shape or ours.dtype != np.float32:
        raise SystemExit(f"shape {ours.shape} {ours.dtype}, expected {theirs.shape} float32")
    difference = np.abs(ours - theirs).max(axis=1)
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    cosine = (ours * theirs).sum(axis=1) / np.maximum(lengths, np.finfo(np.float32).tiny)
    print(f"{len(ours)} vectors: largest difference {difference.max():.3g} (text {difference.argmax()}), "
          f"smallest cosine {cosine.min():.7f}")
    raise SystemExit(not difference.max() <= arguments.bound)  # also where it is not a number


main()

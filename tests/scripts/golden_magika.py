"""Writes tests/goldens/magika.npz and magika.jsonl: golden_magika.py [DATA_DIR]

Run after tests/setup.sh. What is in the files: tests/goldens/README.md.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
from magika import Magika
from magika.types.seekable import Seekable

from magika_command import command
from samples import samples

HERE = Path(__file__).resolve().parent.parent
MODEL = HERE.parent / "examples/models/magika/model.onnx"


def features(package, path):
    """The model's input for one file, or None where magika decides without the model."""
    with open(path, "rb") as stream:
        _, found = package._get_result_or_features_from_seekable(Seekable(stream))
    return None if found is None else found.beg + found.end


def main():
    data = Path(sys.argv[1] if len(sys.argv) > 1 else HERE / "data")
    package, session = Magika(), onnxruntime.InferenceSession(MODEL, providers=["CPUExecutionProvider"])
    files = samples(0)
    index, inputs, outputs = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder, name) for name, _ in files]
        for path, (_, content) in zip(paths, files):
            path.write_bytes(content)
        answers = command(data, paths)
        for i, path in enumerate(paths):
            row = features(package, path)
            if row is not None:
                index.append(i)
                inputs.append(np.array([row], np.int32))
                outputs.append(session.run(["target_label"], {"bytes": inputs[-1]})[0])
    lines = [json.dumps({"name": name, "label": label, "score": round(score, 6)}) for (name, _), (label, score) in zip(files, answers)]
    (HERE / "goldens/magika.jsonl").write_text("\n".join(lines) + "\n")
    contents = [content for _, content in files]
    np.savez_compressed(
        HERE / "goldens/magika.npz",
        bytes=np.frombuffer(b"".join(contents), np.uint8),
        offsets=np.cumsum([0, *map(len, contents)]).astype(np.int64),
        index=np.array(index, np.int64),
        features=np.concatenate(inputs),
        probabilities=np.concatenate(outputs).astype(np.float32),
    )
    print(len(files), "files,", len(index), "through the model,", len({label for label, _ in answers}), "labels")


main()

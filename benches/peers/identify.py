"""The whole file type job by a peer: identify.py ENGINE MODEL_DIR FOLDER OUT.jsonl THREADS BATCH

Walks the folder, takes the features, runs the model of magika on them, applies its thresholds, writes a line a file.
The last line printed is JSON: seconds for loading and for the rest.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from engines import finish, load


class Rules:
    def __init__(self, folder):
        self.config = json.loads(Path(folder, "config.min.json").read_text())
        kinds = json.loads(Path(folder, "content_types_kb.min.json").read_text())
        self.is_text = {label: kind["is_text"] for label, kind in kinds.items()}

    def features(self, path):
        """The model's input, or the label of a file that is too short for it."""
        c = self.config
        with open(path, "rb") as stream:
            length = os.fstat(stream.fileno()).st_size
            head = stream.read(c["block_size"])
            stream.seek(max(0, length - c["block_size"]))
            tail = stream.read(c["block_size"])
        if not length:
            return "empty"
        begin, end = head.lstrip()[: c["beg_size"]], tail.rstrip()[-c["end_size"] :]
        if length < c["min_file_size_for_dl"] or len(begin) < c["min_file_size_for_dl"]:
            try:
                head.decode()
                return "txt"
            except UnicodeDecodeError:
                return "unknown"
        row = np.full(c["beg_size"] + c["end_size"], c["padding_token"], np.int32)
        row[: len(begin)] = np.frombuffer(begin, np.uint8)
        row[len(row) - len(end) :] = np.frombuffer(end, np.uint8)
        return row

    def label(self, probabilities):
        c, best = self.config, int(probabilities.argmax())
        score, name = float(probabilities[best]), c["target_labels_space"][best]
        label = c["overwrite_map"].get(name, name)
        if score < c["thresholds"].get(name, c["medium_confidence_threshold"]):
            label = "txt" if self.is_text[label] else "unknown"
        return label, score


def main():
    engine, folder, files, out, threads, size = sys.argv[1:]
    start = time.perf_counter()
    run = load(engine, str(Path(folder, "model.onnx")), int(threads), "target_label")
    rules = Rules(folder)
    loaded = time.perf_counter()
    paths = sorted(os.path.join(place, name) for place, _, names in os.walk(files) for name in names)
    found = [rules.features(path) for path in paths]
    rows = [row for row in found if not isinstance(row, str)]
    batches = [{"bytes": np.stack(rows[i : i + int(size)])} for i in range(0, len(rows), int(size))]
    outputs = (row for batch in run(batches) for row in batch)
    with open(out, "w", encoding="utf-8") as lines:
        for path, row in zip(paths, found):
            label, score = (row, 1.0) if isinstance(row, str) else rules.label(next(outputs))
            lines.write(json.dumps({"path": path, "label": label, "score": score}) + "\n")
    finish(loaded - start, time.perf_counter() - loaded)


main()

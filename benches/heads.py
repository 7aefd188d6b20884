"""Throughput of `classify`, `rerank` and `tag` on models of MiniLM's shape: heads.py [THREADS]

The encoder is all-MiniLM-L6-v2, the heads are random, the texts WordNet's glosses; all of it from tests/setup.sh. The
examples must have been built: cargo build --release --example classify --example rerank --example tag
"""

import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("GRISTMILL_TEST_DATA", ROOT / "tests" / "data"))
sys.path.insert(0, str(ROOT / "tests" / "scripts"))
from glosses import glosses, spread  # noqa: E402

# The command, the number of texts or pairs, the class that transformers calls it by, and its classes.
JOBS = [
    ("classify", 20_000, "BertForSequenceClassification", 5),
    ("rerank", 10_000, "BertForSequenceClassification", 1),
    ("tag", 5_000, "BertForTokenClassification", 9),
]


def tensors(path):
    """The dtype, shape and bytes of each tensor of a safetensors file, by name."""
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header.pop("__metadata__", None)
    return {
        name: (info["dtype"], info["shape"], body[slice(*info["data_offsets"])])
        for name, info in header.items()
    }


def save(all_tensors, path):
    header, body = {}, b""
    for name, (dtype, shape, data) in all_tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(body), len(body) + len(data)]}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def make(folder, architecture, classes):
    """A folder with MiniLM's encoder and a random head."""
    source = DATA / "minilm"
    random = np.random.default_rng(1)
    own = {f"bert.{name}": value for name, value in tensors(source / "model.safetensors").items()}
    if architecture == "BertForTokenClassification":
        own = {name: value for name, value in own.items() if ".pooler." not in name}
    weight = (random.standard_normal((classes, 384)) * 0.1).astype(np.float32)
    own["classifier.weight"] = ("F32", [classes, 384], weight.tobytes())
    own["classifier.bias"] = ("F32", [classes], np.zeros(classes, np.float32).tobytes())
    save(own, folder / "model.safetensors")
    config = json.loads((source / "config.json").read_text())
    config["architectures"] = [architecture]
    config["id2label"] = {str(number): f"B-{number}" for number in range(classes)}
    config["label2id"] = {label: int(number) for number, label in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))
    for name in ("tokenizer.json", "tokenizer_config.json"):
        if (source / name).exists():
            shutil.copy(source / name, folder / name)


def main():
    threads = sys.argv[1] if len(sys.argv) > 1 else "2"
    all_glosses = glosses(DATA / "wordnet")
    print("| command | items | items/s | seconds | peak MB |\n|---|---:|---:|---:|---:|")
    for command, count, architecture, classes in JOBS:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make(folder, architecture, classes)
            lines = spread(all_glosses, count)
            if command == "rerank":
                queries = spread(all_glosses, 97)
                lines = [f"{queries[number % 97]}\t{line}" for number, line in enumerate(lines)]
            (folder / "lines.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
            program = ROOT / "target" / "release" / "examples" / command
            flags = ["--device", "cpu", "--workers", threads, "--report", folder / "report.json"]
            job = [program, "--model", folder, folder / "lines.txt", "--out", folder / "out.jsonl", *flags]
            subprocess.run(job, check=True, capture_output=True)
            report = json.loads((folder / "report.json").read_text())
            assert report["items"] == count and report["errors"] == 0, report
            peak = report["peak_rss_bytes"] / 1e6
            print(f"| `{command}` | {count:,} | {report['items_per_second']:.0f} | {report['seconds']:.1f} | {peak:.0f} |")


if __name__ == "__main__":
    main()

"""Encoders of the true shapes with random weights: gristmill beside sentence-transformers (torch) and ONNX Runtime.

    encoders.py [--models NAME,...] [--threads N] [--rounds N] [--folder FOLDER]

Needs the release build of the example `embed`, and torch, sentence-transformers, onnxruntime, onnxscript and model2vec.
Texts are WordNet's glosses of tests/setup.sh, joined so that their lengths spread from 16 to 512 tokens; the static model has
glosses of the whole database as they are. Each round runs each contender once, in a process of its own with the same number
of threads; what is timed is the encoding of all texts, without loading, after one text for warming up. A ratio is the median
of each round's own ratio. The vectors are compared.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = Path(os.environ.get("GRISTMILL_TEST_DATA", ROOT / "tests" / "data"))
sys.path.insert(0, str(ROOT / "tests" / "scripts"))
from glosses import glosses, spread  # noqa: E402

EMBED = ROOT / "target" / "release" / "examples" / "embed"
# The number of texts of each.
MODELS = {"mpnet-base": 48, "modernbert-base": 32, "bge-m3": 10, "model2vec": 100_000}
CONTENDERS = ["gristmill", "sentence-transformers", "onnxruntime"]


def configuration(name):
    import transformers as tf

    tokens = dict(pad_token_id=0, bos_token_id=2, eos_token_id=3)
    return {
        "mpnet-base": lambda: tf.MPNetConfig(vocab_size=30527, max_position_embeddings=514),
        "modernbert-base": lambda: tf.ModernBertConfig(cls_token_id=2, sep_token_id=3, **tokens),
        "bge-m3": lambda: tf.XLMRobertaConfig(
            vocab_size=250002, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096,
            max_position_embeddings=8194, type_vocab_size=1, layer_norm_eps=1e-5, pad_token_id=1),
    }[name]()


def make(name, folder):
    """A folder of the model with MiniLM's tokenizer."""
    import torch
    import transformers as tf

    torch.manual_seed(1)
    tokenizer = tf.AutoTokenizer.from_pretrained(DATA / "minilm")
    if name == "model2vec":
        import numpy
        from model2vec import StaticModel

        vectors = numpy.random.default_rng(1).standard_normal((len(tokenizer), 256)).astype(numpy.float32)
        StaticModel(vectors, tokenizer.backend_tokenizer, {"normalize": True}).save_pretrained(folder)
        return
    from sentence_transformers import SentenceTransformer, models

    model = tf.AutoModel.from_config(configuration(name)).eval()
    model.save_pretrained(folder / "plain")
    tokenizer.model_max_length = 512
    tokenizer.save_pretrained(folder / "plain")
    transformer = models.Transformer(str(folder / "plain"), max_seq_length=512)
    pooling = models.Pooling(transformer.get_word_embedding_dimension(), "mean")
    SentenceTransformer(modules=[transformer, pooling, models.Normalize()], device="cpu").save(str(folder))
    ids = torch.ones(2, 16, dtype=torch.long)
    length, batch = torch.export.Dim("length", min=2, max=512), torch.export.Dim("batch", max=512)
    shape = {0: batch, 1: length}
    torch.onnx.export(transformer.auto_model, (ids, ids), folder / "model.onnx", input_names=["input_ids", "attention_mask"],
                      dynamic_shapes={"input_ids": shape, "attention_mask": shape}, dynamo=True, external_data=True)


def texts(name, folder):
    import transformers as tf

    tokenizer = tf.AutoTokenizer.from_pretrained(DATA / "minilm")
    if name == "model2vec":
        return spread(glosses(DATA / "wordnet"), MODELS[name])
    lines = (DATA / "glosses.txt").read_text().splitlines()
    choose, made = random.Random(3), []
    count = MODELS[name]
    for index in range(count):
        wanted = 16 + (512 - 16) * index // max(count - 1, 1)
        words = " ".join(choose.choice(lines) for _ in range(60)).split()
        ids = tokenizer(" ".join(words), add_special_tokens=False)["input_ids"][:wanted - 2]
        made.append(tokenizer.decode(ids, clean_up_tokenization_spaces=False))
    choose.shuffle(made)
    return made


def work(contender, name, folder, threads):
    """Runs a peer in this process; prints seconds, and saves the vectors."""
    import numpy

    lines = Path(folder / "texts.txt").read_text().splitlines()
    if contender == "model2vec":
        from model2vec import StaticModel

        encode = StaticModel.from_pretrained(folder).encode
    elif contender == "sentence-transformers":
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)
        model = SentenceTransformer(str(folder), device="cpu")
        encode = lambda all_lines: model.encode(all_lines, batch_size=32)
    else:
        import onnxruntime
        import transformers as tf

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])
        tokenizer = tf.AutoTokenizer.from_pretrained(folder / "plain")

        def encode(all_lines):
            # As sentence-transformers: sorted by length, in batches of 32.
            order = sorted(range(len(all_lines)), key=lambda index: -len(all_lines[index]))
            vectors = [None] * len(order)
            for start in range(0, len(order), 32):
                part = order[start:start + 32]
                batch = tokenizer([all_lines[index] for index in part], padding=True, truncation=True, max_length=512, return_tensors="np")
                mask = batch["attention_mask"]
                # What stands in the states of padding may be no number.
                states = session.run(None, {"input_ids": batch["input_ids"], "attention_mask": mask})[0]
                means = numpy.where(mask[..., None] == 1, states, 0).sum(1) / mask.sum(1, keepdims=True)
                means /= numpy.linalg.norm(means, axis=1, keepdims=True)
                for index, vector in zip(part, means):
                    vectors[index] = vector
            return numpy.array(vectors)

    encode(lines[:1])
    start = time.perf_counter()
    vectors = encode(lines)
    print(json.dumps({"seconds": time.perf_counter() - start}))
    numpy.save(folder / f"{contender}.npy", vectors)


def execute(command, env):
    """What a command prints; ends with its errors if it fails."""
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def run(contender, name, folder, threads):
    """The seconds of a contender."""
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "true", "RAYON_NUM_THREADS": str(threads)}
    if contender == "gristmill":
        with tempfile.TemporaryDirectory() as place:
            report = Path(place, "report.json")
            execute([EMBED, "--model", folder, folder / "texts.txt", "--out", folder / "gristmill.npy", "--device", "cpu",
                     "--workers", str(threads), "--report", report], env)
            return json.loads(report.read_text())["seconds"]
    command = [sys.executable, __file__, "--work", contender, "--models", name, "--folder", folder, "--threads", str(threads)]
    return json.loads(execute(command, env).splitlines()[-1])["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        return work(options.work, options.models, options.folder, options.threads)
    import numpy

    print("| model | texts | contender | seconds | time, this / gristmill | least cosine |\n|---|---:|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as place:
        for name in options.models.split(","):
            folder = (options.folder or Path(place)) / name
            if not folder.exists():
                folder.mkdir(parents=True)
                make(name, folder)
            lines = texts(name, folder)
            (folder / "texts.txt").write_text("\n".join(lines) + "\n")
            contenders = ["gristmill", "model2vec"] if name == "model2vec" else CONTENDERS
            seconds = {contender: [] for contender in contenders}
            for number in range(options.rounds):
                turn = number % len(contenders)
                for contender in contenders[turn:] + contenders[:turn]:
                    seconds[contender].append(run(contender, name, folder, options.threads))
            own = numpy.load(folder / "gristmill.npy")
            for contender, all_seconds in seconds.items():
                other = numpy.load(folder / f"{contender}.npy")
                cosine = (own * other).sum(1) / numpy.linalg.norm(own, axis=1) / numpy.linalg.norm(other, axis=1)
                ratio = statistics.median(this / ours for this, ours in zip(all_seconds, seconds["gristmill"]))
                print(f"| {name} | {len(lines)} | {contender} | {statistics.median(all_seconds):.2f} | {ratio:.2f} | {cosine.min():.6f} |", flush=True)


if __name__ == "__main__":
    main()

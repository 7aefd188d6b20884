"""Models that are made here: trees, recurrent layers, and graphs of bytes.

A maker takes a folder, writes `model.onnx` there, and returns the inputs and what else is measured on them.
"""

from functools import partial

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from models.contenders import own_trees
from models.files import MODELS, ROOT, real


def trees(threads):
    """A thousand trees of 31 leaves over 30 columns, and 100,000 rows."""

    def make(folder):
        import lightgbm
        from onnxmltools import convert_lightgbm
        from onnxmltools.convert.common.data_types import FloatTensorType

        random = np.random.default_rng(1)
        x = random.standard_normal((100_000, 30)).astype(np.float32)
        noise = 0.3 * random.standard_normal(len(x))
        y = (x[:, 0] * x[:, 1] + np.sin(x[:, 2] * 3) + noise > 0).astype(int)
        model = lightgbm.LGBMClassifier(n_estimators=1000, num_leaves=31, n_jobs=threads, verbose=-1)
        model.fit(x[:20_000], y[:20_000])
        kinds = [("x", FloatTensorType([None, 30]))]
        converted = convert_lightgbm(model, initial_types=kinds, zipmap=False, target_opset=15)
        (folder / "model.onnx").write_bytes(converted.SerializeToString())
        model.booster_.save_model(folder / "model.txt")
        return x, {"LightGBM": partial(own_trees, threads=threads)}

    return make


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


TEXTS = 300


def quantized_text(kind):
    """MiniLM with dynamically quantized weights over texts of 32 tokens."""

    def make(folder):
        from onnxruntime.quantization import quantize_dynamic

        quantize_dynamic(ROOT / "tests" / "data" / "minilm.onnx", folder / "model.onnx", weight_type=kind)
        shape = (TEXTS, 32)
        tokens = np.random.default_rng(0).integers(1_000, 20_000, shape)
        return {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}, {}

    return make


def quantized_images(form):
    """The classifier of text lines with its own weights and activations as bytes, a scale for each filter."""
    name = "rapidocr-onnxruntime.models.ch_ppocr_mobile_v2.0_cls_infer"

    def make(folder):
        import onnxruntime
        from onnxruntime.quantization import CalibrationDataReader, quantize_static

        x, others = real(name, 300)(folder)
        operand = onnxruntime.InferenceSession(str(folder / "model.onnx")).get_inputs()[0].name

        class Reader(CalibrationDataReader):
            left = iter([{operand: x[at : at + 1]} for at in range(4)])

            def get_next(self):
                return next(self.left, None)

        quantize_static(MODELS / f"{name}.onnx", folder / "model.onnx", Reader(), quant_format=form, per_channel=True)
        return x, others

    return make

"""Writes a BERT encoder from a Hugging Face folder as an f32 ONNX graph: minilm_onnx.py DIR OUT.onnx [--opset N]

Inputs `input_ids`, `attention_mask`, `token_type_ids` (int64 [batch, sequence]); outputs `last_hidden_state`
(f32 [batch, sequence, hidden]) and `sentence_embedding` (f32 [batch, hidden]: mean over the mask, length one).
From opset 17 on layer norm is one operator; below it is spelled out, as exporters of that time did.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

F32_LOWEST = np.finfo(np.float32).min


class Builder:
    """Collects nodes and initializers; every method returns the name of the value that it made."""

    def __init__(self, weights, opset):
        self.weights, self.opset = weights, opset
        self.nodes, self.initializers = [], {}

    def weight(self, name, transpose=False):
        key = name + ".T" if transpose else name
        if key not in self.initializers:
            array = self.weights[name].astype(np.float32)
            array = np.ascontiguousarray(array.T) if transpose else array
            self.initializers[key] = numpy_helper.from_array(array, key)
        return key

    def ints(self, *values):
        key = "ints_" + "_".join(str(value) for value in values)
        self.initializers.setdefault(key, numpy_helper.from_array(np.array(values, np.int64), key))
        return key

    def scalar(self, value, dtype=np.float32):
        return self.op("Constant", value=numpy_helper.from_array(np.array(value, dtype)))

    def op(self, kind, *inputs, out=None, **attributes):
        name = out or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def linear(self, x, name):
        product = self.op("MatMul", x, self.weight(name + ".weight", transpose=True))
        return self.op("Add", product, self.weight(name + ".bias"))

    def layer_norm(self, x, name, epsilon, out=None):
        gain, bias = self.weight(name + ".weight"), self.weight(name + ".bias")
        if self.opset >= 17:
            return self.op("LayerNormalization", x, gain, bias, out=out, axis=-1, epsilon=epsilon)
        centred = self.op("Sub", x, self.op("ReduceMean", x, axes=[-1], keepdims=1))
        square = self.op("Pow", centred, self.scalar(2.0))
        variance = self.op("Add", self.op("ReduceMean", square, axes=[-1], keepdims=1), self.scalar(epsilon))
        unit = self.op("Div", centred, self.op("Sqrt", variance))
        return self.op("Add", self.op("Mul", unit, gain), bias, out=out)

    def gelu(self, x):
        erf = self.op("Erf", self.op("Div", x, self.scalar(np.sqrt(2.0))))
        scaled = self.op("Mul", x, self.op("Add", erf, self.scalar(1.0)))
        return self.op("Mul", scaled, self.scalar(0.5))


def build(folder, opset):
    config = json.loads(Path(folder, "config.json").read_text())
    weights = load_file(Path(folder, "model.safetensors"))
    weights = {name.removeprefix("bert."): array for name, array in weights.items()}
    hidden, heads, epsilon = config["hidden_size"], config["num_attention_heads"], config["layer_norm_eps"]
    size = hidden // heads
    b = Builder(weights, opset)

    length = b.op("Unsqueeze", b.op("Gather", b.op("Shape", "input_ids"), b.scalar(1, np.int64), axis=0), b.ints(0))
    positions = np.arange(config["max_position_embeddings"], dtype=np.int64)[None, :]
    b.initializers["position_ids"] = numpy_helper.from_array(positions, "position_ids")
    ids = b.op("Slice", "position_ids", b.ints(0), length, b.ints(1))
    x = b.op(
        "Add",
        b.op("Gather", b.weight("embeddings.word_embeddings.weight"), "input_ids"),
        b.op("Gather", b.weight("embeddings.token_type_embeddings.weight"), "token_type_ids"),
    )
    x = b.op("Add", x, b.op("Gather", b.weight("embeddings.position_embeddings.weight"), ids))
    x = b.layer_norm(x, "embeddings.LayerNorm", epsilon)

    keep = b.op("Cast", b.op("Unsqueeze", "attention_mask", b.ints(1, 2)), to=TensorProto.FLOAT)
    mask = b.op("Mul", b.op("Sub", b.scalar(1.0), keep), b.scalar(F32_LOWEST))

    layers = config["num_hidden_layers"]
    for i in range(layers):
        layer = f"encoder.layer.{i}."

        def heads_of(part, perm):
            split = b.op("Reshape", b.linear(x, f"{layer}attention.self.{part}"), b.ints(0, 0, heads, size))
            return b.op("Transpose", split, perm=perm)

        query, key, value = heads_of("query", [0, 2, 1, 3]), heads_of("key", [0, 2, 3, 1]), heads_of("value", [0, 2, 1, 3])
        scores = b.op("Div", b.op("MatMul", query, key), b.scalar(np.sqrt(size)))
        shares = b.op("Softmax", b.op("Add", scores, mask), axis=-1)
        context = b.op("Transpose", b.op("MatMul", shares, value), perm=[0, 2, 1, 3])
        context = b.linear(b.op("Reshape", context, b.ints(0, 0, hidden)), layer + "attention.output.dense")
        x = b.layer_norm(b.op("Add", context, x), layer + "attention.output.LayerNorm", epsilon)
        inner = b.gelu(b.linear(x, layer + "intermediate.dense"))
        outer = b.op("Add", b.linear(inner, layer + "output.dense"), x)
        x = b.layer_norm(outer, layer + "output.LayerNorm", epsilon, out="last_hidden_state" if i == layers - 1 else None)

    keep = b.op("Cast", b.op("Unsqueeze", "attention_mask", b.ints(2)), to=TensorProto.FLOAT)
    total = b.op("ReduceSum", b.op("Mul", x, keep), b.ints(1), keepdims=0)
    mean = b.op("Div", total, b.op("ReduceSum", keep, b.ints(1), keepdims=0))
    b.op("Div", mean, b.op("ReduceL2", mean, axes=[1], keepdims=1), out="sentence_embedding")

    rows = ["batch", "sequence"]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, rows)
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ]
    outputs = [
        helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*rows, hidden]),
        helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, ["batch", hidden]),
    ]
    graph = helper.make_graph(b.nodes, "bert", inputs, outputs, list(b.initializers.values()))
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model)
    return model


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--opset", type=int, choices=range(13, 18), default=17)
    arguments = parser.parse_args()
    onnx.save(build(arguments.folder, arguments.opset), arguments.out)

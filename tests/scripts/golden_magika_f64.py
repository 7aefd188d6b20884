"""The bundled model in double precision: what its formula says when no rounding interferes.

Reads tests/goldens/magika.npz and writes tests/goldens/magika_f64.npz: `probabilities` f64 [M, 214]. The graph takes a
variance as the mean of squares less the squared mean, which in single precision cancels where a file is nearly all
padding: engines then differ from each other, and this says by how much each is off. Plain NumPy, one file at a time.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parents[2]


def constants(model):
    """The model's tensors by the shapes and orders that the forward pass needs."""
    graph = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    def operand(op, index, nth=0):
        node = [node for node in model.graph.node if node.op_type == op][nth]
        return graph[node.input[index]].astype(np.float64)
    adds = [node for node in model.graph.node if node.op_type == "Add"]
    def row(suffix_in, shape):
        found = [graph[name] for node in adds for name in node.input if name in graph and list(graph[name].shape) == shape]
        return found[suffix_in].astype(np.float64)
    muls = [node for node in model.graph.node if node.op_type == "Mul"]
    def factor(shape):
        found = [graph[name] for node in muls for name in node.input if name in graph and list(graph[name].shape) == shape]
        return found[0].astype(np.float64)
    return {
        "table": operand("MatMul", 1, 0),
        "table_bias": row(0, [1, 1, 64]).reshape(64),
        "scale0": factor([1, 512, 1]).reshape(512, 1),
        "bias0": row(0, [1, 512, 1]).reshape(512, 1),
        "conv": operand("Conv", 1).reshape(512, 256, 5),
        "conv_bias": row(1, [1, 512, 1]).reshape(512),
        "scale1": factor([1, 512]).reshape(512),
        "bias1": row(0, [1, 512]).reshape(512),
        "dense": operand("MatMul", 1, 1),
        "dense_bias": row(0, [1, 214]).reshape(214),
    }


def gelu(x):
    return 0.5 * x * (1 + np.tanh(0.7978845834732056 * (x + 0.044714998453855515 * x**3)))


def norm(x, axis, scale, bias):
    mean = x.mean(axis, keepdims=True)
    return (x - mean) / np.sqrt(x.var(axis, keepdims=True) + 9.999999974752427e-07) * scale + bias


def forward(c, tokens):
    table = gelu(np.vstack([c["table"], np.zeros(64)]) + c["table_bias"])
    x = norm(table[tokens].reshape(512, 256), 0, c["scale0"], c["bias0"])
    sums = sum(x[tap : tap + 508] @ c["conv"][:, :, tap].T for tap in range(5))
    x = gelu(sums + c["conv_bias"]).max(0)
    logits = norm(x, 0, c["scale1"], c["bias1"]) @ c["dense"] + c["dense_bias"]
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def main():
    model = onnx.load(ROOT / "examples/models/magika/model.onnx")
    c = constants(model)
    golden = np.load(ROOT / "tests/goldens/magika.npz")
    exact = np.stack([forward(c, tokens) for tokens in golden["features"]])
    error = np.abs(exact - golden["probabilities"]).max(1)
    print(f"{len(exact)} files; ONNX Runtime is off by at most {error.max():.6f}, by more than 1e-3 in {(error > 1e-3).sum()}")
    np.savez_compressed(ROOT / "tests/goldens/magika_f64.npz", probabilities=exact)


if __name__ == "__main__":
    main()

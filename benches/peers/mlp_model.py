"""Writes the perceptron 784-512-512-10 (relu, f32) and rows for it: mlp_model.py GRAPH.onnx ROWS.npz COUNT"""

import sys

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper, save

SIZES = (784, 512, 512, 10)


def main():
    graph_path, rows_path, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    random = np.random.default_rng(1)
    nodes, initializers, name = [], [], "x"
    for layer, (inputs, outputs) in enumerate(zip(SIZES, SIZES[1:])):
        last = layer == len(SIZES) - 2
        weight = random.normal(0, (2 / inputs) ** 0.5, (outputs, inputs)).astype(np.float32)
        bias = random.normal(0, 0.1, outputs).astype(np.float32)
        initializers += [numpy_helper.from_array(weight, f"w{layer}"), numpy_helper.from_array(bias, f"b{layer}")]
        product = "y" if last else f"h{layer}"
        nodes.append(helper.make_node("Gemm", [name, f"w{layer}", f"b{layer}"], [product], transB=1))
        name = product
        if not last:
            name = f"r{layer}"
            nodes.append(helper.make_node("Relu", [product], [name]))
    value = lambda name, size: helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", size])
    graph = helper.make_graph(nodes, "mlp", [value("x", SIZES[0])], [value("y", SIZES[-1])], initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    checker.check_model(model)
    save(model, graph_path)
    np.savez(rows_path, x=random.random((count, SIZES[0]), np.float32))


main()

"""Small ONNX models, made as tests want them."""

from pathlib import Path
from typing import Any

from onnx import TensorProto, checker, helper, save

F32, I64, TEXT, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.BOOL

Sizes = list[int | str]


def made(folder: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], *constants: Any) -> Path:
    """A model file of nodes."""
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    checker.check_model(model)
    path = folder / "model.onnx"
    save(model, str(path))
    return path


def value(name: str, kind: int, sizes: Sizes) -> Any:
    return helper.make_tensor_value_info(name, kind, sizes)


def identity(folder: Path, kind: int = F32, sizes: Sizes | None = None) -> Path:
    """``y`` is ``x``."""
    sizes = ["n", 2] if sizes is None else sizes
    node = helper.make_node("Identity", ["x"], ["y"])
    return made(folder, [node], [value("x", kind, sizes)], [value("y", kind, sizes)])


def scaled(folder: Path) -> Path:
    """``sum`` is ``a + b`` (f32 ``[n]``), ``pairs`` is ``c * c`` (f32 ``[n, 2]``)."""
    nodes = [helper.make_node("Add", ["a", "b"], ["sum"]), helper.make_node("Mul", ["c", "c"], ["pairs"])]
    inputs = [value("a", F32, ["n"]), value("b", F32, ["n"]), value("c", F32, ["n", 2])]
    return made(folder, nodes, inputs, [value("sum", F32, ["n"]), value("pairs", F32, ["n", 2])])


def lookup(folder: Path) -> Path:
    """``y`` is row ``x`` of a table with four rows: other indices fail in the run."""
    table = helper.make_tensor("table", F32, [4, 2], [0, 0, 1, 10, 2, 20, 3, 30])
    node = helper.make_node("Gather", ["table", "x"], ["y"])
    return made(folder, [node], [value("x", I64, ["n"])], [value("y", F32, ["n", 2])], table)

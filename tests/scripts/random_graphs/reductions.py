"""Reductions and norms."""

import math

import numpy as np

from builder import FLOATS, Refused

REDUCTIONS = ["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSumExp",
              "ReduceSumSquare", "ReduceLogSum"]
EXACT = ["ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceSumSquare"]


def filled(x):
    if any(0 in array.shape for array in x.arrays):
        raise Refused("ONNX Runtime leaves axes of a reduction of nothing as they are")


def is_exact_product(array):
    return math.prod(max(1, abs(x)) for x in array.reshape(-1).tolist()) < 2**53


def reduce(g):
    op = g.random.choice(REDUCTIONS)
    dtypes = FLOATS + ((np.int64, np.int32) if op not in ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp") else ())
    if op in ("ReduceMax", "ReduceMin"):
        dtypes += (np.int8, np.uint8)
    x = g.pick(dtypes, exact=op in ("ReduceLogSum", "ReduceProd"))
    if op == "ReduceLogSum":
        x = g.one("Exp", [x]) if g.chance(0.3) else g.one("Add", [g.one("Abs", [x], exact=True),
                                                                 g.parameter(0.5, dtype=x.dtype)], exact=True)
    filled(x)
    if op == "ReduceProd" and np.dtype(x.dtype).kind == "i" and not all(is_exact_product(x) for x in x.arrays):
        raise Refused("ONNX Runtime rounds the products of integers to f64")
    count = g.random.randint(0, x.rank)
    axes = g.random.sample(range(x.rank), count)
    axes = [axis - x.rank if g.opset >= 11 and g.chance(0.3) else axis for axis in axes]
    keep = g.random.choice([None, 0, 1])
    exact = op in EXACT
    if g.opset >= (13 if op == "ReduceSum" else 18):
        noop = g.random.choice([None, 0, 1])
        operand = None if not axes and g.chance(0.7) else g.parameter(axes)
        return g.one(op, [x, operand], exact=exact, keepdims=keep, noop_with_empty_axes=noop)
    return g.one(op, [x], exact=exact, keepdims=keep, axes=axes or None)


def softmax(g):
    x = g.pick(FLOATS, rank=(1, 4))
    op = g.random.choice(["Softmax", "LogSoftmax", "Softmax", "Hardmax"])
    if op == "Hardmax" and not x.exact:
        raise Refused("steep")
    axis = g.axis(x) if g.opset >= 11 else g.axis(x) % x.rank
    g.one(op, [x], exact=op == "Hardmax", axis=axis if g.chance(0.8) else None)


def weights(g, count, constant=0.8):
    return g.fresh(np.float32, [(count, count)], constant=constant)


def layer_norm(g):
    if g.opset < 17:
        raise Refused("no LayerNormalization")
    x = g.pick(FLOATS, rank=(1, 4), exact=True)
    axis = g.axis(x)
    sizes = x.sizes[axis:]
    op = g.random.choice(["LayerNormalization", "LayerNormalization", "RMSNormalization"])
    scale = g.fresh(x.dtype, sizes)
    bias = g.fresh(x.dtype, sizes) if g.chance(0.6) and op == "LayerNormalization" else None
    g.one(op, [x, scale, bias], axis=axis, epsilon=g.random.choice([None, 0.01]))


def composed_layer_norm(g):
    """A layer norm in parts."""
    x = g.pick((np.float32,), rank=(2, 4), exact=True)

    def mean(y):
        filled(y)
        return g.one("ReduceMean", [y], axes=[-1]) if g.opset < 18 else g.one("ReduceMean", [y, g.parameter([-1])])
    if g.opset < 11:
        raise Refused("axes from the back")
    centered = g.one("Sub", [x, mean(x)])
    squares = g.one("Pow", [centered, g.parameter(2, dtype=np.float32)]) if g.chance(0.5) else g.one("Mul", [centered] * 2)
    deviation = g.one("Sqrt", [g.one("Add", [mean(squares), g.parameter(0.01, dtype=np.float32)])])
    y = g.one("Div", [centered, deviation])
    y = g.one("Mul", [y, g.beside(y)])
    g.one("Add", [y, g.beside(y)])


def channel_norm(g):
    x = g.pick(FLOATS, rank=(2, 4), exact=True)
    channels = x.sizes[1]
    if len(set(channels)) > 1 or channels[0] == 0:
        raise Refused("channels")
    op = g.random.choice(["BatchNormalization", "InstanceNormalization", "GroupNormalization"])
    scale, bias = (g.fresh(x.dtype, [channels], constant=0.8) for _ in range(2))
    epsilon = g.random.choice([None, 0.01])
    if op == "BatchNormalization":
        mean, variance = g.fresh(x.dtype, [channels], constant=0.9), g.fresh(x.dtype, [channels], 0.5, 3, constant=0.9)
        return g.one(op, [x, scale, bias, mean, variance], epsilon=epsilon)
    if op == "InstanceNormalization":
        return g.one(op, [x, scale, bias], epsilon=epsilon)
    if g.opset < 21:
        raise Refused("no GroupNormalization")
    groups = g.random.choice([n for n in range(1, channels[0] + 1) if channels[0] % n == 0])
    return g.one(op, [x, scale, bias], epsilon=epsilon, num_groups=groups)


def other_norm(g):
    op = g.random.choice(["LpNormalization", "LRN", "MeanVarianceNormalization"])
    x = g.pick(FLOATS, rank=(3, 4), exact=True)
    if op == "LpNormalization":
        return g.one(op, [x], axis=g.axis(x), p=g.random.choice([None, 1, 2]))
    if op == "LRN":
        return g.one(op, [x], size=g.random.choice([1, 2, 3, 5]), alpha=g.random.choice([None, 0.5]), beta=0.5, bias=2.0)
    if g.opset < 9:
        raise Refused("no MeanVarianceNormalization")
    y = g.one(op, [x], axes=g.random.choice([None if x.rank == 4 else [0], [0, 2], [2], [-1]]))
    if y.spoiled:
        g.remove(y)
        raise Refused("ONNX Runtime leaves out the epsilon")


MAKERS = [reduce, reduce, reduce, softmax, layer_norm, composed_layer_norm, channel_norm, other_norm]

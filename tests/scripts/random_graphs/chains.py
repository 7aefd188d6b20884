"""Chains that compute shapes, as exporters write them."""

import numpy as np

from builder import FLOATS, RUNS, Refused
from moves import COMMON, axes_node


def fixed(g, array, dtype=np.int64):
    """A constant: what only a run tells of the number of sizes is no model's."""
    return g.constant(np.asarray(array, dtype))


def shape_of(g, x):
    start = end = None
    if g.opset >= 15 and g.chance(0.2):
        start, end = g.random.randint(-x.rank, x.rank), g.random.choice([None, x.rank, -1])
    return g.one("Shape", [x], start=start, end=end)


def size_at(g, x, axis):
    """One size as a vector of one element, or as a scalar."""
    shape = g.one("Shape", [x])
    kind = g.random.choice(["gather", "gather1", "slice", "split"])
    if kind == "gather":
        scalar = g.one("Gather", [shape, fixed(g, axis)], axis=0)
        return axes_node(g, "Unsqueeze", scalar, [0])
    if kind == "gather1":
        return g.one("Gather", [shape, fixed(g, [axis])], axis=0)
    if kind == "slice" and g.opset >= 10:
        axis %= x.rank
        return g.one("Slice", [shape, fixed(g, [axis]), fixed(g, [axis + 1]), fixed(g, [0])])
    axis %= x.rank
    parts = g.node("Split", [shape], x.rank, axis=0, num_outputs=x.rank if g.opset >= 18 else None)
    return parts[axis]


def arithmetic(g, size):
    """A size, perhaps computed on and back."""
    if g.chance(0.6):
        return size
    factor = g.random.choice([1, 2, 3])
    many = g.one("Mul", [size, fixed(g, [factor])])
    if g.chance(0.5):
        many = g.one("Cast", [g.one("Cast", [many], to=1, exact=True)], to=7)
    return g.one("Div", [many, fixed(g, [factor])])


def target_of(g, x, keep_all=False):
    """The sizes of a value in an order, as one vector, and the order."""
    order = list(range(x.rank))
    if not keep_all:
        g.random.shuffle(order)
    parts = [arithmetic(g, size_at(g, x, axis)) for axis in order]
    return parts


def reshaped(g):
    x = g.pick(COMMON, rank=(1, 4))
    parts = target_of(g, x)
    if len(parts) > 1 and g.chance(0.5):
        a, b = parts.pop(), parts.pop()
        parts.append(g.one("Mul", [a, b]))
    if g.chance(0.4):
        parts[g.random.randrange(len(parts))] = fixed(g, [-1])
    if g.chance(0.3):
        parts.insert(g.random.randint(0, len(parts)), fixed(g, [1]))
    g.one("Reshape", [x, g.one("Concat", parts, axis=0)], exact=True)


def reshaped_by_parts(g):
    """The leading sizes kept, the rest put together."""
    x = g.pick(COMMON, rank=(2, 4))
    if g.opset < 10:
        raise Refused("no Slice")
    shape = g.one("Shape", [x])
    front = g.one("Slice", [shape, fixed(g, [0]), fixed(g, [g.random.choice([1, -1, 2])])])
    target = g.one("Concat", [front, fixed(g, [-1])], axis=0)
    y = g.one("Reshape", [x, target], exact=True)
    if g.chance(0.6):
        y = g.one("Mul", [y, g.beside(y)], exact=True) if np.dtype(y.dtype).kind == "f" else y
        g.one("Reshape", [y, shape], exact=True)


def expanded(g):
    if g.opset < 8:
        raise Refused("no Expand")
    x = g.pick(COMMON, rank=(1, 4))
    target = g.one("Concat", target_of(g, x, True), axis=0)
    y = g.beside(x, g.random.choice(COMMON))
    if y.rank > x.rank:
        raise Refused("rank")
    if g.chance(0.3):
        one = g.one("ConstantOfShape", [fixed(g, [x.rank])], value=ones()) if g.opset >= 9 else None
        target = g.one("Where", [g.one("Equal", [target, fixed(g, [7] * x.rank)]), one, target]) if one else target
    g.one("Expand", [y, target], exact=True)


def ones():
    from onnx import numpy_helper
    return numpy_helper.from_array(np.array([1], np.int64), "one")


def filled(g):
    if g.opset < 9:
        raise Refused("no ConstantOfShape")
    from onnx import numpy_helper
    x = g.pick(COMMON, rank=(1, 4))
    dtype = g.random.choice([np.float32, np.int64, np.bool_, np.float64, np.int32])
    value = numpy_helper.from_array(g.numbers(dtype, (1,)), "value") if g.chance(0.7) else None
    y = g.one("ConstantOfShape", [shape_of(g, x)], exact=True, value=value)
    if dtype == x.dtype and value is not None and np.dtype(dtype).kind in "fi" and y.rank == x.rank:
        g.one("Add", [x, y], exact=True)


def counted(g):
    """Positions up to a size, added to a value."""
    if g.opset < 11:
        raise Refused("no Range")
    x = g.pick((np.float32, np.int64, np.float64), rank=(1, 4))
    axis = g.random.randrange(x.rank)
    size = g.one("Squeeze", [arithmetic(g, size_at(g, x, axis))])
    places = g.one("Range", [fixed(g, 0), size, fixed(g, 1)])
    if x.dtype != np.int64:
        places = g.one("Cast", [places], to={np.float32: 1, np.float64: 11}[x.dtype], exact=True)
    after = list(range(1, x.rank - axis))
    if after:
        places = axes_node(g, "Unsqueeze", places, after)
    g.one(g.random.choice(["Add", "Mul", "Sub"]), [x, places], exact=True)


def counted_by_value(g):
    """Numbers from one to another, which runs give."""
    if g.opset < 11:
        raise Refused("no Range")
    dtype = g.random.choice([np.int64, np.float32, np.int32, np.float64])
    start, step = g.random.choice([(0, 1), (1, 2), (5, -1), (-2, 3)])
    ends = [start + step * g.random.randint(0, 5) + g.random.choice([0, 0, 1]) for _ in range(RUNS)]
    parameters = [fixed(g, start, dtype=dtype), g.given([np.array(end, dtype) for end in ends]),
                  fixed(g, step, dtype=dtype)]
    g.one("Range", parameters, exact=True)


def sliced(g):
    """Cut to a size of another value, or to a part of its own."""
    if g.opset < 10:
        raise Refused("no Slice")
    x = g.pick(COMMON, rank=(1, 4))
    axis = g.random.randrange(x.rank)
    y = x if g.chance(0.5) else g.pick(COMMON, rank=(1, 4))
    size = size_at(g, y, g.random.randrange(y.rank))
    start, end = fixed(g, [0]), size
    kind = g.random.choice(["to", "half", "from", "last"])
    if kind == "half":
        end = g.one("Div", [size, fixed(g, [2])])
    elif kind == "from":
        start, end = g.one("Div", [size, fixed(g, [2])]), fixed(g, [2**63 - 1])
    elif kind == "last":
        start, end = g.one("Sub", [size, fixed(g, [1])]), size
    g.one("Slice", [x, start, end, fixed(g, [axis])], exact=True)


def padded(g):
    """Up to a multiple, as windows need it: the chain of PyTorch."""
    if g.opset < 11:
        raise Refused("no operand of pads")
    x = g.pick((np.float32, np.float64, np.int64), rank=(1, 4))
    axis = g.random.randrange(x.rank)
    size = size_at(g, x, axis)
    multiple = g.random.choice([2, 4])
    kind = g.random.choice(["mod", "up"])
    if kind == "mod":
        rest = g.one("Mod", [g.one("Neg", [size]), fixed(g, [multiple])])
    else:
        over = g.one("Div", [g.one("Add", [size, fixed(g, [multiple - 1])]), fixed(g, [multiple])])
        rest = g.one("Sub", [g.one("Mul", [over, fixed(g, [multiple])]), size])
    zeros = [fixed(g, [0] * (x.rank + axis))] if x.rank + axis else []
    after = [fixed(g, [0] * (x.rank - axis - 1))] if x.rank - axis - 1 else []
    pads = g.one("Concat", zeros + [rest] + after, axis=0)
    g.one("Pad", [x, pads], exact=True)


def torch_pads(g):
    """PyTorch's pads: a list from the last axis on, reversed in pairs."""
    if g.opset < 11:
        raise Refused("no operand of pads")
    x = g.pick((np.float32,), rank=(2, 4))
    own = [g.random.choice([0, 1, 2]) for _ in range(2 * g.random.randint(1, x.rank))]
    fill = g.one("ConstantOfShape", [g.one("Sub", [fixed(g, [2 * x.rank]), fixed(g, [len(own)])])])
    pads = g.one("Concat", [fixed(g, own), fill], axis=0)
    pads = g.one("Reshape", [pads, fixed(g, [-1, 2])])
    pads = g.one("Slice", [pads, fixed(g, [-1]), fixed(g, [-2**63 + 1]), fixed(g, [0]), fixed(g, [-1])])
    pads = g.one("Transpose", [pads], perm=[1, 0])
    pads = g.one("Cast", [g.one("Reshape", [pads, fixed(g, [-1])])], to=7)
    g.one("Pad", [x, pads], exact=True)


def heads(g):
    """A width split into heads and back."""
    x = g.fresh(np.float32, g.shape(2) + [(8, 8)], constant=0)
    batch, length = size_at(g, x, 0), size_at(g, x, 1)
    target = g.one("Concat", [batch, length if g.chance(0.5) else fixed(g, [-1]), fixed(g, [2]), fixed(g, [4])],
                   axis=0)
    y = g.one("Transpose", [g.one("Reshape", [x, target], exact=True)], exact=True, perm=[0, 2, 1, 3])
    scores = g.one("MatMul", [y, g.one("Transpose", [y], exact=True, perm=[0, 1, 3, 2])])
    weights = g.one("Softmax", [scores], axis=3)
    y = g.one("Transpose", [g.one("MatMul", [weights, y])], perm=[0, 2, 1, 3])
    g.one("Reshape", [y, g.one("Concat", [batch, length, fixed(g, [8])], axis=0)])


def counts(g):
    x = g.pick(COMMON)
    size = g.one("Size", [x])
    if g.chance(0.5):
        g.one("Mul", [g.one("Cast", [size], to=1, exact=True), fixed(g, 0.5, dtype=np.float32)], exact=True)


MAKERS = [reshaped, reshaped, reshaped_by_parts, expanded, filled, counted, counted_by_value, sliced, sliced, padded,
          torch_pads, heads, counts]

"""Elements picked, put and sorted by indices."""

import numpy as np

from builder import RUNS, Refused
from moves import COMMON, any_value, axes_node
from reductions import filled


def indices_for(g, sizes, shapes, dtype=np.int64, negative=True):
    """Indices below a size, one array of each shape for each run."""
    arrays = []
    for size, shape in zip(sizes, shapes):
        if size == 0:
            raise Refused("nothing to pick")
        arrays.append(g.numbers(dtype, shape, -size if negative and g.chance(0.5) else 0, size - 1))
    if all(x.shape == arrays[0].shape for x in arrays) and arrays[0].size and min(sizes) >= 1 and g.chance(0.6):
        least = min(sizes)
        arrays = [g.numbers(dtype, arrays[0].shape, 0, least - 1)] * RUNS
    return g.given(arrays, constant=0.6)


def gather(g):
    x = any_value(g, rank=(1, 4))
    axis = g.axis(x) if g.opset >= 11 else g.axis(x) % x.rank
    own = g.shape(g.random.randint(0, 2))
    shapes = list(zip(*own)) if own else [()] * RUNS
    dtype = np.int32 if g.chance(0.3) else np.int64
    g.one("Gather", [x, indices_for(g, x.sizes[axis], shapes, dtype, g.opset >= 11)], exact=True, axis=axis)


def gather_elements(g):
    if g.opset < 11:
        raise Refused("no GatherElements")
    x = any_value(g, rank=(1, 4))
    axis = g.axis(x)
    shapes = [list(array.shape) for array in x.arrays]
    wide = g.random.choice([1, 2, 4, None])
    for shape in shapes:
        shape[axis] = wide if wide else shape[axis]
        if g.chance(0.1):
            shape[0] = min(1, shape[0])
    g.one("GatherElements", [x, indices_for(g, x.sizes[axis], shapes)], exact=True, axis=axis)


def gather_nd(g):
    if g.opset < 11:
        raise Refused("no GatherND")
    x = any_value(g, rank=(1, 4))
    batch = g.random.randint(0, min(1, x.rank - 1)) if g.opset >= 12 else 0
    depth = g.random.randint(1, x.rank - batch)
    arrays = []
    count = g.random.randint(1, 3)
    for array in x.arrays:
        if 0 in array.shape:
            raise Refused("nothing to pick")
        parts = [g.numbers(np.int64, array.shape[:batch] + (count,), -size if g.chance(0.3) else 0, size - 1)
                 for size in array.shape[batch:batch + depth]]
        arrays.append(np.stack(parts, -1))
    g.one("GatherND", [x, g.given(arrays, numbers=1)], exact=True, batch_dims=batch if batch else None)


def scatter_elements(g):
    x = any_value(g, rank=(1, 4))
    axis = g.axis(x)
    op = "ScatterElements" if g.opset >= 11 else "Scatter"
    if op == "Scatter" and (g.opset < 9 or axis < 0):
        raise Refused("no Scatter")
    shapes = [list(array.shape) for array in x.arrays]
    unique = g.random.choice([1, 2])
    for shape in shapes:
        shape[axis] = min(unique, shape[axis])
    arrays = []
    for shape, size in zip(shapes, x.sizes[axis]):
        if size == 0 or 0 in shape:
            raise Refused("nothing to put")
        own = np.zeros(shape, np.int64)
        places = g.random.sample(range(size), shape[axis])
        places = [place - size if g.chance(0.3) and op != "Scatter" else place for place in places]
        view = np.moveaxis(own, axis, -1)
        view[...] = places
        arrays.append(own)
    updates = [g.numbers(x.dtype, shape) for shape in shapes]
    reduction = None
    if g.opset >= 16 and g.chance(0.5) and np.dtype(x.dtype).kind in "fi":
        reduction = g.random.choice(["add", "mul"] + (["min", "max"] if g.opset >= 18 else []))
    g.one(op, [x, g.given(arrays), g.given(updates)], exact=True, axis=axis, reduction=reduction)


def scatter_nd(g):
    if g.opset < 11:
        raise Refused("no ScatterND")
    x = any_value(g, rank=(1, 4))
    depth = g.random.randint(1, x.rank)
    indices, updates = [], []
    for array in x.arrays:
        if 0 in array.shape:
            raise Refused("nothing to put")
        every = list(np.ndindex(*array.shape[:depth]))
        some = g.random.sample(every, min(len(every), 2))
        indices.append(np.array(some, np.int64).reshape(len(some), depth))
        updates.append(g.numbers(x.dtype, (len(some),) + array.shape[depth:]))
    reduction = None
    if g.opset >= 16 and g.chance(0.5) and np.dtype(x.dtype).kind in "fi":
        reduction = g.random.choice(["add", "mul"] + (["min", "max"] if g.opset >= 18 else []))
    g.one("ScatterND", [x, g.given(indices, numbers=1), g.given(updates)], exact=True, reduction=reduction)


def top_k(g):
    x = g.pick((np.float32, np.int64, np.float64, np.int32), rank=(1, 4), exact=True)
    axis = g.axis(x) if g.opset >= 11 else g.axis(x) % x.rank
    k = g.random.randint(1, max(1, min(x.sizes[axis])))
    outputs = g.random.choice([2, 2, [True, False], [False, True]])
    if g.opset < 10:
        return g.node("TopK", [x], outputs, exact=True, axis=axis, k=k)
    attributes = {"largest": g.random.choice([None, 0, 1]), "sorted": 1} if g.opset >= 11 else {}
    return g.node("TopK", [x, g.parameter([k])], outputs, exact=True, axis=axis, **attributes)


def arg(g):
    x = g.pick((np.float32, np.float64, np.int32, np.uint8), rank=(1, 4), exact=True)
    if any(0 in array.shape for array in x.arrays):
        raise Refused("nothing to choose from")
    axis = g.axis(x) if g.opset >= 11 else g.axis(x) % x.rank
    last = g.random.choice([None, 0, 1]) if g.opset >= 12 else None
    g.one(g.random.choice(["ArgMax", "ArgMin"]), [x], axis=axis, keepdims=g.random.choice([None, 0, 1]),
          select_last_index=last)


def one_hot(g):
    """ONNX Runtime does not round indices that are floats, as ONNX says."""
    if g.opset < 9:
        raise Refused("no OneHot")
    x = g.pick((np.int64, np.int32), rank=(0, 3), exact=True)
    depth = g.random.randint(2, 5)
    dtype = g.random.choice([np.float32, np.int64, np.bool_ if g.chance(0.1) else np.int32])
    axis = g.random.randint(-x.rank - 1, x.rank)
    depth = g.parameter(depth) if g.chance(0.5) else g.parameter([depth])
    g.one("OneHot", [x, depth, g.parameter([0, 1] if g.chance(0.5) else [2, 5], dtype=dtype)], exact=True,
          axis=axis if g.chance(0.7) else None)


def non_zero(g):
    """ONNX Runtime finds one axis in a scalar, and ONNX none."""
    if g.opset < 9:
        raise Refused("no NonZero")
    x = g.pick((np.float32, np.int64, np.bool_, np.int32), rank=(1, 5), exact=True)
    places = g.one("NonZero", [x])
    if g.chance(0.4) and x.rank and g.opset >= 11:
        g.one("GatherND", [x, g.one("Transpose", [places], perm=[1, 0])], exact=True)


def compress(g):
    if g.opset < 9:
        raise Refused("no Compress")
    x = any_value(g, rank=(1, 4))
    axis = g.axis(x) if g.chance(0.7) else None
    if g.opset < 11 and axis is not None:
        axis %= x.rank
    sizes = x.sizes[axis] if axis is not None else [array.size for array in x.arrays]
    masks = [g.numbers(np.bool_, (g.random.randint(1, max(1, size)),)) for size in sizes]
    g.one("Compress", [x, g.given(masks)], exact=True, axis=axis)


def unique(g):
    if g.opset < 11:
        raise Refused("no Unique")
    x = g.pick((np.float32, np.int64, np.float64), rank=(1, 3), exact=True)
    axis = g.axis(x) if g.chance(0.4) else None
    g.node("Unique", [x], g.random.choice([1, 2, 3, 4]), exact=True, axis=axis, sorted=g.random.choice([None, 0, 1]))


def cum_sum(g):
    if g.opset < 11:
        raise Refused("no CumSum")
    x = g.pick((np.float32, np.int64, np.float64, np.int32), rank=(1, 4))
    g.one("CumSum", [x, g.parameter(g.axis(x))], exact=True, exclusive=g.random.choice([None, 0, 1]),
          reverse=g.random.choice([None, 0, 1]))


def eye(g):
    if g.opset < 9:
        raise Refused("no EyeLike")
    x = g.pick(COMMON, rank=2)
    g.one("EyeLike", [x], exact=True, dtype=g.random.choice([None, 1, 7, 11]), k=g.random.choice([None, 1, -1, 2]))


def embedding(g):
    """Rows of a table, by indices that are checked by nothing else."""
    table = g.fresh(np.float32, [(6, 6), g.random.choice([(4, 4), (3, 3)])], constant=1)
    sizes = g.shape(g.random.randint(1, 2))
    shapes = list(zip(*sizes))
    ids = g.given([g.numbers(np.int64, shape, 0, 5) for shape in shapes], constant=0)
    y = g.one("Gather", [table, ids], exact=True)
    if g.chance(0.5):
        filled(y)
        g.one("ReduceMean", [y], axes=[1]) if g.opset < 18 else g.one("ReduceMean", [y, g.parameter([1])])


MAKERS = [gather, gather, gather_elements, gather_nd, scatter_elements, scatter_nd, top_k, arg, one_hot, non_zero, compress,
          unique, cum_sum, eye, embedding]

"""Elements moved, repeated, put together and cut."""

import numpy as np

from builder import FLOATS, INTEGERS, RUNS, Refused

ANY = FLOATS + INTEGERS + (np.bool_, np.object_)
COMMON = (np.float32, np.int64, np.float64, np.bool_, np.int32, np.float16)


def any_value(g, **kind):
    return g.pick(ANY if g.chance(0.1) else COMMON, **kind)


def axes_node(g, op, x, axes):
    """An operator whose axes were an attribute before opset 13."""
    if g.opset < 13:
        return g.one(op, [x], exact=True, axes=axes)
    return g.one(op, [x, g.parameter(axes)], exact=True)


def transpose(g):
    x = any_value(g)
    axes = list(range(x.rank))
    g.random.shuffle(axes)
    g.one("Transpose", [x], exact=True, perm=axes if g.chance(0.8) and axes else None)


def reshape(g):
    x = any_value(g, rank=(1, 4))
    shapes = [list(array.shape) for array in x.arrays]
    rank = x.rank
    kind = g.random.choice(["merge", "flat", "split", "copy", "row"])
    if kind == "flat":
        target = [-1]
    elif kind == "row":
        target = [1, -1] if g.chance(0.5) else [-1, 1]
    elif kind == "copy":
        target = [0] * rank + ([1] if g.chance(0.5) else [])
        target[g.random.randrange(rank)] = -1
    elif kind == "merge" and rank > 1:
        at = g.random.randrange(rank - 1)
        target = [0 if g.chance(0.5) and axis < at or len({s[axis] for s in shapes}) > 1 else shapes[0][axis]
                  for axis in range(rank)]
        target[at:at + 2] = [-1]
        # A zero copies the size of its own place.
        if any(size == 0 for size in target[at + 1:]):
            raise Refused("a size that is not known")
    else:
        at = g.random.randrange(rank)
        sizes = {s[at] for s in shapes}
        parts = [n for n in range(1, 5) if all(size % n == 0 for size in sizes)]
        part = g.random.choice(parts)
        target = [0] * at + ([part, -1] if g.chance(0.5) else [-1, part])
        rest = [{s[axis] for s in shapes} for axis in range(at + 1, rank)]
        if any(len(own) > 1 for own in rest):
            raise Refused("two sizes that are not known")
        target += [own.pop() for own in rest]
    g.one("Reshape", [x, g.parameter(target)], exact=True)


def reshape_by_value(g):
    """A shape that each run gives."""
    x = any_value(g, rank=(1, 4))
    targets = []
    for array in x.arrays:
        size = array.size
        parts = [n for n in range(1, 7) if size and size % n == 0] or [1]
        part = g.random.choice(parts)
        targets.append([part, size // part])
    g.one("Reshape", [x, g.input([np.array(target) for target in targets], numbers=1)], exact=True)


def flatten(g):
    x = any_value(g, rank=(1, 4))
    axis = g.random.randint(0, x.rank)
    if g.opset >= 11 and g.chance(0.3):
        axis = g.random.randint(-x.rank, -1)
    g.one("Flatten", [x], exact=True, axis=axis if g.chance(0.8) else None)


def squeeze(g):
    x = any_value(g)
    ones = [axis for axis, sizes in enumerate(x.sizes) if set(sizes) == {1}]
    if not ones and not g.chance(0.1):
        raise Refused("nothing to leave out")
    if not ones or g.chance(0.05):
        return g.one("Squeeze", [x], exact=True)
    some = g.random.sample(ones, g.random.randint(1, len(ones)))
    some = [axis - x.rank if g.opset >= 11 and g.chance(0.3) else axis for axis in some]
    return axes_node(g, "Squeeze", x, some)


def unsqueeze(g):
    x = any_value(g, rank=(0, 3))
    count = g.random.randint(1, 2)
    axes = g.random.sample(range(x.rank + count), count)
    axes = [axis - x.rank - count if g.opset >= 11 and g.chance(0.3) else axis for axis in axes]
    return axes_node(g, "Unsqueeze", x, axes)


def concat(g):
    x = any_value(g, rank=(1, 4))
    axis = g.axis(x)
    parts = [x]
    for _ in range(g.random.randint(0, 2)):
        sizes = list(x.sizes)
        sizes[axis] = g.random.choice(g.pool)
        own = [y for y in g.seen() if not y.spoiled and y.dtype == x.dtype and y.rank == x.rank
               and all(a == b for at, (a, b) in enumerate(zip(y.sizes, x.sizes)) if at != axis % x.rank)]
        parts.append(g.random.choice(own) if g.chance(0.6) and own else g.fresh(x.dtype, sizes))
    g.random.shuffle(parts)
    if g.opset < 11:
        axis %= x.rank
    g.one("Concat", parts, exact=True, axis=axis)


def split(g):
    x = any_value(g, rank=(1, 4))
    axis = g.axis(x)
    if g.opset < 11:
        axis %= x.rank
    sizes = x.sizes[axis]
    count = g.random.randint(1, 3)
    if len(set(sizes)) == 1 and g.chance(0.6):
        cuts = sorted(g.random.randint(0, sizes[0]) for _ in range(count - 1))
        parts = [b - a for a, b in zip([0] + cuts, cuts + [sizes[0]])]
        if g.opset < 13:
            return g.node("Split", [x], count, exact=True, axis=axis, split=parts)
        return g.node("Split", [x, g.parameter(parts)], count, exact=True, axis=axis)
    outputs = [g.chance(0.9) for _ in range(count)]
    outputs = outputs if any(outputs) else [True] * count
    return g.node("Split", [x], outputs, exact=True, axis=axis, num_outputs=count if g.opset >= 18 else None)


def slice_(g):
    x = any_value(g, rank=(1, 4))
    axes = g.random.sample(range(x.rank), g.random.randint(1, min(2, x.rank)))
    if g.chance(0.2):
        axes = list(range(len(axes)))
    starts, ends, steps = [], [], []
    for _ in axes:
        step = g.random.choice([1, 1, 1, 1, 2, 3, -1, -2]) if g.opset >= 10 else 1
        starts.append(g.random.choice([0, 0, 1, 2, -1, -2, -3, -100] if step > 0 else [-1, -1, -2, 100, 3, 1]))
        ends.append(g.random.choice([-1, 1, 2, 3, 5, 100, 2**31 - 1, 2**63 - 1] if step > 0
                                    else [0, -100, -2**31, 1, -3, -2**63 + 1]))
        steps.append(step)
    named = [axis - x.rank if g.opset >= 10 and g.chance(0.3) else axis for axis in axes]
    if g.opset < 10:
        return g.one("Slice", [x], exact=True, starts=starts, ends=ends, axes=named)
    dtype = np.int32 if g.chance(0.2) and all(abs(end) < 2**31 for end in ends) else np.int64
    is_first = axes == list(range(len(axes)))
    names = None if is_first and g.chance(0.5) else g.parameter(named, dtype=dtype)
    by = None if all(step == 1 for step in steps) and g.chance(0.7) else g.parameter(steps, dtype=dtype)
    return g.one("Slice", [x, g.parameter(starts, dtype=dtype), g.parameter(ends, dtype=dtype), names, by], exact=True)


def expand(g):
    if g.opset < 8:
        raise Refused("no Expand")
    x = any_value(g, rank=(0, 3))
    shapes = []
    at = [g.chance(0.3) for _ in range(x.rank)]
    more = [g.random.choice(g.pool)[0] for _ in range(g.random.randint(0, 1))]
    wide = g.random.choice([2, 3])
    for array in x.arrays:
        own = [1 if ones else (wide if size == 1 and g.chance(0.5) else size) for size, ones in zip(array.shape, at)]
        shapes.append(more + own[(g.random.randint(0, x.rank) if not more and g.chance(0.1) else 0):])
    g.one("Expand", [x, g.parameter(*shapes) if len({len(s) for s in shapes}) == 1 else g.parameter(shapes[0])], exact=True)


def tile(g):
    x = any_value(g, rank=(1, 4))
    g.one("Tile", [x, g.parameter([g.random.choice([1, 1, 2, 3]) for _ in range(x.rank)])], exact=True)


def pad(g):
    x = g.pick((np.float32, np.float64, np.int64, np.int32, np.float16), rank=(1, 4))
    mode = g.random.choice(["constant", "constant", "reflect", "edge"] + (["wrap"] if g.opset >= 19 else []))
    pads = [g.random.choice([0, 0, 1, 2] + ([-1] if mode == "constant" else [])) for _ in range(2 * x.rank)]
    if mode == "reflect" and any(min(sizes) < 3 for sizes in x.sizes):
        pads = [0 if min(x.sizes[at % x.rank]) < 3 else pad for at, pad in enumerate(pads)]
    if g.opset < 11:
        return g.one("Pad", [x], exact=True, pads=pads, mode=mode, value=g.random.choice([0.0, 1.5]))
    value = g.parameter(g.random.choice([0, 2]), dtype=x.dtype) if mode == "constant" and g.chance(0.6) else None
    axes = None
    if g.opset >= 18 and g.chance(0.4):
        count = g.random.randint(1, x.rank)
        own = g.random.sample(range(x.rank), count)
        pads = [pads[axis] for axis in own] + [pads[axis + x.rank] for axis in own]
        axes = g.parameter([axis - x.rank if g.chance(0.3) else axis for axis in own])
    return g.one("Pad", [x, g.parameter(pads), value, axes], exact=True, mode=mode)


def blocks(g):
    op = g.random.choice(["DepthToSpace", "SpaceToDepth"])
    sizes = g.shape(1) + [(4, 4) if g.chance(0.5) else (8, 8), (2, 2) if g.chance(0.5) else (4, 2), (2, 6)]
    x = g.fresh(np.float32, sizes, constant=0)
    mode = g.random.choice(["DCR", "CRD"]) if op == "DepthToSpace" and g.opset >= 11 else None
    g.one(op, [x], exact=True, blocksize=2, mode=mode)


def reverse_sequence(g):
    if g.opset < 10:
        raise Refused("no ReverseSequence")
    x = any_value(g, rank=(2, 4))
    batch, time = g.random.choice([(0, 1), (1, 0)])
    lengths = [np.array([g.random.randint(1, max(1, array.shape[time])) for _ in range(array.shape[batch])], np.int64)
               for array in x.arrays]
    if any(array.shape[time] == 0 for array in x.arrays):
        raise Refused("nothing to reverse")
    g.one("ReverseSequence", [x, g.given(lengths)], exact=True, batch_axis=batch, time_axis=time)


def trilu(g):
    if g.opset < 14:
        raise Refused("no Trilu")
    x = any_value(g, rank=(2, 4))
    k = g.parameter(g.random.choice([0, 1, -1, 2, -3])) if g.chance(0.7) else None
    g.one("Trilu", [x, k], exact=True, upper=g.random.choice([None, 0, 1]))


def center(g):
    if g.opset < 18:
        raise Refused("no CenterCropPad")
    x = any_value(g, rank=(1, 4))
    axes = g.random.sample(range(x.rank), g.random.randint(1, x.rank))
    sizes = [g.random.randint(1, 6) for _ in axes]
    named = [axis - x.rank if g.chance(0.3) else axis for axis in axes]
    g.one("CenterCropPad", [x, g.parameter(sizes)], exact=True, axes=named)


MAKERS = [transpose, transpose, reshape, reshape, reshape, reshape_by_value, flatten, squeeze, unsqueeze, concat, concat, split,
          slice_, slice_, slice_, expand, tile, pad, pad, blocks, reverse_sequence, trilu, center]

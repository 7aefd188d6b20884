"""Convolutions, pools and images."""

import numpy as np

from builder import RUNS, Refused

FLOATS = (np.float32, np.float32, np.float32, np.float64, np.float16)


def image(g, channels=None, dtype=None, spatial=None):
    """A value of samples, channels and places."""
    spatial = spatial or g.random.choice([1, 2, 2, 2, 3])
    own = [x for x in g.seen() if not x.spoiled and x.dtype == (dtype or np.float32) and x.rank == spatial + 2
           and len(set(x.sizes[1])) == 1 and (channels is None or x.sizes[1][0] == channels) and 0 not in x.sizes[1]]
    if own and g.chance(0.5):
        return g.random.choice(own)
    channels = channels or g.random.choice([1, 2, 3, 4, 6])
    places = [g.random.choice([(5, 5), (7, 6), (4, 9), (8, 8), (3, 3), (6, 6), (1, 2)]) for _ in range(spatial)]
    if spatial == 3:
        places = [g.random.choice([(3, 3), (4, 5), (2, 2)]) for _ in range(3)]
    batch = g.batch if g.batched else g.random.choice([(1, 1), (2, 2), (1, 3), (2, 1)])
    return g.fresh(dtype or g.random.choice(FLOATS), [batch, (channels, channels)] + places, constant=0)


def window(g, x, kernel=None, dilations=True):
    spatial = x.rank - 2
    kernel = kernel or [g.random.choice([1, 2, 3, 3, 5]) for _ in range(spatial)]
    attributes = {"kernel_shape": kernel}
    if g.chance(0.6):
        attributes["strides"] = [g.random.choice([1, 2, 3]) for _ in range(spatial)]
    if dilations and g.chance(0.4):
        attributes["dilations"] = [g.random.choice([1, 2, 3]) for _ in range(spatial)]
    kind = g.random.choice(["none", "pads", "pads", "auto"])
    if kind == "pads":
        attributes["pads"] = [g.random.randint(0, size - 1) for size in kernel * 2]
    elif kind == "auto":
        attributes["auto_pad"] = g.random.choice(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
    return attributes


def check(x, attributes):
    """Refuses what ONNX does not define: windows that are larger than what they lie on, and padding below zero."""
    spatial, kernel = x.rank - 2, attributes["kernel_shape"]
    ones = [1] * spatial
    extents = [(size - 1) * step + 1 for size, step in zip(kernel, attributes.get("dilations", ones))]
    pads = attributes.get("pads", [0] * 2 * spatial)
    if attributes.get("auto_pad", "").startswith("SAME"):
        # ONNX Runtime leaves the dilation out.
        if any(step > 1 for step in attributes.get("dilations", ones)):
            raise Refused("dilated windows over padding as needed")
        if any(stride > extent for stride, extent in zip(attributes.get("strides", ones), extents)):
            raise Refused("padding below zero")
        return
    for axis, sizes in enumerate(x.sizes[2:]):
        if min(sizes) + pads[axis] + pads[axis + spatial] < extents[axis]:
            raise Refused("a window that does not fit")


def conv(g):
    x = image(g)
    channels = x.sizes[1][0]
    group = g.random.choice([n for n in range(1, channels + 1) if channels % n == 0] + [1])
    filters = group * g.random.choice([1, 1, 2, 3])
    attributes = window(g, x)
    check(x, attributes)
    weights = [(filters,) * RUNS, (channels // group,) * RUNS] + [(size,) * RUNS for size in attributes["kernel_shape"]]
    weights = g.fresh(x.dtype, weights, -1, 1, constant=0.85)
    bias = g.fresh(x.dtype, [(filters,) * RUNS], constant=0.9) if g.chance(0.6) else None
    if g.chance(0.3):
        del attributes["kernel_shape"]
    y = g.one("Conv", [x, weights, bias], exact=True, group=group if group > 1 or g.chance(0.3) else None, **attributes)
    if g.chance(0.3):
        y = g.one("Add", [y, g.fresh(y.dtype, [(filters,) * RUNS] + [(1, 1)] * (x.rank - 2))], exact=True)
    if g.chance(0.4):
        g.one(g.random.choice(["Relu", "Sigmoid", "LeakyRelu"]), [y])


def conv_transpose(g):
    x = image(g)
    channels = x.sizes[1][0]
    group = g.random.choice([n for n in range(1, channels + 1) if channels % n == 0] + [1])
    filters = g.random.choice([1, 2, 3])
    attributes = window(g, x)
    weights = [(channels,) * RUNS, (filters,) * RUNS] + [(size,) * RUNS for size in attributes["kernel_shape"]]
    weights = g.fresh(x.dtype, weights, -1, 1, constant=0.85)
    bias = g.fresh(x.dtype, [(filters * group,) * RUNS], constant=0.9) if g.chance(0.6) else None
    if "strides" in attributes and g.chance(0.4):
        attributes["output_padding"] = [g.random.randint(0, stride - 1) for stride in attributes["strides"]]
    if g.chance(0.15) and "pads" not in attributes:
        attributes["output_shape"] = [max(sizes) * 2 + 1 for sizes in x.sizes[2:]]
    small = any(stride > size for stride, size in zip(attributes.get("strides", []), attributes["kernel_shape"]))
    if small and attributes.get("auto_pad", "").startswith("SAME"):
        raise Refused("ONNX Runtime makes less than ONNX says")
    g.one("ConvTranspose", [x, weights, bias], exact=True, group=group, **attributes)


def pool(g):
    x = image(g)
    op = g.random.choice(["MaxPool", "AveragePool", "MaxPool", "AveragePool", "LpPool"])
    dilations = g.opset >= (10 if op == "MaxPool" else 19)
    attributes = window(g, x, dilations=dilations)
    check(x, attributes)
    if g.opset >= (18 if op == "LpPool" else 10) and g.chance(0.4):
        attributes["ceil_mode"] = g.random.choice([0, 1])
    if op == "AveragePool" and g.chance(0.5):
        attributes["count_include_pad"] = 1
    if op == "LpPool" and g.chance(0.5):
        attributes["p"] = g.random.choice([1, 2, 3])
    if op == "MaxPool" and g.opset >= 8:
        if g.chance(0.3) and x.exact:
            if g.chance(0.3):
                attributes["storage_order"] = 1
            return g.node(op, [x], 2, exact=True, **attributes)
        if g.opset >= 12 and g.chance(0.1):
            small = g.fresh(g.random.choice([np.int8, np.uint8]), x.sizes, constant=0)
            return g.one(op, [small], exact=True, **attributes)
    return g.one(op, [x], exact=op == "MaxPool", **attributes)


def global_pool(g):
    op = g.random.choice(["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
    y = g.one(op, [image(g)], exact=op == "GlobalMaxPool")
    kind = g.random.random()
    if kind < 0.3:
        g.one("Flatten", [y], axis=1)
    elif kind < 0.6:
        g.one("Reshape", [y, g.parameter([0, -1])])


def resize(g):
    x = image(g, dtype=np.float32)
    spatial = x.rank - 2
    if g.opset < 10:
        scales = [1.0, 1.0] + [g.random.choice([1.0, 2.0, 3.0]) for _ in range(spatial)]
        mode = g.random.choice(["nearest", "linear"]) if spatial == 2 else "nearest"
        if g.opset < 9:
            return g.one("Upsample", [x], mode=mode, scales=scales)
        return g.one("Upsample", [x, g.parameter(scales, dtype=np.float32)], mode=mode)
    mode = g.random.choice(["nearest", "linear", "cubic", "nearest", "linear"])
    if mode == "cubic" and spatial != 2 or spatial == 3 and mode != "nearest":
        raise Refused("mode")
    scales = [1.0, 1.0] + [g.random.choice([0.5, 2.0, 1.5, 0.75, 1.0, 2.5]) for _ in range(spatial)]
    whole = all(size * scale % 1 == 0 for sizes, scale in zip(x.sizes, scales) for size in sizes)
    if g.opset == 10:
        return g.one("Resize", [x, g.parameter(scales, dtype=np.float32)], mode="nearest" if mode == "cubic" else mode)
    attributes = {"mode": mode}
    if g.chance(0.7):
        attributes["coordinate_transformation_mode"] = g.random.choice(
            ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
    if attributes.get("coordinate_transformation_mode") == "align_corners" and not whole:
        raise Refused("ONNX Runtime rounds the size, and ONNX does not")
    if mode == "nearest" and g.chance(0.7):
        attributes["nearest_mode"] = g.random.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
    if mode == "cubic" and g.chance(0.5):
        attributes["cubic_coeff_a"] = -0.5
    if mode == "cubic" and g.chance(0.3):
        attributes["exclude_outside"] = 1
    if g.opset >= 18 and mode != "nearest" and g.chance(0.2):
        attributes["antialias"] = 1
    roi = None if g.opset >= 13 else g.parameter([], dtype=np.float32)
    if g.chance(0.6):
        return g.one("Resize", [x, roi, g.parameter(scales, dtype=np.float32)], **attributes)
    targets = [list(array.shape[:2]) + [g.random.randint(1, 9) for _ in range(spatial)] for array in x.arrays]
    if g.chance(0.7):
        targets[1][2:] = targets[0][2:]
    if g.opset >= 18 and g.chance(0.5):
        sizes = g.parameter(targets[0][2:])
        return g.one("Resize", [x, roi, None, sizes], axes=list(range(2, x.rank)), **attributes)
    empty = None if g.opset >= 13 else g.parameter([], dtype=np.float32)
    if targets[0] == targets[1]:
        return g.one("Resize", [x, roi, empty, g.parameter(targets[0])], **attributes)
    # The leading sizes of the value itself, as exporters write it.
    shape = g.one("Slice", [g.one("Shape", [x]), g.parameter([0]), g.parameter([2])])
    sizes = g.one("Concat", [shape, g.parameter(targets[0][2:])], axis=0)
    return g.one("Resize", [x, roi, empty, sizes], **attributes)


def grid_sample(g):
    if g.opset < 16:
        raise Refused("no GridSample")
    x = image(g, dtype=np.float32, spatial=2)
    modes = ["bilinear", "nearest", "bicubic"] if g.opset < 20 else ["linear", "nearest", "cubic"]
    grid = g.fresh(np.float32, [x.sizes[0], (3, 3), (4, 2), (2, 2)], -1.5, 1.5, constant=0)
    g.one("GridSample", [x, grid], mode=g.random.choice(modes), align_corners=g.random.choice([None, 0, 1]),
          padding_mode=g.random.choice([None, "zeros", "border", "reflection"]))


def affine_grid(g):
    if g.opset < 20:
        raise Refused("no AffineGrid")
    theta = g.fresh(np.float32, [g.batch, (2, 2), (3, 3)], constant=0)
    sizes = [[batch, 2, 3, 4] for batch in g.batch]
    g.one("AffineGrid", [theta, g.parameter(*sizes)], align_corners=g.random.choice([None, 0, 1]))


MAKERS = [conv, conv, conv, conv, conv_transpose, conv_transpose, pool, pool, pool, global_pool, resize, resize, grid_sample,
          affine_grid]

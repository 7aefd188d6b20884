"""Bytes for numbers."""

import numpy as np

from builder import RUNS, Refused

BYTES = (np.uint8, np.int8)


def scale(g, sizes=()):
    value = g.random.choice([0.125, 0.25, 0.5])
    return np.full(sizes, value, np.float32) if g.chance(0.7) else (g.numbers(np.float32, sizes, 0.125, 1))


def quantize(g):
    if g.opset < 10:
        raise Refused("no QuantizeLinear")
    x = g.pick((np.float32, np.float32, np.float16 if g.opset >= 19 else np.float32), exact=True)
    to = g.random.choice(BYTES + ((np.int16, np.uint16) if g.opset >= 21 else ()))
    axis, sizes = None, ()
    if g.opset >= 13 and x.rank and g.chance(0.4):
        axis = g.axis(x)
        if len(set(x.sizes[axis])) > 1:
            raise Refused("axis")
        sizes = (x.sizes[axis][0],)
    s = g.parameter(scale(g, sizes), dtype=x.dtype)
    zero = g.parameter(g.numbers(to, sizes, 0, 100), dtype=to) if to != np.uint8 or g.chance(0.7) else None
    y = g.one("QuantizeLinear", [x, s, zero], axis=axis)
    if g.chance(0.6):
        g.one("DequantizeLinear", [y, s, zero], exact=True, axis=axis)


def dequantize(g):
    if g.opset < 10:
        raise Refused("no DequantizeLinear")
    x = g.pick(BYTES + (np.int32,), old=0.5)
    zero = g.parameter(g.random.randint(0, 9), dtype=x.dtype) if x.dtype != np.int32 and g.chance(0.7) else None
    g.one("DequantizeLinear", [x, g.parameter(0.25, dtype=np.float32), zero], exact=True)


def dynamic(g):
    if g.opset < 11:
        raise Refused("no DynamicQuantizeLinear")
    g.node("DynamicQuantizeLinear", [g.pick(np.float32, exact=True)], 3)


def matmul(g):
    if g.opset < 10:
        raise Refused("no MatMulInteger")
    lead = g.shape(g.random.randint(0, 2))
    rows, inner, columns = (g.random.choice(g.pool) for _ in range(3))
    a = g.fresh(g.random.choice(BYTES), lead + [rows, inner], constant=0)
    b = g.fresh(g.random.choice(BYTES), [inner, columns], constant=0.8)
    za = g.parameter(g.random.randint(0, 9), dtype=a.dtype) if g.chance(0.7) else None
    zb = g.parameter(g.random.randint(0, 9), dtype=b.dtype) if g.chance(0.7) else None
    if g.chance(0.6):
        return g.one("MatMulInteger", [a, b, za, zb])
    za, zb = za or g.parameter(0, dtype=a.dtype), zb or g.parameter(0, dtype=b.dtype)
    s = [g.parameter(value, dtype=np.float32) for value in (0.25, 0.5, 1.0)]
    return g.one("QLinearMatMul", [a, s[0], za, b, s[1], zb, s[2], g.parameter(3, dtype=a.dtype)])


def conv(g):
    if g.opset < 10:
        raise Refused("no ConvInteger")
    import windows
    x = windows.image(g, dtype=np.uint8, spatial=2)
    channels, filters = x.sizes[1][0], g.random.choice([1, 2, 4])
    attributes = windows.window(g, x)
    windows.check(x, attributes)
    kind = g.random.choice(BYTES)
    sizes = [(filters,) * RUNS, (channels,) * RUNS] + [(size,) * RUNS for size in attributes["kernel_shape"]]
    w = g.fresh(kind, sizes, constant=0.9)
    zx, zw = g.parameter(g.random.randint(0, 9), dtype=np.uint8), g.parameter(0, dtype=kind)
    if g.chance(0.5):
        return g.one("ConvInteger", [x, w, zx if g.chance(0.7) else None], **attributes)
    s = [g.parameter(value, dtype=np.float32) for value in (0.25, 0.5, 1.0)]
    bias = g.fresh(np.int32, [(filters,) * RUNS], constant=1) if g.chance(0.5) else None
    return g.one("QLinearConv", [x, s[0], zx, w, s[1], zw, s[2], g.parameter(3, dtype=np.uint8), bias], **attributes)


MAKERS = [quantize, quantize, dequantize, dynamic, matmul, conv]

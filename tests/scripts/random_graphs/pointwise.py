"""Element by element, with broadcasting."""

import numpy as np

from builder import FLOATS, INTEGERS, Refused, element_type

SMOOTH = ["Abs", "Neg", "Exp", "Sin", "Cos", "Atan", "Sinh", "Cosh", "Tanh", "Asinh", "Erf", "Sigmoid", "Relu",
          "LeakyRelu", "Elu", "Selu", "Celu", "HardSigmoid", "HardSwish", "Softplus", "Softsign", "ThresholdedRelu", "Mish",
          "Gelu", "Identity", "Swish"]
STEEP = ["Floor", "Ceil", "Round", "Sign", "Log", "Sqrt", "Reciprocal", "Tan", "Asin", "Acos", "Acosh", "Atanh", "IsNaN",
         "IsInf", "Shrink", "ThresholdedRelu"]
EXACT = ["Abs", "Neg", "Relu", "Identity", "Floor", "Ceil", "Round", "Sign"]
NUMBERS = FLOATS + (np.int64, np.int32)


def smooth(g):
    op = g.random.choice(SMOOTH)
    attributes = {}
    if op in ("LeakyRelu", "Elu", "Celu", "ThresholdedRelu", "HardSigmoid", "Swish") and g.chance(0.7):
        attributes["alpha"] = g.random.choice([0.125, 0.5, 1.0, 2.0])
    if op == "Gelu" and g.chance(0.5):
        attributes["approximate"] = "tanh"
    dtypes = NUMBERS if op in ("Abs", "Neg", "Relu", "Identity") else FLOATS
    g.one(op, [g.pick(dtypes, exact=op == "ThresholdedRelu")], exact=op in EXACT, **attributes)


def steep(g):
    op = g.random.choice(STEEP)
    attributes = {"lambd": 0.75, "bias": g.random.choice([0.0, 0.25])} if op == "Shrink" else {}
    if op == "IsInf" and g.chance(0.5):
        attributes = {"detect_negative": 0}
    g.one(op, [g.pick(NUMBERS if op == "Sign" else FLOATS, exact=True)], exact=op in EXACT + ["Shrink"], **attributes)


def clip(g):
    x = g.pick(NUMBERS, exact=False)
    low, high = (-1, 2) if g.chance(0.8) else (2, -1)
    if g.opset < 11:
        return g.one("Clip", [x], exact=True, min=float(low), max=float(high))
    low = g.parameter(low, dtype=x.dtype) if g.chance(0.8) else None
    high = g.parameter(high, dtype=x.dtype) if g.chance(0.8) else None
    return g.one("Clip", [x, low, high], exact=True)


def arithmetic(g):
    op = g.random.choice(["Add", "Sub", "Mul", "Add", "Sub", "Mul", "Div", "Pow", "PRelu", "Mod"])
    a = g.pick(NUMBERS + INTEGERS[2:] if g.chance(0.2) else NUMBERS, exact=op == "Mod")
    if op == "Div":
        b = g.beside(a, low=1, high=4)
    elif op == "Pow":
        a = g.one("Abs", [a], exact=True)
        b = g.beside(a, low=0, high=2)
        if not (a.exact and b.exact):
            raise Refused("steep")
    elif op == "Mod":
        b = g.beside(a, low=1, high=4)
        fmod = int(np.dtype(a.dtype).kind == "f" or g.chance(0.3))
        return g.one("Mod", [a, b], exact=True, fmod=fmod)
    else:
        b = g.beside(a)
    if op == "PRelu" and (b.rank > a.rank or any(
            set(own) != {1} and own != size for own, size in zip(b.sizes[::-1], a.sizes[::-1]))):
        raise Refused("slope")
    if g.chance(0.4) and op in ("Add", "Sub", "Mul"):
        a, b = b, a
    return g.one(op, [a, b], exact=op in ("Add", "Sub", "Mul"))


def several(g):
    op = g.random.choice(["Min", "Max", "Sum", "Mean"])
    a = g.pick(NUMBERS if op in ("Min", "Max") else FLOATS)
    g.one(op, [a] + [g.beside(a) for _ in range(g.random.randint(0, 2))], exact=op != "Mean")


def compare(g):
    a = g.pick(NUMBERS, exact=True)
    b = g.beside(a)
    if not b.exact:
        raise Refused("steep")
    op = g.random.choice(["Equal", "Less", "Greater"] + (["LessOrEqual", "GreaterOrEqual"] if g.opset >= 12 else []))
    g.one(op, [a, b])


def logic(g):
    a = g.pick(np.bool_)
    if g.chance(0.3):
        return g.one("Not", [a])
    return g.one(g.random.choice(["And", "Or", "Xor", "Equal"]), [a, g.beside(a)])


def bits(g):
    op = g.random.choice(["BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"])
    a = g.pick((np.uint8, np.uint32, np.uint64) if op == "BitShift" else INTEGERS, old=0.5)
    if op == "BitwiseNot":
        return g.one(op, [a])
    if op == "BitShift":
        return g.one(op, [a, g.beside(a, low=0, high=6)], direction=g.random.choice(["LEFT", "RIGHT"]))
    return g.one(op, [a, g.beside(a)])


def where(g):
    a = g.pick(NUMBERS + (np.bool_, np.str_, np.object_) if g.chance(0.1) else NUMBERS)
    g.one("Where", [g.beside(a, np.bool_), a, g.beside(a)], exact=True)


def cast(g):
    x = g.pick(FLOATS + INTEGERS + (np.bool_,), exact=True)
    to = g.random.choice(FLOATS + INTEGERS + (np.bool_, np.float32, np.int64))
    kind = np.dtype(to).kind
    if kind == "u" and any((array < 0).any() for array in x.arrays if array.dtype.kind != "b"):
        raise Refused("a negative number has no unsigned form")
    if kind in "iu" and any((np.abs(array.astype(np.float64)) > 100).any() for array in x.arrays):
        raise Refused("too large")
    if g.opset >= 15 and g.chance(0.2):
        return g.one("CastLike", [x, g.pick(to)], exact=True)
    return g.one("Cast", [x], exact=True, to=element_type(to))


MAKERS = [smooth, smooth, steep, clip, arithmetic, arithmetic, arithmetic, several, compare, logic, bits, where, cast, cast]

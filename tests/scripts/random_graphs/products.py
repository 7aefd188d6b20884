"""Products of matrices."""

import numpy as np

from builder import Refused

NUMBERS = (np.float32, np.float64, np.int32, np.int64, np.float16)


def matmul(g):
    a = g.pick(NUMBERS if g.chance(0.3) else np.float32, rank=(1, 4))
    inner = a.sizes[-1]
    kind = g.random.choice(["vector", "matrix", "matrix", "batched"])
    columns = g.random.choice(g.pool)
    if kind == "vector":
        sizes = [inner]
    elif kind == "matrix":
        sizes = [inner, columns]
    else:
        lead = [(1, 1) if g.chance(0.3) else size for size in a.sizes[:-2]]
        lead = lead[g.random.randint(0, len(lead)):] if g.chance(0.3) else lead
        sizes = lead + [inner, columns]
    b = g.fresh(a.dtype, sizes, constant=0.7)
    if g.chance(0.15) and a.rank >= 2:
        b = g.fresh(a.dtype, [a.sizes[-2], a.sizes[-2]])
        a, b = b, a
    y = g.one("MatMul", [a, b], exact=True)
    if g.chance(0.4):
        y = g.one("Add", [y, g.beside(y)], exact=True)
    if g.chance(0.3) and np.dtype(y.dtype).kind == "f":
        g.one(g.random.choice(["Relu", "Sigmoid", "Tanh"]), [y])


def products_of_values(g):
    a = g.pick(np.float32, rank=(2, 4))
    axes = list(range(a.rank))
    axes[-2:] = axes[:-3:-1]
    b = g.one("Transpose", [a], exact=True, perm=axes)
    y = g.one("MatMul", [a, b] if g.chance(0.7) else [b, a], exact=True)
    if g.chance(0.3):
        g.one("Softmax", [g.one("Mul", [y, g.parameter(0.5, dtype=np.float32)])], axis=y.rank - 1)


def gemm(g):
    a = g.pick((np.float32, np.float32, np.float64, np.int32), rank=2)
    left, right = g.random.choice([None, 0, 1]), g.random.choice([None, 0, 1])
    inner, rows = (a.sizes[0], a.sizes[1]) if left else (a.sizes[1], a.sizes[0])
    columns = g.random.choice(g.pool)
    b = g.fresh(a.dtype, [columns, inner] if right else [inner, columns], constant=0.8)
    c = None
    if g.opset < 11 or g.chance(0.8):
        kind = g.random.choice([[columns], [(1, 1), columns], [rows, (1, 1)], [rows, columns], [(1, 1)], []])
        c = g.fresh(a.dtype, kind, constant=0.7)
    alpha, beta = g.random.choice([None, 0.5, 2.0]), g.random.choice([None, 0.5, 0.0])
    if 0 in inner and beta is not None:
        raise Refused("ONNX Runtime adds the bias without `beta` where there is nothing to sum")
    g.one("Gemm", [a, b, c], exact=True, transA=left, transB=right, alpha=alpha, beta=beta)


EQUATIONS = ["ij,jk->ik", "ij,kj->ik", "bij,bjk->bik", "bij,bkj->bik", "ij->ji", "ij->i", "ij,ij->", "i,j->ij", "bij,jk",
             "bhid,bhjd->bhij", "bhij,bhjd->bhid", "bihd,bjhd->bhij", "...ij,...jk->...ik", "ii->i", "ij,jk,kl->il",
             "bij,bj->bi", "ij,ij->ij", "bi,bi->b", "aij,ji->a", "ij,kl->", "...i,i->...", "bi,bj,bk->ijk", "ij,ik->jk"]


def einsum(g):
    if g.opset < 12:
        raise Refused("no Einsum")
    equation = g.random.choice(EQUATIONS)
    sizes = {}
    operands = []
    dtype = g.random.choice([np.float32, np.float32, np.float64, np.int32])
    for term in equation.split("->")[0].split(","):
        own = []
        for letter in term.replace("...", "Z"):
            own.append(sizes.setdefault(letter, g.random.choice(g.pool)))
        if g.chance(0.1) and own:
            own[0] = (1, 1)
        operands.append(g.fresh(dtype, own, constant=0.3))
    if g.batched and "b" in sizes:
        pass
    g.one("Einsum", operands, exact=True, equation=equation)


def det(g):
    if g.opset < 11:
        raise Refused("no Det")
    size = g.random.choice([(1, 1), (2, 2), (3, 3)])
    g.one("Det", [g.fresh(np.float32, g.shape(g.random.randint(0, 2)) + [size, size], -2, 2, constant=0)])


def fused(g):
    """ONNX Runtime's own."""
    op = g.random.choice(["FusedMatMul", "BiasGelu", "QuickGelu", "SkipLayerNormalization", "Gelu", "FastGelu"])
    if op == "FusedMatMul":
        a = g.pick(np.float32, rank=(2, 4))
        left, right = g.random.choice([0, 1]), g.random.choice([0, 1])
        inner = a.sizes[-2] if left else a.sizes[-1]
        columns = g.random.choice(g.pool)
        b = g.fresh(np.float32, [columns, inner] if right else [inner, columns])
        return g.one(op, [a, b], exact=True, domain="com.microsoft", transA=left, transB=right, alpha=0.5)
    x = g.pick(np.float32, rank=(2, 3), exact=True)
    if op == "SkipLayerNormalization":
        if x.rank != 3:
            raise Refused("rank")
        wide = x.sizes[-1:]
        operands = [x, g.fresh(np.float32, x.sizes), g.fresh(np.float32, wide), g.fresh(np.float32, wide)]
        return g.one(op, operands, domain="com.microsoft", epsilon=0.01)
    operands = [x] + ([g.fresh(np.float32, x.sizes[-1:])] if op == "BiasGelu" else [])
    return g.one(op, operands, domain="com.microsoft")


MAKERS = [matmul, matmul, matmul, products_of_values, gemm, gemm, einsum, einsum, det, fused]

"""Simple ones of ai.onnx.ml."""

import numpy as np

from builder import RUNS, Refused

ML = {"domain": "ai.onnx.ml"}


def table(g, dtypes=(np.float32,), rank=2):
    x = g.pick(dtypes, rank=rank, exact=True)
    if len(set(x.sizes[-1])) > 1 or 0 in x.sizes[-1]:
        raise Refused("columns")
    return x, x.sizes[-1][0]


def scaler(g):
    x, columns = table(g, (np.float32, np.int64))
    g.one("Scaler", [x], offset=[0.5] * columns, scale=[2.0] * columns, **ML)


def normalizer(g):
    x, _ = table(g)
    g.one("Normalizer", [x], norm=g.random.choice(["MAX", "L1", "L2"]), **ML)


def binarizer(g):
    x, _ = table(g, rank=(1, 3))
    g.one("Binarizer", [x], exact=True, threshold=0.5, **ML)


def imputer(g):
    x, columns = table(g)
    values = [1.5] * (columns if g.chance(0.5) else 1)
    g.one("Imputer", [x], exact=True, imputed_value_floats=values, replaced_value_float=0.5, **ML)


def extractor(g):
    x, columns = table(g, (np.float32, np.int64))
    places = [g.random.randrange(columns) for _ in range(g.random.randint(1, 3))]
    g.one("ArrayFeatureExtractor", [x, g.parameter(places)], exact=True, **ML)


def linear(g):
    x, columns = table(g)
    targets = g.random.choice([1, 2])
    weights = [float(g.random.randint(-3, 3)) / 2 for _ in range(columns * targets)]
    # ONNX Runtime leaves a single one as it is.
    post = g.random.choice(["NONE", "SOFTMAX", "LOGISTIC"]) if targets > 1 else "NONE"
    g.one("LinearRegressor", [x], coefficients=weights, intercepts=[0.5] * targets, targets=targets, post_transform=post, **ML)


def classifier(g):
    x, columns = table(g)
    classes = g.random.choice([2, 3])
    weights = [float(g.random.randint(-3, 3)) / 2 for _ in range(columns * classes)]
    post = g.random.choice(["NONE", "SOFTMAX", "LOGISTIC"])
    g.node("LinearClassifier", [x], 2, coefficients=weights, intercepts=[0.25 * i for i in range(classes)],
           classlabels_ints=list(range(classes)), post_transform=post, multi_class=0, **ML)


def encoder(g):
    x = g.pick((np.int64,), rank=(1, 3), exact=True)
    kind = g.random.choice(["int", "float", "string", "hot"])
    keys = [0, 1, 2, 5]
    if kind == "hot":
        return g.one("OneHotEncoder", [x], exact=True, cats_int64s=keys, zeros=1, **ML)
    if kind == "int":
        return g.one("LabelEncoder", [x], keys_int64s=keys, values_int64s=[9, 8, 7, 6], default_int64=3, **ML)
    if kind == "float":
        return g.one("LabelEncoder", [x], exact=True, keys_int64s=keys, values_floats=[.5, 1., 1.5, 2.], default_float=-1., **ML)
    return g.one("LabelEncoder", [x], keys_int64s=keys, values_strings=["a", "b", "c", "d"], default_string="?", **ML)


def trees(g):
    x, columns = table(g)
    count = 3 * 2
    attributes = {
        "nodes_treeids": [t for t in range(2) for _ in range(3)], "nodes_nodeids": [0, 1, 2] * 2,
        "nodes_featureids": [g.random.randrange(columns) for _ in range(count)],
        "nodes_modes": [g.random.choice(["BRANCH_LEQ", "BRANCH_LT"]), "LEAF", "LEAF"] * 2,
        "nodes_values": [g.random.randint(-4, 4) / 2 for _ in range(count)],
        "nodes_truenodeids": [1, 0, 0] * 2, "nodes_falsenodeids": [2, 0, 0] * 2,
        "target_treeids": [0, 0, 1, 1], "target_nodeids": [1, 2, 1, 2], "target_ids": [0] * 4,
        "target_weights": [1.0, 2.0, 0.5, -1.5], "n_targets": 1,
    }
    g.one("TreeEnsembleRegressor", [x], exact=True, **attributes, **ML)


MAKERS = [scaler, normalizer, binarizer, imputer, extractor, linear, classifier, encoder, trees]

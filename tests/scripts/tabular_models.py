"""Trains small models with scikit-learn, LightGBM and XGBoost, and exports each with its inputs and what it predicts.

Usage: tabular_models.py FOLDER [NAME ...]

A model is FOLDER/NAME.onnx. FOLDER/NAME.npz holds its inputs as `input.NAME` and what the model's own library says as
`output.NAME`, under the names that the graph gives them. Classifiers with ZipMap have a matrix of scores there, whose
columns are the classes in order.
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from lightgbm import LGBMClassifier, LGBMRegressor
from onnx import TensorProto
from onnxmltools import convert_lightgbm, convert_xgboost
from onnxmltools.convert.common.data_types import FloatTensorType as ToolsFloats
from skl2onnx import to_onnx
from skl2onnx.common import _container
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from sklearn import (
    calibration,
    cluster,
    compose,
    decomposition,
    discriminant_analysis,
    ensemble,
    feature_extraction,
    feature_selection,
    gaussian_process,
    impute,
    linear_model,
    mixture,
    multiclass,
    naive_bayes,
    neighbors,
    neural_network,
    pipeline,
    preprocessing,
    svm,
    tree,
)
from xgboost import XGBClassifier, XGBRegressor

def with_integers(make):
    """Calls `make` with 0 and 1 for the truths in attributes, which protobuf refuses among integers."""

    def plain(value):
        truths = (bool, np.bool_)
        return [int(item) if isinstance(item, truths) else item for item in value] if isinstance(value, list) else value

    return lambda *names, **attributes: make(*names, **{key: plain(value) for key, value in attributes.items()})


_container.make_node = with_integers(_container.make_node)

ROWS, TEST, COLUMNS = 400, 150, 8
OPSET = {"": 18, "ai.onnx.ml": 3}


def table(seed=0, rows=ROWS + TEST):
    """Numbers that float32 holds exactly, a regression target and three classes."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, COLUMNS)).astype(np.float32)
    y = x @ random.normal(size=COLUMNS) + np.sin(2 * x[:, 0]) * x[:, 1] + random.normal(size=rows) * 0.1
    classes = np.digitize(y, np.quantile(y, [0.35, 0.7]))
    return x, y, classes


X, Y, CLASSES = table()
BINARY = (CLASSES > 0).astype(np.int64)
NAMES = np.array(["low", "middle", "high"])[CLASSES]
TRAIN, CHECK = slice(0, ROWS), slice(ROWS, None)


def with_holes(x, share=0.15):
    x = x.copy()
    x[np.random.default_rng(7).random(x.shape) < share] = np.nan
    return x


HOLES = with_holes(X)
COUNTS = np.random.default_rng(3).poisson(2.0, size=(ROWS + TEST, 20)).astype(np.float32)
COUNT_CLASSES = (COUNTS[:, :7].sum(1) > COUNTS[:, 7:14].sum(1)).astype(np.int64) + (COUNTS[:, 14] > 3)

CITIES = np.array(["Bern", "Genève", "Zürich", "São Paulo", "東京"])
COLORS = np.array(["red", "green", "blue"])
CITY = CITIES[np.random.default_rng(4).integers(0, len(CITIES), ROWS + TEST)]
COLOR = COLORS[np.random.default_rng(5).integers(0, len(COLORS), ROWS + TEST)]
# None of one letter: vectorizers skip such words, the tokenizers that they are exported to do not.
WORDS = "the red boat sailed over one cold lake while two green birds sang near old stone bridge and slept".split()


def sentences():
    random = np.random.default_rng(6)
    return np.array([" ".join(random.choice(WORDS, size=random.integers(3, 12))) for _ in range(ROWS + TEST)])


TEXTS = sentences()
TEXT_CLASSES = np.array(["birds" in text.split() or text.count("lake") > 1 for text in TEXTS]).astype(np.int64)


def values(result, kind):
    """A result as the graph declares it: float32, int64 or strings."""
    result = np.ascontiguousarray(result)
    if result.dtype.kind in "OU":
        return result.astype("U")
    return result.astype(np.float32 if kind == TensorProto.FLOAT else result.dtype)


class Folder:
    """Writes models and what they predict."""

    def __init__(self, path, only):
        self.path, self.only = Path(path), only
        self.path.mkdir(parents=True, exist_ok=True)
        self.count = 0

    def wants(self, name):
        return not self.only or name in self.only

    def save(self, name, onnx, inputs, outputs):
        names = {output.name for output in onnx.graph.output}
        missing = set(outputs) - names
        if missing:
            raise SystemExit(f"{name}: the graph has {names}, not {missing}")
        (self.path / f"{name}.onnx").write_bytes(onnx.SerializeToString())
        arrays = {f"input.{key}": value for key, value in inputs.items()}
        kinds = {output.name: output.type.tensor_type.elem_type for output in onnx.graph.output}
        arrays |= {f"output.{key}": values(value, kinds[key] or TensorProto.FLOAT) for key, value in outputs.items()}
        np.savez(self.path / f"{name}.npz", **arrays)
        self.count += 1

    def regressor(self, name, model, x=X, y=Y, **options):
        if self.wants(name):
            model.fit(x[TRAIN], y[TRAIN])
            onnx = to_onnx(model, x[:1], target_opset=OPSET, **options)
            predicted = np.asarray(model.predict(x[CHECK])).reshape(TEST, -1)
            self.save(name, onnx, {"X": x[CHECK]}, {onnx.graph.output[0].name: predicted})

    def classifier(self, name, model, x=X, y=CLASSES, scores="predict_proba", **options):
        if self.wants(name):
            model.fit(x[TRAIN], y[TRAIN])
            onnx = to_onnx(model, x[:1], target_opset=OPSET, options={id(model): options} if options else None)
            label, score = [output.name for output in onnx.graph.output][:2]
            expected = {label: model.predict(x[CHECK])}
            if scores:
                expected[score] = getattr(model, scores)(x[CHECK])
            self.save(name, onnx, {"X": x[CHECK]}, expected)

    def transformer(self, name, model, x=X, y=None):
        if self.wants(name):
            model.fit(x[TRAIN], y)
            onnx = to_onnx(model, x[:1], target_opset=OPSET)
            made = model.transform(x[CHECK])
            made = made.toarray() if hasattr(made, "toarray") else made
            self.save(name, onnx, {"X": x[CHECK]}, {onnx.graph.output[0].name: made})


def linear(folder):
    folder.regressor("linear_regression", linear_model.LinearRegression())
    folder.regressor("two_targets", linear_model.LinearRegression(), y=np.stack([Y, Y * Y], 1))
    folder.regressor("ridge", linear_model.Ridge())
    folder.regressor("lasso", linear_model.Lasso(0.1))
    folder.regressor("elastic_net", linear_model.ElasticNet(0.1))
    folder.regressor("poisson_regressor", linear_model.PoissonRegressor(), y=np.abs(Y))
    folder.classifier("logistic_binary", linear_model.LogisticRegression(), y=BINARY)
    folder.classifier("logistic_strings", linear_model.LogisticRegression(), y=NAMES)
    folder.classifier("logistic_multi", linear_model.LogisticRegression())
    folder.classifier("one_vs_rest", multiclass.OneVsRestClassifier(linear_model.LogisticRegression()))
    folder.classifier("sgd_classifier", linear_model.SGDClassifier(loss="log_loss", random_state=0))
    folder.classifier("perceptron", linear_model.Perceptron(), scores=None)
    folder.classifier("ridge_classifier", linear_model.RidgeClassifier(), scores=None)
    folder.classifier("linear_svc", svm.LinearSVC(), scores=None)


def vectors(folder):
    folder.classifier("svc_rbf", svm.SVC(), scores="decision_function", raw_scores=True)
    folder.classifier("svc_binary", svm.SVC(), y=BINARY, scores=None)
    folder.classifier("svc_poly", svm.SVC(kernel="poly", degree=2, coef0=1), scores=None)
    folder.classifier("svc_linear_strings", svm.SVC(kernel="linear"), y=NAMES, scores=None)
    folder.classifier("nu_svc_sigmoid", svm.NuSVC(kernel="sigmoid", nu=0.2), scores=None)
    folder.regressor("svr", svm.SVR())
    folder.regressor("nu_svr_poly", svm.NuSVR(kernel="poly", degree=3))
    folder.regressor("linear_svr", svm.LinearSVR())
    if folder.wants("one_class_svm"):
        model = svm.OneClassSVM(nu=0.2).fit(X[TRAIN])
        onnx = to_onnx(model, X[:1], target_opset=OPSET)
        scores = model.decision_function(X[CHECK]).reshape(-1, 1)
        folder.save("one_class_svm", onnx, {"X": X[CHECK]}, {"label": model.predict(X[CHECK])[:, None], "scores": scores})


def trees(folder):
    seed = {"random_state": 0}
    folder.classifier("decision_tree_classifier", tree.DecisionTreeClassifier(max_depth=6, **seed))
    folder.classifier("decision_tree_strings", tree.DecisionTreeClassifier(max_depth=6, **seed), y=NAMES)
    folder.regressor("decision_tree_regressor", tree.DecisionTreeRegressor(max_depth=8, **seed))
    folder.regressor("decision_tree_two_targets", tree.DecisionTreeRegressor(max_depth=5, **seed), y=np.stack([Y, Y * Y], 1))
    folder.classifier("random_forest_classifier", ensemble.RandomForestClassifier(30, **seed))
    folder.classifier("random_forest_binary", ensemble.RandomForestClassifier(30, **seed), y=BINARY)
    folder.regressor("random_forest_regressor", ensemble.RandomForestRegressor(30, **seed))
    folder.classifier("extra_trees_classifier", ensemble.ExtraTreesClassifier(30, **seed))
    folder.regressor("extra_trees_regressor", ensemble.ExtraTreesRegressor(30, **seed))
    folder.classifier("gradient_boosting_classifier", ensemble.GradientBoostingClassifier(n_estimators=20, **seed))
    folder.classifier("gradient_boosting_binary", ensemble.GradientBoostingClassifier(n_estimators=20, **seed), y=BINARY)
    folder.regressor("gradient_boosting_regressor", ensemble.GradientBoostingRegressor(n_estimators=30, **seed))
    folder.classifier("hist_gradient_boosting_classifier", ensemble.HistGradientBoostingClassifier(max_iter=20), x=HOLES)
    folder.classifier("hist_gradient_boosting_binary", ensemble.HistGradientBoostingClassifier(max_iter=20), x=HOLES, y=BINARY)
    folder.regressor("hist_gradient_boosting_regressor", ensemble.HistGradientBoostingRegressor(max_iter=20), x=HOLES)
    folder.classifier("ada_boost_classifier", ensemble.AdaBoostClassifier(n_estimators=10, **seed))
    folder.regressor("ada_boost_regressor", ensemble.AdaBoostRegressor(n_estimators=10, **seed))
    folder.classifier("bagging_classifier", ensemble.BaggingClassifier(n_estimators=5, max_features=5, **seed))
    folder.regressor("bagging_regressor", ensemble.BaggingRegressor(n_estimators=5, **seed))
    if folder.wants("isolation_forest"):
        model = ensemble.IsolationForest(n_estimators=20, **seed).fit(X[TRAIN])
        onnx = to_onnx(model, X[:1], target_opset=OPSET)
        scores = model.decision_function(X[CHECK]).reshape(-1, 1)
        folder.save("isolation_forest", onnx, {"X": X[CHECK]}, {"label": model.predict(X[CHECK])[:, None], "scores": scores})


def combined(folder):
    logistic, forest = linear_model.LogisticRegression(), ensemble.RandomForestClassifier(5, random_state=0)
    bayes = naive_bayes.GaussianNB()
    some = [("a", logistic), ("b", forest), ("c", bayes)]
    folder.classifier("voting_soft", ensemble.VotingClassifier(some, voting="soft", flatten_transform=False))
    folder.classifier("voting_hard", ensemble.VotingClassifier(some, voting="hard", flatten_transform=False), scores=None)
    folder.classifier("stacking_classifier", ensemble.StackingClassifier(some))
    pair = [("a", linear_model.Ridge()), ("b", tree.DecisionTreeRegressor(max_depth=4, random_state=0))]
    folder.regressor("voting_regressor", ensemble.VotingRegressor(pair))
    folder.regressor("stacking_regressor", ensemble.StackingRegressor(pair))
    folder.classifier("calibrated_sigmoid", calibration.CalibratedClassifierCV(bayes, cv=3))


def others(folder):
    folder.classifier("knn_classifier", neighbors.KNeighborsClassifier(5))
    folder.classifier("knn_strings", neighbors.KNeighborsClassifier(7), y=NAMES)
    folder.regressor("knn_regressor", neighbors.KNeighborsRegressor(5))
    folder.classifier("gaussian_nb", naive_bayes.GaussianNB())
    folder.classifier("multinomial_nb", naive_bayes.MultinomialNB(), x=COUNTS, y=COUNT_CLASSES)
    folder.classifier("bernoulli_nb", naive_bayes.BernoulliNB(binarize=1.0), x=COUNTS, y=COUNT_CLASSES)
    folder.classifier("complement_nb", naive_bayes.ComplementNB(), x=COUNTS, y=COUNT_CLASSES)
    folder.classifier("mlp_classifier", neural_network.MLPClassifier((16, 8), max_iter=80, random_state=0))
    folder.classifier("mlp_binary_strings", neural_network.MLPClassifier((8,), max_iter=80, random_state=0), y=np.array(["no", "yes"])[BINARY])
    folder.regressor("mlp_regressor", neural_network.MLPRegressor(hidden_layer_sizes=(16, 8), activation="tanh", max_iter=80, random_state=0))
    folder.classifier("lda", discriminant_analysis.LinearDiscriminantAnalysis())
    if folder.wants("qda"):
        # Its labels come in one row.
        model = discriminant_analysis.QuadraticDiscriminantAnalysis().fit(X[TRAIN], CLASSES[TRAIN])
        onnx = to_onnx(model, X[:1], target_opset=OPSET)
        expected = {"output_label": model.predict(X[CHECK])[None], "output_probability": model.predict_proba(X[CHECK])}
        folder.save("qda", onnx, {"X": X[CHECK]}, expected)
    kernel = gaussian_process.kernels.RBF(2.0) + gaussian_process.kernels.WhiteKernel(0.1)
    folder.regressor("gaussian_process_regressor", gaussian_process.GaussianProcessRegressor(kernel, optimizer=None, alpha=0.1))
    if folder.wants("kmeans"):
        model = cluster.KMeans(5, n_init=2, random_state=0).fit(X[TRAIN])
        onnx = to_onnx(model, X[:1], target_opset=OPSET)
        folder.save("kmeans", onnx, {"X": X[CHECK]}, {"label": model.predict(X[CHECK]), "scores": model.transform(X[CHECK])})
    if folder.wants("gaussian_mixture"):
        model = mixture.GaussianMixture(3, random_state=0).fit(X[TRAIN])
        onnx = to_onnx(model, X[:1], target_opset=OPSET)
        expected = {"label": model.predict(X[CHECK])[:, None], "probabilities": model.predict_proba(X[CHECK])}
        folder.save("gaussian_mixture", onnx, {"X": X[CHECK]}, expected)


def transformers(folder):
    logistic = linear_model.LogisticRegression
    folder.transformer("standard_scaler", preprocessing.StandardScaler())
    folder.transformer("min_max_scaler", preprocessing.MinMaxScaler(clip=True))
    folder.transformer("max_abs_scaler", preprocessing.MaxAbsScaler())
    folder.transformer("robust_scaler", preprocessing.RobustScaler())
    folder.transformer("normalizer", pipeline.make_pipeline(preprocessing.Normalizer("l1"), preprocessing.Normalizer("max"), preprocessing.Normalizer("l2")))
    folder.transformer("binarizer", preprocessing.Binarizer(threshold=0.25))
    folder.transformer("power_transformer", preprocessing.PowerTransformer())
    folder.transformer("k_bins_one_hot", preprocessing.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="linear"))
    folder.transformer("k_bins_ordinal", preprocessing.KBinsDiscretizer(4, encode="ordinal", strategy="uniform"))
    folder.transformer("polynomial_features", preprocessing.PolynomialFeatures(2))
    folder.transformer("pca", decomposition.PCA(4, whiten=True))
    folder.transformer("truncated_svd", decomposition.TruncatedSVD(3, random_state=0))
    folder.transformer("imputer", impute.SimpleImputer(strategy="median"), x=HOLES)
    folder.transformer("imputer_and_indicator", impute.SimpleImputer(strategy="mean"), x=HOLES)
    folder.transformer("select_k_best", feature_selection.SelectKBest(k=3), y=CLASSES[TRAIN])
    folder.transformer("variance_threshold", feature_selection.VarianceThreshold(0.9))
    folder.classifier("imputed_logistic", pipeline.make_pipeline(impute.SimpleImputer(), preprocessing.StandardScaler(), logistic()), x=HOLES)
    folder.classifier("pca_knn", pipeline.make_pipeline(decomposition.PCA(4), neighbors.KNeighborsClassifier(3)))
    folder.classifier("polynomial_logistic", pipeline.make_pipeline(preprocessing.PolynomialFeatures(2), logistic(max_iter=500)))
    folder.regressor("binned_ridge", pipeline.make_pipeline(preprocessing.KBinsDiscretizer(4, encode="onehot-dense", quantile_method="linear"), linear_model.Ridge()))


def strings(folder):
    columns = np.stack([CITY, COLOR], 1).astype(object)
    kinds = [("cat", StringTensorType([None, 2]))]
    given = {"cat": columns[CHECK].astype("U")}

    def encoder(name, model, **options):
        if folder.wants(name):
            model.fit(columns[TRAIN])
            onnx = to_onnx(model, initial_types=kinds, target_opset=OPSET)
            made = model.transform(columns[CHECK])
            made = made.toarray() if hasattr(made, "toarray") else made
            folder.save(name, onnx, given, {onnx.graph.output[0].name: made})

    encoder("one_hot_strings", preprocessing.OneHotEncoder())
    encoder("one_hot_drop_first", preprocessing.OneHotEncoder(drop="first"))
    encoder("ordinal_strings", preprocessing.OrdinalEncoder())
    if folder.wants("label_encoder"):
        model = preprocessing.LabelEncoder().fit(CITY)
        onnx = to_onnx(model, initial_types=[("city", StringTensorType([None]))], target_opset=OPSET)
        folder.save("label_encoder", onnx, {"city": CITY[CHECK]}, {onnx.graph.output[0].name: model.transform(CITY[CHECK])})
    if folder.wants("label_binarizer"):
        model = preprocessing.LabelBinarizer().fit(CLASSES)
        onnx = to_onnx(model, initial_types=[("X", Int64TensorType([None]))], target_opset=OPSET)
        folder.save("label_binarizer", onnx, {"X": CLASSES[CHECK].astype(np.int64)}, {onnx.graph.output[0].name: model.transform(CLASSES[CHECK])})
    column_pipelines(folder)
    texts(folder)


def column_pipelines(folder):
    import pandas

    frame = pandas.DataFrame({"a": HOLES[:, 0], "b": HOLES[:, 1], "c": HOLES[:, 2], "city": CITY, "color": COLOR})
    kinds = [(name, FloatTensorType([None, 1])) for name in "abc"]
    kinds += [(name, StringTensorType([None, 1])) for name in ("city", "color")]
    numbers = pipeline.make_pipeline(impute.SimpleImputer(strategy="median"), preprocessing.StandardScaler())
    words = preprocessing.OneHotEncoder(handle_unknown="ignore")
    given = {name: frame[name].to_numpy()[CHECK].reshape(-1, 1).astype("U" if name.startswith("c") and len(name) > 1 else np.float32) for name in frame}

    def one(name, model, y, scores, **options):
        if folder.wants(name):
            columns = compose.ColumnTransformer([("n", numbers, list("abc")), ("w", words, ["city", "color"])])
            whole = pipeline.Pipeline([("columns", columns), ("model", model)]).fit(frame[:ROWS], y[TRAIN])
            onnx = to_onnx(whole, initial_types=kinds, target_opset=OPSET, options={id(whole): options} if options else None)
            names = [output.name for output in onnx.graph.output]
            expected = {names[0]: whole.predict(frame[ROWS:])}
            if scores:
                expected[names[1]] = whole.predict_proba(frame[ROWS:])
            else:
                expected = {names[0]: expected[names[0]].reshape(-1, 1)}
            folder.save(name, onnx, given, expected)

    one("columns_logistic", linear_model.LogisticRegression(), NAMES, True)
    one("columns_forest", ensemble.RandomForestClassifier(10, random_state=0), CLASSES, True, zipmap=False)
    one("columns_ridge", linear_model.Ridge(), Y, False)


def texts(folder):
    x = TEXTS.reshape(-1, 1)
    kinds = [("text", StringTensorType([None, 1]))]

    def vectorizer(name, model):
        if folder.wants(name):
            model.fit(TEXTS[TRAIN])
            onnx = to_onnx(model, initial_types=[("text", StringTensorType([None]))], target_opset=OPSET)
            folder.save(name, onnx, {"text": TEXTS[CHECK]}, {onnx.graph.output[0].name: model.transform(TEXTS[CHECK]).toarray()})

    text = feature_extraction.text
    vectorizer("count_vectorizer", text.CountVectorizer())
    vectorizer("count_bigrams", text.CountVectorizer(ngram_range=(1, 2)))
    vectorizer("tfidf_vectorizer", text.TfidfVectorizer())
    vectorizer("tfidf_l1", text.TfidfVectorizer(norm="l1"))
    if folder.wants("tfidf_logistic"):
        model = pipeline.make_pipeline(text.TfidfVectorizer(), linear_model.LogisticRegression(C=10))
        model.fit(TEXTS[TRAIN], TEXT_CLASSES[TRAIN])
        onnx = to_onnx(model, initial_types=[("text", StringTensorType([None]))], target_opset=OPSET, options={id(model): {"zipmap": False}})
        expected = {"label": model.predict(TEXTS[CHECK]), "probabilities": model.predict_proba(TEXTS[CHECK])}
        folder.save("tfidf_logistic", onnx, {"text": TEXTS[CHECK]}, expected)


def boosted(folder):
    kinds = [("X", ToolsFloats([None, COLUMNS]))]

    def one(name, model, y, convert, **options):
        if not folder.wants(name):
            return
        model.fit(HOLES[TRAIN], y[TRAIN])
        onnx = convert(model, initial_types=kinds, target_opset=15, **options)
        names = [output.name for output in onnx.graph.output]
        expected = {names[0]: np.asarray(model.predict(HOLES[CHECK]))}
        if len(names) > 1:
            expected[names[1]] = model.predict_proba(HOLES[CHECK])
        else:
            expected = {names[0]: expected[names[0]].reshape(-1, 1)}
        folder.save(name, onnx, {"X": HOLES[CHECK]}, expected)

    light = {"n_estimators": 20, "num_leaves": 12, "verbose": -1, "random_state": 0}
    one("lightgbm_binary", LGBMClassifier(**light), BINARY, convert_lightgbm, zipmap=False)
    one("lightgbm_multi", LGBMClassifier(**light), CLASSES, convert_lightgbm)
    one("lightgbm_strings", LGBMClassifier(**light), NAMES, convert_lightgbm)
    one("lightgbm_regressor", LGBMRegressor(**light), Y, convert_lightgbm)
    boost = {"n_estimators": 20, "max_depth": 4, "random_state": 0}
    one("xgboost_binary", XGBClassifier(**boost), BINARY, convert_xgboost)
    one("xgboost_multi", XGBClassifier(**boost), CLASSES, convert_xgboost)
    one("xgboost_regressor", XGBRegressor(**boost), Y, convert_xgboost)
    one("xgboost_poisson", XGBRegressor(objective="count:poisson", **boost), np.abs(Y), convert_xgboost)


def main():
    warnings.simplefilter("ignore")
    folder = Folder(sys.argv[1], sys.argv[2:])
    for family in (linear, vectors, trees, combined, others, transformers, strings, boosted):
        family(folder)
    print(f"{folder.count} models")


if __name__ == "__main__":
    main()

"""Classes, scores of pairs, entities, sparse vectors and token vectors: those of the authors' own tools."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gristmill
import numpy as np
import pytest
from conftest import GOLDENS, MINILM

HEADS = GOLDENS / "heads"
TEXTS: list[str] = json.loads((HEADS / "texts.json").read_text())
# Goldens have rounded numbers.
NEAR = 2e-5


def golden(path: Path) -> Any:
    return json.loads((path / "golden.json").read_text())


def test_classes_are_those_of_the_pipeline() -> None:
    folder = HEADS / "classes" / "distilbert"
    expected = golden(folder)
    classifier = gristmill.Classifier(folder, workers=2)
    assert classifier.labels == expected["labels"] == ["sad", "none", "glad"]
    results = classifier(TEXTS)
    assert [own["label"] for own in results] == ["glad"] * len(TEXTS)
    assert np.allclose([own["score"] for own in results], [scores[2] for scores in expected["scores"]], atol=NEAR)
    report = classifier.report()
    assert report is not None and report["items"] == len(TEXTS) and report["errors"] == 0

    everything = classifier(TEXTS, top_k=None)
    for text, scores in zip(everything, expected["scores"], strict=True):
        best = sorted(zip(scores, expected["labels"], strict=True), reverse=True)
        assert [own["label"] for own in text] == [label for _, label in best]
        assert np.allclose([own["score"] for own in text], [score for score, _ in best], atol=NEAR)
    assert classifier(TEXTS[:2], top_k=2) == [text[:2] for text in everything[:2]]
    # One text has the forms that the pipeline gives it.
    assert classifier(TEXTS[0]) == [everything[0][0]]
    assert classifier(TEXTS[0], top_k=None) == everything[0]
    assert classifier([]) == [] and classifier([], top_k=None) == []
    with pytest.raises(ValueError, match="top_k"):
        classifier(TEXTS, top_k=0)


def test_scores_are_made_as_asked() -> None:
    folder = HEADS / "classes" / "distilbert"
    raw = gristmill.Classifier(folder, function_to_apply="none")(TEXTS[0], top_k=None)
    made = gristmill.Classifier(folder)(TEXTS[0], top_k=None)
    powers = np.exp([own["score"] for own in raw])
    assert np.allclose(powers / powers.sum(), [own["score"] for own in made], atol=NEAR)
    with pytest.raises(gristmill.Error, match="softmax"):
        gristmill.Classifier(folder, function_to_apply="tanh")  # type: ignore[arg-type]


def test_classes_of_pairs_are_those_of_the_pipeline() -> None:
    folder = HEADS / "pair-classes" / "deberta-v3"
    # The pipeline takes the first text alone where the second is empty.
    expected = [own for own in golden(folder) if TEXTS[own["pair"][1]]]
    classifier = gristmill.PairClassifier(folder, workers=2)
    assert classifier.labels == ["contradiction", "entailment", "neutral"]
    pairs = [(TEXTS[first], TEXTS[second]) for first, second in (own["pair"] for own in expected)]
    everything = classifier(pairs, top_k=None)
    for classes, own in zip(everything, expected, strict=True):
        best = sorted(zip(own["scores"], classifier.labels, strict=True), reverse=True)
        assert [one["label"] for one in classes] == [label for _, label in best]
        assert np.allclose([one["score"] for one in classes], [score for score, _ in best], atol=NEAR)
    assert classifier([list(pair) for pair in pairs]) == [classes[0] for classes in everything]
    # One pair has the forms that the pipeline gives it.
    assert classifier(pairs[3]) == [everything[3][0]]
    one = {"text": pairs[3][0], "text_pair": pairs[3][1]}
    assert classifier(one) == everything[3][0] and classifier(one, top_k=None) == everything[3]
    assert classifier([one, one], top_k=2) == [everything[3][:2]] * 2
    assert classifier([]) == [] and classifier.report()["items"] == 0  # type: ignore[index]
    wrong: list[Any] = [[("a",)], [{"text": "a"}], [["a", "b", "c"]]]
    for pair in wrong:
        with pytest.raises(ValueError, match="pair 0"):
            classifier(pair)
    with pytest.raises(gristmill.Error, match="PairClassifier"):
        gristmill.Reranker(folder)


def test_pairs_have_the_scores_of_a_cross_encoder() -> None:
    folder = HEADS / "pairs" / "bert"
    expected = golden(folder)
    reranker = gristmill.Reranker(folder, workers=2)
    pairs = [(TEXTS[query], TEXTS[document]) for query, document in (own["pair"] for own in expected)]
    scores = reranker.predict(pairs)
    assert scores.dtype == np.float32 and scores.shape == (len(pairs),)
    assert np.allclose(scores, [own["score"] for own in expected], atol=NEAR)
    assert reranker.predict([list(pair) for pair in pairs]).tobytes() == scores.tobytes()
    one = reranker.predict(pairs[3])
    assert isinstance(one, np.float32) and one == scores[3]
    assert reranker.predict([]).shape == (0,)

    documents = TEXTS[:9]
    own = reranker.predict([(TEXTS[0], document) for document in documents])
    ranked = reranker.rank(TEXTS[0], documents, return_documents=True)
    order = sorted(range(len(documents)), key=lambda place: own[place], reverse=True)
    assert [result["corpus_id"] for result in ranked] == order
    assert [result["score"] for result in ranked] == [own[place] for place in order]
    assert [result["text"] for result in ranked] == [documents[place] for place in order]
    assert [result["corpus_id"] for result in reranker.rank(TEXTS[0], documents, top_k=2)] == order[:2]
    assert set(reranker.rank(TEXTS[0], documents)[0]) == {"corpus_id", "score"}
    prompted = gristmill.Reranker(folder, prompt="a ").predict((TEXTS[0], TEXTS[1]))
    assert prompted == reranker.predict(("a " + TEXTS[0], TEXTS[1]))
    # The prompt of a call stands before its queries alone.
    assert reranker.predict((TEXTS[0], TEXTS[1]), prompt="a ") == prompted != reranker.predict((TEXTS[0], TEXTS[1]))
    assert [own["score"] for own in reranker.rank(TEXTS[0], [TEXTS[1]], prompt="a ")] == [prompted]
    with pytest.raises(gristmill.Error, match='no prompt "none"'):
        reranker.predict(pairs, prompt_name="none")
    with pytest.raises(gristmill.Error, match="softmax"):
        gristmill.Reranker(folder, function_to_apply="softmax")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pair 1"):
        reranker.predict([pairs[0], ("alone",)])
    with pytest.raises(ValueError, match="convert_to_tensor"):
        reranker.rank(TEXTS[0], TEXTS, convert_to_tensor=True)


def test_entities_are_those_of_the_pipeline() -> None:
    folder = HEADS / "tokens" / "distilbert"
    taggers: dict[tuple[Any, Any], gristmill.Tagger] = {}
    for strategy, overlap, text, expected in golden(folder):
        if (strategy, overlap) not in taggers:
            taggers[strategy, overlap] = gristmill.Tagger(folder, aggregation_strategy=strategy, stride=overlap)
        found = taggers[strategy, overlap](TEXTS[text])
        name = "entity" if strategy == "none" else "entity_group"
        names = {name, "score", "word", "start", "end"}
        assert all(set(own) == names for own in found)
        places = [[own[name], own["word"], own["start"], own["end"]] for own in found]
        assert places == [[label, *rest] for label, _, *rest in expected], (strategy, overlap, text)
        assert np.allclose([own["score"] for own in found], [score for _, score, *_ in expected], atol=NEAR)
    tagger = taggers["simple", None]
    assert tagger(TEXTS[:5]) == [tagger(text) for text in TEXTS[:5]]
    assert "O" in tagger.labels
    kept = gristmill.Tagger(folder, ignore_labels=["LOC"])(TEXTS[0])
    assert kept == [] and tagger(TEXTS[0])[0]["entity_group"] == "LOC"
    with pytest.raises(gristmill.Error, match="aggregation_strategy"):
        gristmill.Tagger(folder, aggregation_strategy="most")  # type: ignore[arg-type]


def test_labels_of_ones_own_have_the_scores_of_the_pipeline() -> None:
    for name in ("bart", "bert", "deberta-v3"):
        folder = HEADS / "pair-classes" / name
        classifier = gristmill.ZeroShotClassifier(folder, workers=2)
        for case in json.loads((folder / "zero_shot.json").read_text()):
            template: Any = {"hypothesis_template": "It is about {}.", "multi_label": case["multi_label"]}
            found = classifier(case["text"], case["labels"], **template)
            assert found["sequence"] == case["text"] and found["labels"] == list(case["scores"])
            assert np.allclose(found["scores"], list(case["scores"].values()), atol=NEAR)
            both = classifier([case["text"], "another"], ", ".join(case["labels"]), **template)
            assert both[0] == found and both[1]["sequence"] == "another"
        assert classifier([], ["a", "b"]) == []
        report = classifier.report()
        assert report is not None and report["items"] == 0
    with pytest.raises(ValueError, match="empty"):
        classifier("a", " , ")
    with pytest.raises(ValueError, match="hypothesis_template"):
        classifier("a", ["b"], hypothesis_template="no place")
    with pytest.raises(ValueError, match="entail"):
        gristmill.ZeroShotClassifier(HEADS / "classes" / "distilbert")


def test_sparse_vectors_are_those_of_a_sparse_encoder() -> None:
    folder = HEADS / "sparse" / "modernbert"
    expected = golden(folder)
    embedder = gristmill.SparseEmbedder(folder, workers=2)
    vectors = embedder.encode(TEXTS)
    width = embedder.get_sentence_embedding_dimension()
    assert vectors.shape == (len(TEXTS), width)
    assert vectors.indptr.tolist() == np.cumsum([0] + [len(words) for words, _ in expected]).tolist()
    assert vectors.indices.tolist() == [word for words, _ in expected for word in words]
    assert vectors.data.dtype == np.float32
    assert np.allclose(vectors.data, [weight for _, weights in expected for weight in weights], atol=NEAR)
    assert [list(row) for row in vectors.rows()] == [words for words, _ in expected]
    one = embedder.encode(TEXTS[2])
    assert one.shape == (1, width) and one.rows() == [vectors.rows()[2]]
    assert embedder.encode([]).shape == (0, width) and embedder.encode([]).indptr.tolist() == [0]
    few = gristmill.SparseEmbedder(folder, max_active_dims=2).encode(TEXTS[0]).rows()[0]
    assert sorted(few.values()) == sorted(vectors.rows()[0].values())[-2:]
    with pytest.raises(gristmill.Error, match="0 weights"):
        gristmill.SparseEmbedder(folder, max_active_dims=0)


def test_several_heads_find_what_flag_embedding_does() -> None:
    folder = HEADS / "hybrid" / "m3"
    expected = golden(folder)
    embedder = gristmill.HybridEmbedder(folder, workers=2, return_sparse=True, return_colbert_vecs=True)
    found = embedder.encode(TEXTS)
    assert found["dense_vecs"].dtype == np.float32
    assert np.allclose(found["dense_vecs"], [vector for vector, _, _ in expected], atol=NEAR)
    for (_, words, tokens), own_words, own_tokens in zip(
        expected, found["lexical_weights"], found["colbert_vecs"], strict=True
    ):
        assert list(own_words) == [str(word) for word, _ in words]
        assert np.allclose(list(own_words.values()), [weight for _, weight in words], atol=NEAR)
        assert own_tokens.shape == (len(tokens), 16) and np.allclose(own_tokens, tokens, atol=NEAR)
    one = embedder.encode_queries(TEXTS[2])
    assert np.array_equal(one["dense_vecs"], found["dense_vecs"][2])
    assert one["lexical_weights"] == found["lexical_weights"][2]
    assert np.array_equal(one["colbert_vecs"], found["colbert_vecs"][2])
    report = embedder.report()
    assert report is not None and report["items"] == 1
    dense = gristmill.HybridEmbedder(folder).encode_corpus(TEXTS)
    assert np.array_equal(dense["dense_vecs"], found["dense_vecs"])
    assert dense["lexical_weights"] is None and dense["colbert_vecs"] is None
    assert embedder.encode([])["lexical_weights"] == [] and embedder.encode([])["dense_vecs"].shape == (0, 16)
    with pytest.raises(gristmill.Error, match="without a head"):
        gristmill.HybridEmbedder(folder, return_dense=False)


def test_prompts_of_a_call_and_words_of_sparse_vectors() -> None:
    folder = HEADS / "sparse" / "distilbert"
    embedder = gristmill.SparseEmbedder(folder)
    plain = gristmill.SparseEmbedder(folder, prompt="")

    def rows(vectors: gristmill.SparseVectors) -> Any:
        return vectors.rows()

    # The folder's default prompt is that of documents.
    queries = rows(plain.encode(["a " + text for text in TEXTS]))
    documents = rows(plain.encode(["the " + text for text in TEXTS]))
    assert queries != documents
    for own in (embedder, plain):
        assert rows(own.encode_query(TEXTS)) == rows(own.encode(TEXTS, prompt_name="query")) == queries
        assert rows(own.encode_document(TEXTS)) == rows(own.encode(TEXTS, prompt="the ")) == documents
    assert rows(embedder.encode(TEXTS)) == documents
    assert rows(embedder.encode_query(TEXTS, prompt="the ")) == documents
    with pytest.raises(gristmill.Error, match="it has document, query"):
        embedder.encode(TEXTS, prompt_name="passage")

    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = {place: word for word, place in tokenizer["model"]["vocab"].items()}
    vectors = embedder.encode(TEXTS)
    decoded = embedder.decode(vectors)
    for row, pairs in zip(vectors.rows(), decoded, strict=True):
        words = [(vocabulary.get(place, ""), weight) for place, weight in row.items()]
        assert pairs == sorted(words, key=lambda own: -own[1])
    assert embedder.decode(vectors, top_k=2) == [pairs[:2] for pairs in decoded]
    assert embedder.decode(embedder.encode([])) == []
    gap = gristmill.SparseVectors(np.ones(1, np.float32), np.array([5000]), np.array([0, 0, 1]), (2, 6000))
    assert embedder.decode(gap) == [[], [("", 1.0)]]
    with pytest.raises(ValueError, match="top_k"):
        embedder.decode(vectors, top_k=0)


def test_token_vectors_are_those_of_a_multi_vector_encoder() -> None:
    folder = HEADS / "colbert" / "fixed"
    embedder = gristmill.TokenEmbedder(folder, workers=2)
    for place, encode in enumerate((embedder.encode_query, embedder.encode_document)):
        expected = [(text, own[place]) for text, own in zip(TEXTS, golden(folder), strict=True) if own[place]]
        vectors = encode([text for text, _ in expected])
        for own, (text, rows) in zip(vectors, expected, strict=True):
            assert own.dtype == np.float32 and np.allclose(own, rows, atol=NEAR), text
        assert encode(expected[0][0]).tobytes() == vectors[0].tobytes()
    assert embedder.get_sentence_embedding_dimension() == 4
    assert embedder.encode_document([]) == []


def arrow_calls() -> list[tuple[Any, Callable[..., Any]]]:
    """Each class, and a call of it with texts."""
    classifier = gristmill.Classifier(HEADS / "classes" / "distilbert")
    reranker = gristmill.Reranker(HEADS / "pairs" / "bert")
    tagger = gristmill.Tagger(HEADS / "tokens" / "distilbert")
    sparse = gristmill.SparseEmbedder(HEADS / "sparse" / "modernbert")
    tokens = gristmill.TokenEmbedder(HEADS / "colbert" / "fixed")
    return [
        (classifier, lambda texts: classifier(texts, top_k=None)),
        (reranker, lambda texts: reranker.rank(TEXTS[0], texts, return_documents=True)),
        (tagger, tagger),
        (sparse, lambda texts: [column.tolist() for column in sparse.encode(texts)[:3]]),
        (tokens, lambda texts: [vectors.tolist() for vectors in tokens.encode_document(texts)]),
    ]


def test_texts_are_taken_from_arrow() -> None:
    pa = pytest.importorskip("pyarrow")
    texts = TEXTS[:6]
    for model, call in arrow_calls():
        expected = call(texts)
        for given in (pa.array(texts), pa.chunked_array([texts[:1], texts[1:]]).dictionary_encode()):
            assert call(given) == expected, model
        with pytest.raises(gristmill.ItemError, match="null") as caught:
            call(pa.array([texts[0], None, texts[1]]))
        assert (caught.value.index, caught.value.stage) == (1, "read")
        with pytest.raises(gristmill.Error, match="Int64"):
            call(pa.array([1]))
    reranker = gristmill.Reranker(HEADS / "pairs" / "bert")
    table = pa.table({"text": texts})
    assert reranker.rank(TEXTS[0], table) == reranker.rank(TEXTS[0], texts)
    with pytest.raises(ValueError, match="not a table"):
        reranker.rank(TEXTS[0], table, return_documents=True)


def test_progress_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    reranker = gristmill.Reranker(HEADS / "pairs" / "bert")
    sparse = gristmill.SparseEmbedder(HEADS / "sparse" / "modernbert")
    tokens = gristmill.TokenEmbedder(HEADS / "colbert" / "fixed")
    embedder = gristmill.Embedder(MINILM)
    calls: list[Callable[..., Any]] = [
        lambda show: reranker.predict([(TEXTS[0], text) for text in TEXTS[:3]], show_progress_bar=show),
        lambda show: reranker.rank(TEXTS[0], TEXTS[:3], show_progress_bar=show),
        lambda show: sparse.encode(TEXTS[:3], show_progress_bar=show),
        lambda show: tokens.encode_query(TEXTS[:3], show_progress_bar=show),
        lambda show: tokens.encode_document(TEXTS[:3], show_progress_bar=show),
        lambda show: embedder.encode_query(TEXTS[:3], show_progress_bar=show),
        lambda show: embedder.encode_document(TEXTS[:3], show_progress_bar=show),
    ]
    for call in calls:
        call(False)
        assert capsys.readouterr().err == ""
        call(True)
        assert "3/3" in capsys.readouterr().err


def test_arguments_of_pipelines() -> None:
    calls: list[Callable[..., Any]] = [
        lambda **own: gristmill.Classifier(HEADS / "classes" / "bert")(TEXTS[0], **own),
        lambda **own: gristmill.PairClassifier(HEADS / "pair-classes" / "bert")((TEXTS[0], TEXTS[1]), **own),
        lambda **own: gristmill.Tagger(HEADS / "tokens" / "distilbert")(TEXTS[0], **own),
        lambda **own: gristmill.ZeroShotClassifier(HEADS / "pair-classes" / "bert")(TEXTS[0], ["a"], **own),
    ]
    for call in calls:
        assert call(batch_size=8, truncation=True, padding=True) == call()
        with pytest.raises(ValueError, match="truncation=False.* always truncated"):
            call(truncation=False)


def test_dicts_are_no_texts() -> None:
    given: Any = {"text": TEXTS[0], "text_pair": TEXTS[1]}
    reranker = gristmill.Reranker(HEADS / "pairs" / "bert")
    zero_shot = gristmill.ZeroShotClassifier(HEADS / "pair-classes" / "bert")
    hybrid = gristmill.HybridEmbedder(HEADS / "hybrid" / "m3")
    calls: list[tuple[Callable[..., Any], str]] = [
        (gristmill.Classifier(HEADS / "classes" / "bert"), "PairClassifier"),
        (reranker.predict, r"zip\(queries, documents\)"),
        (lambda own: reranker.rank("a", own), "list of its texts"),
        (lambda own: zero_shot(own, ["a"]), "list of its texts"),
        (hybrid.encode, "list of its texts"),
        *((call, "list of its texts") for model, call in arrow_calls()[2:]),
    ]
    for call, instead in calls:
        with pytest.raises(TypeError, match=f"a dict was given.*{instead}"):
            call(given)
        with pytest.raises(TypeError, match="a set was given"):
            call({TEXTS[0]})
        with pytest.raises(TypeError, match="decode"):
            call(b"ab")
    with pytest.raises(ValueError, match="pair 0"):
        reranker.predict([given])
    pandas = pytest.importorskip("pandas")
    with pytest.raises(TypeError, match="a table was given"):
        reranker.predict(pandas.DataFrame([given]))


def test_arguments_of_a_cross_encoder() -> None:
    folder = HEADS / "pairs" / "bert"
    reranker = gristmill.Reranker(folder)
    pairs = list(zip(TEXTS[:4], TEXTS[1:5], strict=True))
    scores = reranker.predict(pairs, activation_fn=None, apply_softmax=False, num_workers=0)
    assert reranker.predict(zip(TEXTS[:4], TEXTS[1:5], strict=True)).tobytes() == scores.tobytes()
    assert reranker.predict(pair for pair in pairs).tobytes() == scores.tobytes()
    classifier = gristmill.PairClassifier(HEADS / "pair-classes" / "bert")
    assert classifier(iter(pairs)) == classifier(pairs)
    wrong: list[dict[str, Any]] = [{"activation_fn": abs}, {"apply_softmax": True}, {"num_workers": 2}]
    for own, named in zip(wrong, ("function_to_apply", "function_to_apply", "workers"), strict=True):
        for call in (lambda own: reranker.predict(pairs, **own), lambda own: reranker.rank("a", ["b"], **own)):
            with pytest.raises(ValueError, match=named):
                call(own)
    short = gristmill.Reranker(folder, max_length=12, trust_remote_code=True)
    assert short.max_seq_length == gristmill.Reranker(folder, max_tokens=12, max_length=12).max_seq_length == 12
    with pytest.raises(ValueError, match="max_length 13"):
        gristmill.Reranker(folder, max_tokens=12, max_length=13)


def test_entailment_is_found_by_label2id(tmp_path: Path) -> None:
    source = HEADS / "pair-classes" / "bert"
    expected = gristmill.ZeroShotClassifier(source)(TEXTS[0], ["a", "b"])
    folder = tmp_path / "bert"
    shutil.copytree(source, folder)
    config = json.loads((folder / "config.json").read_text())
    meaningful = config["label2id"]
    config["id2label"] = {str(place): f"LABEL_{place}" for place in range(3)}

    def opened(label2id: Any) -> gristmill.ZeroShotClassifier:
        (folder / "config.json").write_text(json.dumps(config | {"label2id": label2id}))
        return gristmill.ZeroShotClassifier(folder)

    assert opened(meaningful)(TEXTS[0], ["a", "b"]) == expected
    assert opened({"Entailed": 2, "other": 1})._follows == 2
    for label2id in ({"LABEL_1": 1}, {"entailment": 3}, None):
        with pytest.raises(ValueError, match="entail"):
            opened(label2id)
    config["id2label"]["1"] = "ENTAILMENT"
    assert opened({"LABEL_1": 1})(TEXTS[0], ["a", "b"]) == expected


def test_what_fails_is_told() -> None:
    kinds: list[Any] = [gristmill.Classifier, gristmill.Reranker, gristmill.Tagger]
    kinds += [gristmill.PairClassifier, gristmill.SparseEmbedder, gristmill.TokenEmbedder, gristmill.HybridEmbedder]
    for kind in kinds:
        with pytest.raises(FileNotFoundError):
            kind(HEADS / "absent")
        with pytest.raises(gristmill.Error, match="precision"):
            kind(HEADS / "classes" / "distilbert", precision="int4")
    with pytest.raises(gristmill.Error, match="ForTokenClassification"):
        gristmill.Classifier(HEADS / "tokens" / "distilbert")
    # A pair of more bytes than are tokenized whole.
    reranker = gristmill.Reranker(HEADS / "pairs" / "bert")
    with pytest.raises(gristmill.ItemError, match="400000|400,000") as caught:
        reranker.predict([("a", "b"), ("a", "word " * 100_000)])
    assert (caught.value.index, caught.value.stage) == (1, "prepare")
    with pytest.raises(TypeError):
        gristmill.Classifier(HEADS / "classes" / "distilbert")([1])  # type: ignore[list-item]

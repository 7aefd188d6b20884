"""NumPy's arrays in and out: over the same memory where the layout allows, and right or refused otherwise."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gristmill
import numpy as np
import pytest
from models import BOOL, I64, TEXT, identity


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> gristmill.Model:
    return gristmill.Model(identity(tmp_path_factory.mktemp("model"), sizes=["n", "m"]), workers=2)


def test_layouts_have_the_right_values(model: gristmill.Model) -> None:
    plain = np.arange(12, dtype=np.float32).reshape(3, 4)
    offset = np.frombuffer(b"\0" + plain.tobytes(), np.uint8)[1:].view(np.float32).reshape(3, 4)
    assert not offset.flags.aligned
    frozen = plain.copy()
    frozen.flags.writeable = False
    for array in (
        plain[::-1],
        plain[:, ::-1],
        plain[:, ::2],
        plain.T,
        np.asfortranarray(plain),
        plain.astype(">f4"),
        offset,
        frozen,
        np.broadcast_to(np.float32(3), (2, 5)),
        plain[:0],
        np.zeros((0, 0), np.float32),
        plain.view(np.recarray),
        np.ma.masked_array(plain),
    ):
        result = model.run({"x": array})["y"]
        assert result.dtype == np.float32 and np.array_equal(result, np.asarray(array)), array
        assert type(result) is np.ndarray and result.flags.c_contiguous and result.flags.aligned


def test_hostile_arrays_are_refused_with_the_name(model: gristmill.Model) -> None:
    plain = np.zeros((2, 2), np.float32)
    masked = np.ma.masked_array(plain, [[False, True], [False, False]])
    for array, why in (
        (np.array([[object()]]), "object"),
        (np.zeros((2, 2), [("a", "f4")]), "a"),
        (np.zeros((2, 2), "M8[s]"), "view"),
        (np.zeros((2, 2), "S3"), "encoding"),
        (np.zeros((2, 2), np.complex64), "complex64"),
        (np.zeros((2, 2), np.longdouble), "numbers"),
        (masked, "masked"),
        (np.zeros(4, np.float32), "x"),
        (np.zeros((2, 2)), "f64"),
        (np.float32(1), "x"),
        ([[1.0], [1.0, 2.0]], "inhomogeneous"),
        (np.array([["a", None]], object), "str"),
    ):
        with pytest.raises(gristmill.ItemError, match=why) as caught:
            model.run({"x": array})
        assert caught.value.index == 0 and caught.value.kind == "InvalidInput", array
    for wrong in (3, [("x", plain)], None):
        with pytest.raises(gristmill.ItemError, match="mapping"):
            model.run(wrong)  # type: ignore[call-overload]


def test_booleans_of_other_bytes_are_refused(tmp_path: Path) -> None:
    model = gristmill.Model(identity(tmp_path, BOOL, ["n"]))
    assert model.run({"x": np.array([True, False])})["y"].tolist() == [True, False]
    with pytest.raises(gristmill.ItemError, match="neither 0 nor 1"):
        model.run({"x": np.array([1, 2], np.uint8).view(np.bool_)})


def test_texts(tmp_path: Path) -> None:
    model = gristmill.Model(identity(tmp_path, TEXT, ["n", 2]))
    texts = [["a", "größer"], ["", "b\0c"]]
    result = model.run({"x": np.array(texts, object)})["y"]
    assert result.dtype == object and result.tolist() == texts
    assert model.run({"x": np.array(texts[:1])})["y"].tolist() == texts[:1]


def test_scalars_and_no_rows(tmp_path: Path) -> None:
    model = gristmill.Model(identity(tmp_path, I64, []))
    result = model.run({"x": np.int64(7)})["y"]
    assert result.shape == () and result == 7


def test_an_array_is_kept_as_long_as_its_item(model: gristmill.Model) -> None:
    def items() -> Iterator[dict[str, Any]]:
        for seed in range(500):
            yield {"x": np.full((1, 1000), seed, np.float32)}

    for seed, result in enumerate(model.map(items())):
        assert (result["y"] == seed).all()
    array = np.ones((1, 4), np.float32)
    seen = weakref.ref(array)
    results = list(model.map([{"x": array}] * 3))
    del array
    gc.collect()
    # Whatever is freed without the interpreter's lock is so at the next call.
    model.run({"x": np.ones((1, 1), np.float32)})
    assert seen() is None
    assert len(results) == 3


def test_results_are_of_their_own_memory(model: gristmill.Model) -> None:
    array = np.zeros((1, 2), np.float32)
    result = model.run({"x": array})["y"]
    result[:] = 9
    assert (array == 0).all() and result.base is not None
    assert (model.run({"x": array})["y"] == 0).all()


def test_kinds_of_mappings(model: gristmill.Model) -> None:
    from types import MappingProxyType

    array = np.ones((1, 1), np.float32)
    assert model.run(MappingProxyType({"x": array}))["y"] == 1
    assert model.run({"x": [[np.float32(1)]]})["y"] == 1
    with pytest.raises(gristmill.ItemError, match="no input `z`"):
        model.run({"x": array, "z": array})
    with pytest.raises(gristmill.ItemError):
        model.run({1: array})  # type: ignore[dict-item]

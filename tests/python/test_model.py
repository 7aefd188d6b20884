"""ONNX models on named arrays."""

from typing import Any

import gristmill
import numpy as np
import numpy.typing as npt
import pytest
from conftest import MAGIKA


@pytest.fixture(scope="module")
def model() -> gristmill.Model:
    return gristmill.Model(MAGIKA, workers=2)


def item(seed: int) -> dict[str, npt.NDArray[Any]]:
    return {"bytes": np.random.default_rng(seed).integers(0, 256, (1, 2048), np.int32)}


def test_a_run_and_a_map_agree(model: gristmill.Model) -> None:
    [output] = model.outputs
    assert model.inputs == ["bytes"]
    alone = [model.run(item(seed))[output] for seed in range(7)]
    assert alone[0].dtype == np.float32 and abs(alone[0].sum() - 1) < 1e-5
    mapped = list(model.map((item(seed) for seed in range(7)), block=3))
    for own, result in zip(alone, mapped, strict=True):
        assert isinstance(result, dict) and result[output].tobytes() == own.tobytes()
    report = model.report()
    assert report is not None and report["items"] == 1


def test_a_map_is_lazy_and_keeps_failures_in_their_places(model: gristmill.Model) -> None:
    taken = 0

    def items() -> Any:
        nonlocal taken
        for seed in range(10):
            taken += 1
            yield item(seed) if seed != 4 else {"bytes": np.zeros((1, 3), np.int32)}

    results = model.map(items(), on_error="collect", block=2)
    next(results)
    assert taken == 2
    rest = list(results)
    failed = rest[3]
    assert isinstance(failed, gristmill.ItemError)
    assert failed.index == 4 and failed.stage and failed.kind == "InvalidInput"
    assert "item 4 " in str(failed) and "2048" in str(failed)
    assert [isinstance(result, dict) for result in rest] == [True] * 3 + [False] + [True] * 5
    assert list(model.map(items(), on_error="null"))[4] is None
    with pytest.raises(gristmill.ItemError) as caught:
        list(model.map(items()))
    assert caught.value.index == 4


def test_an_array_of_objects_is_its_own_failure(model: gristmill.Model) -> None:
    wrong = {"bytes": np.array([object()])}
    results = list(model.map([item(0), wrong, item(1), wrong], on_error="collect", block=3))
    assert [isinstance(result, dict) for result in results] == [True, False, True, False]
    for place in (1, 3):
        failed = results[place]
        assert isinstance(failed, gristmill.ItemError)
        assert failed.index == place and f"item {place} " in str(failed) and "object" in str(failed)


def test_any_layout_of_an_array(model: gristmill.Model) -> None:
    [output] = model.outputs
    plain = item(1)["bytes"]
    expected = model.run({"bytes": plain})[output].tobytes()
    big = plain.astype(plain.dtype.newbyteorder(">"))
    turned = plain[:, ::-1].copy()[:, ::-1]
    fortran = np.asfortranarray(np.repeat(plain, 2, axis=0))[::2]
    frozen = plain.copy()
    frozen.flags.writeable = False
    for array in (big, turned, fortran, frozen):
        assert model.run({"bytes": array})[output].tobytes() == expected


def test_what_does_not_fit_is_told(model: gristmill.Model) -> None:
    with pytest.raises(gristmill.Error, match="object"):
        model.run({"bytes": np.array([object()])})
    with pytest.raises(gristmill.Error, match="bytes"):
        model.run({"bytes": np.zeros((1, 2048))})
    with pytest.raises(gristmill.Error, match="bytes"):
        model.run({"wrong": np.zeros((1, 2048), np.int32)})
    with pytest.raises(FileNotFoundError):
        gristmill.Model(MAGIKA.with_name("absent.onnx"))
    with pytest.raises(ValueError, match="on_error"):
        next(model.map([], on_error="ignore"))  # type: ignore[arg-type]


def test_results_outlive_their_model() -> None:
    model = gristmill.Model(MAGIKA)
    [result] = model.run(item(2)).values()
    copy = result.copy()
    del model
    assert (result == copy).all() and result.flags.writeable

"""ONNX models on named arrays."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gristmill
import models
import numpy as np
import numpy.typing as npt
import pytest
from conftest import MAGIKA
from onnx import helper, load, save


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
    results = model.map((item(seed) for seed in range(7)), window=3)
    mapped = list(results)
    for own, result in zip(alone, mapped, strict=True):
        assert isinstance(result, dict) and result[output].tobytes() == own.tobytes()
    report = model.report()
    assert report is not None and report["items"] == 7 and report == results.report()


def test_a_map_is_lazy_and_keeps_failures_in_their_places(model: gristmill.Model) -> None:
    taken = 0

    def items(count: int = 10) -> Any:
        nonlocal taken
        for seed in range(count):
            taken += 1
            yield item(seed) if seed != 4 else {"bytes": np.zeros((1, 3), np.int32)}

    endless = model.map(items(10**9), window=2)
    assert taken == 0
    next(endless)
    assert taken <= 12
    endless.close()
    assert next(endless, None) is None
    results = model.map(items(), on_error="collect", window=2)
    next(results)
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
    results = list(model.map([item(0), wrong, item(1), wrong], on_error="collect", window=3))
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
        model.map([], on_error="ignore")  # type: ignore[call-overload]


def test_sizes_of_one_name_may_differ(tmp_path: Path) -> None:
    node = helper.make_node("Concat", ["x", "z"], ["y"], axis=0)
    inputs = [models.value(name, models.F32, ["n", "n"]) for name in "xz"]
    path = models.made(tmp_path, [node], inputs, [models.value("y", models.F32, ["m", "k"])])
    x, z = np.ones((3, 2), np.float32), np.zeros((1, 2), np.float32)
    with pytest.raises(gristmill.Error, match="names_apart"):
        gristmill.Model(path).run({"x": x, "z": z})
    y = gristmill.Model(path, names_apart=True).run({"x": x, "z": z})["y"]
    np.testing.assert_array_equal(y, np.concatenate([x, z]))


def test_numbers_of_dimensions_can_be_given(tmp_path: Path) -> None:
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    path = models.made(
        tmp_path,
        [node],
        [models.value("x", models.F32, ["k", "m"])],
        [models.value("y", models.F32, ["m", "k"])],
    )
    file = load(str(path))
    file.graph.input[0].type.tensor_type.ClearField("shape")
    save(file, str(path))
    with pytest.raises(gristmill.Error, match="`ranks`"):
        gristmill.Model(path)
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    model = gristmill.Model(path, ranks={"x": 2, "other": 3})
    np.testing.assert_array_equal(model.run({"x": x})["y"], x.T)
    model = gristmill.Model(path, shapes={"x": (None, 3)})
    np.testing.assert_array_equal(model.run({"x": x})["y"], x.T)
    with pytest.raises(gristmill.Error, match="`x`"):
        model.run({"x": x.T})


def test_results_outlive_their_model() -> None:
    model = gristmill.Model(MAGIKA)
    [result] = model.run(item(2)).values()
    copy = result.copy()
    del model
    assert (result == copy).all() and result.flags.writeable


def test_what_a_source_raises_comes_behind_the_results_before(model: gristmill.Model) -> None:
    def items() -> Any:
        yield item(0)
        yield item(1)
        raise KeyError("the source")

    results = model.map(items())
    assert next(results) and next(results)
    with pytest.raises(KeyError, match="the source"):
        next(results)
    assert next(results, None) is None

    def interrupted() -> Any:
        yield item(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(model.map(interrupted()))


def test_results_are_taken_by_one_thread_at_a_time(model: gristmill.Model) -> None:
    results: Any = None

    def items() -> Any:
        yield item(0)
        with pytest.raises(ValueError, match="another thread"):
            next(results)
        yield item(1)

    results = model.map(items())
    assert len(list(results)) == 2


def test_a_signal_ends_a_map() -> None:
    code = "import gristmill, numpy as np, signal, sys, itertools"
    code += "; signal.signal(signal.SIGINT, signal.default_int_handler); m = gristmill.Model(sys.argv[1])"
    code += "; x = np.zeros((1, 2048), np.int32); print('ready', flush=True)"
    code += "; [None for _ in m.map({'bytes': x} for _ in itertools.count())]"
    job = subprocess.Popen([sys.executable, "-c", code, MAGIKA], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert job.stdout is not None and job.stdout.readline() == b"ready\n"
    time.sleep(1)
    job.send_signal(signal.SIGINT)
    started = time.monotonic()
    _, errors = job.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    assert time.monotonic() - started < 3

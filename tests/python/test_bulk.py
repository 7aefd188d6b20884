"""Python's own functions over many items, progress and logging."""

import itertools
import logging
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gristmill
import numpy as np
import pytest
from conftest import MAGIKA, MINILM
from models import identity


@gristmill.bulk(workers=2)
def inverse(number: int) -> float:
    """One over it."""
    return 1 / number


def test_a_function_is_what_it_was() -> None:
    assert inverse(4) == 0.25 and inverse(number=2) == 0.5
    assert inverse.__name__ == "inverse" and inverse.__doc__ == "One over it."


def test_results_are_in_order_and_failures_in_their_places() -> None:
    assert list(inverse.map(range(1, 2000))) == [1 / number for number in range(1, 2000)]
    results = list(inverse.map(range(-3, 3), on_error="collect"))
    assert [type(result) for result in results] == [float] * 3 + [gristmill.ItemError] + [float] * 2
    failed = results[3]
    assert failed.index == 3 and failed.stage == "run" and failed.kind == "User" and "division" in str(failed)
    assert isinstance(failed.__cause__, ZeroDivisionError) and failed.__cause__.__traceback__ is not None
    assert list(inverse.map([2, 0], on_error="null")) == [0.5, None]
    with pytest.raises(gristmill.ItemError) as caught:
        list(inverse.map([1, 1, 0, 1]))
    assert caught.value.index == 2
    assert list(inverse.map([])) == []


def test_none_is_a_result() -> None:
    assert list(gristmill.bulk(lambda item: None).map([1, 2, 3])) == [None] * 3


def test_it_is_lazy() -> None:
    taken = itertools.count()
    results = inverse.map((next(taken) + 1 for _ in itertools.count()), window=4)
    assert [next(results) for _ in range(3)] == [1, 1 / 2, 1 / 3]
    assert next(taken) < 100
    results.close()
    assert next(results, None) is None


def test_lists_are_chosen_by_their_time() -> None:
    lengths = []

    @gristmill.bulk(chunks=True, workers=2)
    def doubled(numbers: list[int]) -> list[int]:
        lengths.append(len(numbers))
        return [2 * number for number in numbers]

    assert list(doubled.map(range(10_000))) == [2 * number for number in range(10_000)]
    assert max(lengths) > 8 and sum(lengths) == 10_000


def test_a_list_that_fails_is_halved() -> None:
    @gristmill.bulk(chunks=True, workers=1)
    def roots(numbers: list[int]) -> Any:
        if min(numbers) < 0:
            raise ValueError("negative")
        return np.sqrt(numbers)

    numbers = [place if place != 70 else -1 for place in range(200)]
    results = list(roots.map(numbers, on_error="null"))
    assert [place for place, result in enumerate(results) if result is None] == [70]
    short = gristmill.bulk(chunks=True)(lambda items: items[1:])
    with pytest.raises(gristmill.ItemError, match="0 results for 1 items"):
        list(short.map([1]))


def test_functions_that_wait_do_so_at_once() -> None:
    def nap_a_little(item: int) -> str:
        time.sleep(0.05)
        return threading.current_thread().name

    nap = gristmill.bulk(workers=4)(nap_a_little)
    started = time.monotonic()
    list(nap.map(range(40)))
    assert time.monotonic() - started < 1.7


def test_a_function_may_use_a_model() -> None:
    embedder = gristmill.Embedder(MINILM, workers=1)
    expected = [embedder.encode(f"text {number}").tobytes() for number in range(6)]
    own = gristmill.bulk(workers=1)(lambda number: embedder.encode(f"text {number}").tobytes())
    assert list(own.map(range(6))) == expected

    @gristmill.bulk(workers=1)
    def waits(number: int) -> Any:
        return list(inverse.map([number]))

    with pytest.raises(gristmill.ItemError, match="cannot wait"):
        list(waits.map([1]))


def test_a_function_that_interrupts_ends_the_job() -> None:
    def stop(item: int) -> int:
        raise SystemExit("a reason") if item == 3 else ValueError(item)

    results = list(gristmill.bulk(stop).map(range(5), on_error="collect"))
    assert isinstance(results[3].__cause__, SystemExit) and isinstance(results[1].__cause__, ValueError)


def test_a_bar_of_tqdm(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    assert len(list(inverse.map(range(1, 30), show_progress_bar=True))) == 29
    shown = capsys.readouterr().err
    assert "inverse" in shown and "29/29" in shown
    list(inverse.map(range(1, 30)))
    assert capsys.readouterr().err == ""


def test_a_line_where_there_is_no_tqdm(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    results = inverse.map((number for number in range(1, 8)), show_progress_bar=True)
    assert len(list(results)) == 7
    report = results.report()
    assert report is not None and report["items"] == 7
    assert "inverse: 7 [" in capsys.readouterr().err
    with pytest.raises(gristmill.ItemError):
        list(inverse.map([1, 0], show_progress_bar=True))
    assert "inverse: 1/2 [" in capsys.readouterr().err


def test_a_bar_for_models_and_texts(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tqdm")
    model = gristmill.Model(MAGIKA)
    rows = [{"bytes": np.zeros((1, 2048), np.int32)}] * 5
    assert len(list(model.map(rows, show_progress_bar=True))) == 5
    assert "5/5" in capsys.readouterr().err
    gristmill.Embedder(MINILM).encode(["a", "b", "c"], show_progress_bar=True)
    assert "3/3" in capsys.readouterr().err


def test_events_are_logged(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    model = gristmill.Model(identity(tmp_path))
    wrong = {"x": np.zeros((1, 3), np.float32)}
    with caplog.at_level(logging.INFO, "gristmill"):
        list(model.map([wrong], on_error="null"))
    messages = [(record.levelname, record.getMessage()) for record in caplog.records if record.name == "gristmill"]
    assert any(level == "WARNING" and "item failed index=0" in message for level, message in messages)
    assert any(level == "INFO" and "job ended items=1 errors=1" in message for level, message in messages)
    caplog.clear()
    with caplog.at_level(logging.ERROR, "gristmill"):
        list(model.map([wrong], on_error="null"))
    assert not caplog.records


def test_nothing_is_printed_where_nothing_was_set_up(tmp_path: Path) -> None:
    path = identity(tmp_path)
    code = "import gristmill, numpy as np, sys; m = gristmill.Model(sys.argv[1])"
    code += "; print(list(m.map([{'x': np.zeros((1, 3), np.float32)}], on_error='null')))"
    run = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert (run.stdout, run.stderr) == ("[None]\n", "")

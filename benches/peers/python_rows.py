#!/usr/bin/env python3
"""What a row costs in `Model.map` of the Python package, with a model that does next to nothing.

    benches/peers/python_rows.py [--rows N] [--rounds N] [--workers N]

Runs in an environment with the package, onnx and pyarrow. Prints the least time of the interleaved rounds, in
microseconds a row: dicts of NumPy's arrays and rows of an Arrow table, each without failures and with 10,000, and
behind it the processor time of all threads in the round that took least.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gristmill
import numpy as np
import pyarrow as pa
from onnx import TensorProto, helper, save

FAILED = 10_000


def model_file(folder: Path) -> Path:
    """`y` is row `x` of a table of one number each: an index of 1 fails."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [1], [0.5])
    graph = helper.make_graph(
        [helper.make_node("Gather", ["table", "x"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.INT64, ["n"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])],
        [table],
    )
    path = folder / "model.onnx"
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), str(path))
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = gristmill.Model(model_file(Path(folder)), workers=options.workers)
    good = np.zeros((1,), np.int64)
    rows = [{"x": good} for _ in range(options.rows)]
    step = max(options.rows // FAILED, 1)
    # Of another type: refused before a run.
    mixed = [{"x": np.zeros((1,))} if place % step == 0 else row for place, row in enumerate(rows)]
    outside = [{"x": np.ones((1,), np.int64)} if place % step == 0 else row for place, row in enumerate(rows)]
    table = pa.table({"x": np.zeros(options.rows, np.int64)})
    indices = np.zeros(options.rows, np.int64)
    indices[::step] = 1
    failing = pa.table({"x": indices})

    def objects(items: list[Any]) -> int:
        return sum(result is None for result in model.map(items, on_error="null"))

    def arrow(items: Any) -> int:
        return int(pa.table(model.map(items, on_error="null"))["y"].null_count)

    jobs: dict[str, tuple[Callable[[Any], int], Any]] = {
        "dicts of arrays": (objects, rows),
        f"dicts of arrays, {len(range(0, options.rows, step)):,} fail": (objects, mixed),
        f"dicts of arrays, {len(range(0, options.rows, step)):,} fail in the run": (objects, outside),
        "rows of a table": (arrow, table),
        f"rows of a table, {len(range(0, options.rows, step)):,} fail": (arrow, failing),
    }
    least: dict[str, tuple[float, float]] = {}
    for _ in range(options.rounds):
        for name, (run, items) in jobs.items():
            started, used = time.perf_counter(), time.process_time()
            failed = run(items)
            figures = time.perf_counter() - started, time.process_time() - used
            assert failed == (len(range(0, options.rows, step)) if "fail" in name else 0)
            least[name] = min(figures, least.get(name, figures))
    for name, (seconds, used) in least.items():
        print(f"{1e6 * seconds / options.rows:8.3f} us a row, {1e6 * used / options.rows:6.3f} us of CPU  {name}")


if __name__ == "__main__":
    main()

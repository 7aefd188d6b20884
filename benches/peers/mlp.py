"""The whole job of a perceptron over rows by a peer: mlp.py ENGINE GRAPH.onnx IN.npz OUT.npz THREADS BATCH

Reads the array `x`, runs it in batches of BATCH rows, writes the array `y`. The last line printed is JSON: seconds for
loading and for the rest.
"""

import sys
import time

import numpy as np

from engines import finish, load


def main():
    engine, graph, given, out, threads, size = sys.argv[1:]
    start = time.perf_counter()
    run = load(engine, graph, int(threads), "y")
    loaded = time.perf_counter()
    rows = np.load(given)["x"]
    outputs = run([{"x": rows[first : first + int(size)]} for first in range(0, len(rows), int(size))])
    with open(out, "wb") as file:  # given a path, NumPy would change its ending
        np.savez(file, y=np.concatenate(outputs))
    finish(loaded - start, time.perf_counter() - loaded)


main()

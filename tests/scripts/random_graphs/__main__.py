"""Writes random small ONNX graphs, with inputs and the results that ONNX Runtime gives.

    python tests/scripts/random_graphs FIRST_SEED COUNT OUT_FILE

A graph is made of its seed alone. One that ONNX Runtime refuses, or computes in two ways with unlike results, is left out.
The file holds a record for each graph: the length of its description, the description as JSON, and the bytes of the model
and of the arrays one after another.
"""

import json
import struct
import subprocess
import sys
import threading

import numpy as np
import onnx
from onnx import helper

import operators
from builder import RUNS, Graph, Refused, array, element_type, session

OPSETS = list(range(7, 25))
NODES = 12
PATIENCE = 60
"""Seconds for one graph."""


def made(seed):
    """The graph of a seed, its outputs by name, or nothing."""
    graph = Graph(seed, 0)
    graph.opset = graph.random.choice(OPSETS + [13, 14, 17, 17, 18, 20, 21])
    wanted, tries = graph.random.randint(1, NODES), 0
    while len(graph.nodes) < wanted and tries < 2 * wanted + 4:
        tries += 1
        try:
            operators.add(graph)
        except Refused:
            continue
    node_made = {name for node in graph.nodes if node.op_type != "Constant" for name in node.output}
    results = [x for x in graph.values if x.name in node_made and not x.is_sequence]
    ends = [x for x in results if not x.used]
    more = graph.random.sample(results, min(len(results), graph.random.randint(0, 2)))
    outputs = {x.name: x for x in ends + more}
    return graph, outputs


def same(a, b):
    """Whether two ways to compute agree."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if a.dtype.kind != "f":
        return bool((a == b).all())
    if (np.isnan(a) != np.isnan(b)).any():
        return False
    a, b = np.nan_to_num(a.astype(np.float64)), np.nan_to_num(b.astype(np.float64))
    largest = max(np.abs(a).max(initial=0), 1e-3)
    tolerance = 4e-3 if a.dtype == np.float16 else 2e-5
    return bool((np.abs(a - b) <= tolerance * largest).all())


def record(seed):
    graph, outputs = made(seed)
    if not outputs:
        return None
    declared = []
    for x in outputs.values():
        dims = [None] * x.rank if graph.chance(0.3) and not x.unlike else None
        declared.append(helper.make_tensor_value_info(x.name, element_type(x.dtype), dims))
    proto = helper.make_graph(graph.nodes, f"seed{seed}", graph.inputs, declared, graph.initializers)
    model = graph.model(proto)
    names = list(outputs)
    try:
        runner, plain = session(model), session(model, optimized=False)
        results = [[array(x) for x in runner.run(names, feed)] for feed in graph.feeds]
        others = [[array(x) for x in plain.run(names, feed)] for feed in graph.feeds]
    except Exception:
        return None
    for run in range(RUNS):
        for name, result, other in zip(names, results[run], others[run]):
            # What stands where a sum of no finite numbers was is nobody's.
            if not same(result, other) or not same(result, outputs[name].arrays[run]):
                return None
    if sum(x.size for run in results for x in run) == 0:
        return None
    return model, graph, [dict(zip(names, run)) for run in results]


def packed(seed, model, graph, results):
    """The bytes of a record."""
    parts = [model.SerializeToString()]
    scales = {x.name: x.scale for x in graph.values}

    def described(arrays):
        descriptions = []
        for name, x in arrays.items():
            if x.dtype.kind in "OUS":
                texts = [str(text) for text in x.reshape(-1)]
                descriptions.append({"name": name, "dtype": "string", "shape": x.shape, "texts": texts})
                continue
            parts.append(np.ascontiguousarray(x).tobytes())
            length = len(parts[-1])
            descriptions.append({"name": name, "dtype": str(x.dtype), "shape": x.shape, "length": length, "scale": scales[name]})
        return descriptions
    runs = [{"inputs": described(feed), "outputs": described(result)} for feed, result in zip(graph.feeds, results)]
    operators_used = sorted({node.op_type for node in model.graph.node})
    header = {"seed": seed, "opset": graph.opset, "operators": operators_used, "model": len(parts[0]), "runs": runs}
    text = json.dumps(header).encode()
    return struct.pack("<I", len(text)) + text + b"".join(parts)


def work(seed):
    """Writes the records of all seeds from one on, each after its length; 0 for a seed that has none."""
    while True:
        made_record = record(seed)
        data = packed(seed, *made_record) if made_record else b""
        sys.stdout.buffer.write(struct.pack("<Q", len(data)) + data)
        sys.stdout.buffer.flush()
        seed += 1


def records(first, count):
    """The records of `count` graphs. A seed on which ONNX Runtime ends its process, or never ends, has none."""
    seed, written = first, 0
    while written < count:
        with subprocess.Popen([sys.executable, __file__, "--work", str(seed)], stdout=subprocess.PIPE) as child:
            while written < count:
                watchdog = threading.Timer(PATIENCE, child.kill)
                watchdog.start()
                length = child.stdout.read(8)
                data = child.stdout.read(*struct.unpack("<Q", length)) if len(length) == 8 else None
                watchdog.cancel()
                if data is None:
                    if child.wait() > 0:
                        sys.exit(f"seed {seed} failed in this script")
                    print(f"seed {seed} ended ONNX Runtime", file=sys.stderr)
                    seed += 1
                    break
                seed += 1
                if data:
                    written += 1
                    yield data
            child.kill()


def main():
    if sys.argv[1] == "--work":
        return work(int(sys.argv[2]))
    first, count, path = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    with open(path, "wb") as out:
        for data in records(first, count):
            out.write(data)


if __name__ == "__main__":
    main()

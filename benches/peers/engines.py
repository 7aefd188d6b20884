"""ONNX Runtime and OpenVINO behind one function: `load(engine, graph, threads, output)` gives `run(batches) -> results`.

Engines: `ort` (one session on all threads), `ort-sessions` (a session of one thread for each thread), `ov-latency-f32`,
`ov-throughput-f32`, and both with bf16. `batches` is a list of dictionaries from input name to array; the results keep
its order.
"""

import json
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue


def load(engine, graph, threads, output):
    if engine.startswith("ort"):
        return load_onnxruntime(graph, threads, output, sessions=threads if engine == "ort-sessions" else 1)
    hint, precision = engine.split("-")[1:]
    return load_openvino(graph, threads, output, hint, precision)


def finish(load_seconds, seconds):
    """Prints the figures and leaves at once: OpenVINO can wait for ever on its own threads when Python shuts down."""
    print(json.dumps({"load_seconds": load_seconds, "seconds": seconds}))
    sys.stdout.flush()
    os._exit(0)


def load_onnxruntime(graph, threads, output, sessions):
    import onnxruntime

    def session():
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, threads // sessions)
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    free = SimpleQueue()
    for _ in range(sessions):
        free.put(session())

    def one(batch):
        held = free.get()
        try:
            return held.run([output], batch)[0]
        finally:
            free.put(held)

    def run(batches):
        if sessions == 1:
            return [one(batch) for batch in batches]
        with ThreadPoolExecutor(sessions) as pool:
            return list(pool.map(one, batches))

    return run


def load_openvino(graph, threads, output, hint, precision):
    import openvino

    core = openvino.Core()
    read = core.read_model(graph)
    # Only the output that is asked for, as ONNX Runtime computes it.
    wanted = read.output(output).get_node()
    model = openvino.Model([wanted], read.get_parameters(), "one output")
    compiled = core.compile_model(model, "CPU", {
        "PERFORMANCE_HINT": hint.upper(),
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
    })
    names = [port.get_any_name() for port in compiled.inputs]

    def run(batches):
        results = [None] * len(batches)

        def done(request, index):
            results[index] = request.get_output_tensor(0).data.copy()

        queue = openvino.AsyncInferQueue(compiled, 0 if hint == "throughput" else 1)
        queue.set_callback(done)
        for index, batch in enumerate(batches):
            queue.start_async({name: batch[name] for name in names}, index)
        queue.wait_all()
        return results

    return run

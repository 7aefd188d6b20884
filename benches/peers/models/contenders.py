"""ONNX Runtime, OpenVINO and LightGBM over all items of a job.

A contender is opened on a model, and returns what runs named arrays: a function whose results are those of its batches
in order. Each runs in a process of its own, so that none finds memory that an earlier run has left to it. As in ours,
to read the arrays from their file counts, and to open the model does not.
"""

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np


def batches(x, rows, batch):
    """The items `rows` of named arrays, `batch` at a time."""
    starts = range(rows.start, rows.stop, batch)
    return [{key: all[i : min(i + batch, rows.stop)] for key, all in x.items()} for i in starts]


def length(x):
    return len(next(iter(x.values())))


def one_session(path, batch, threads):
    """ONNX Runtime with one session on all threads."""
    own = session(path, threads)
    return lambda x: [own.run(None, given) for given in batches(x, range(length(x)), batch)]


def many_sessions(path, batch, threads):
    """ONNX Runtime with a session of one thread for each of the threads."""
    many = [session(path, 1) for _ in range(threads)]

    def run(x):
        def share(own, rows):
            return [own.run(None, given) for given in batches(x, rows, batch)]

        parts = [range(length(x) * i // threads, length(x) * (i + 1) // threads) for i in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            return [result for part in pool.map(share, many, parts) for result in part]

    return run


def session(path, threads):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def requests_in_flight(path, batch, threads):
    """OpenVINO tuned for throughput, with its requests in flight."""
    import openvino

    own = compiled(path, "THROUGHPUT", threads)

    def run(x):
        parts = batches(x, range(length(x)), batch)
        results = [None] * len(parts)

        def done(request, index):
            results[index] = [request.get_output_tensor(at).data.copy() for at in range(len(own.outputs))]

        queue = openvino.AsyncInferQueue(own)
        queue.set_callback(done)
        for index, given in enumerate(parts):
            queue.start_async(given, index)
        queue.wait_all()
        return results

    return run


def one_request(path, batch, threads):
    """OpenVINO tuned for latency, with one call after another."""
    request = compiled(path, "LATENCY", threads).create_infer_request()

    def run(x):
        results = []
        for given in batches(x, range(length(x)), batch):
            made = request.infer(given)
            results.append([made[at].copy() for at in range(len(made))])
        return results

    return run


def compiled(path, hint, threads):
    import openvino

    return openvino.Core().compile_model(openvino.Core().read_model(path), "CPU", {
        "PERFORMANCE_HINT": hint,
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
    })


def own_trees(path, threads):
    """LightGBM on its own file, which lies beside the model."""
    import lightgbm

    booster = lightgbm.Booster(model_file=str(path.with_suffix(".txt")))
    return lambda x: booster.predict(*x.values(), num_threads=threads)


def runtime_contenders(sizes, threads):
    contenders = {}
    for batch in sizes:
        contenders[f"ONNX Runtime, 1 session x {threads}, batch {batch:,}"] = partial(
            one_session, batch=batch, threads=threads
        )
        contenders[f"ONNX Runtime, {threads} sessions x 1, batch {batch:,}"] = partial(
            many_sessions, batch=batch, threads=threads
        )
    return contenders


def openvino_contenders(sizes, threads):
    """OpenVINO in f32, if it is there."""
    try:
        import openvino  # noqa: F401
    except ImportError:
        return {}
    contenders = {}
    for batch in sizes:
        contenders[f"OpenVINO, throughput, batch {batch:,}"] = partial(requests_in_flight, batch=batch, threads=threads)
        contenders[f"OpenVINO, latency, batch {batch:,}"] = partial(one_request, batch=batch, threads=threads)
    return contenders


def alone(contender, path, names, given, ours):
    """The seconds that a contender takes in a process of its own, and the difference of its results from ours."""
    return in_a_process(timed, contender, path, names, given, ours)


def in_a_process(work, *given):
    """What `work` sends from a fresh process."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=work, args=(sender, *given), daemon=True)
    process.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise SystemExit(f"{given} ended without a result") from None
    finally:
        # OpenVINO can wait for ever on its own threads when Python shuts down.
        process.kill()
        process.join()


def timed(sender, contender, path, names, given, ours):
    run = contender(path)
    started = time.perf_counter()
    results = run(dict(np.load(given)))
    seconds = time.perf_counter() - started
    sender.send((seconds, difference(results, names, np.load(ours))))


def difference(results, names, ours):
    """The largest difference of results from ours, of the largest or of 1."""
    if not isinstance(results, list):
        return "-"
    largest = 0.0
    for at, name in enumerate(names):
        theirs, own = np.concatenate([result[at] for result in results]), ours[name]
        if theirs.shape != own.shape:
            return f"{name}: {list(theirs.shape)} for {list(own.shape)}"
        if theirs.size:
            theirs, own = theirs.astype(np.float64), own.astype(np.float64)
            largest = max(largest, np.abs(theirs - own).max() / max(1.0, np.abs(theirs).max()))
    return f"{largest:.1e}"

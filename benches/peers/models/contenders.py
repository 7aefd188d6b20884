"""ONNX Runtime and OpenVINO over all items of a job: each contender returns the results of its batches in order."""

from concurrent.futures import ThreadPoolExecutor

import onnxruntime


def batches(x, rows, batch):
    """The items `rows` of named arrays, `batch` at a time."""
    starts = range(rows.start, rows.stop, batch)
    return [{key: all[i : min(i + batch, rows.stop)] for key, all in x.items()} for i in starts]


def sessions(path, x, sizes, threads):
    """ONNX Runtime with one session on all threads and with a session of one thread for each, a batch size each."""

    def session(own):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = own, 1
        options.log_severity_level = 3
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    one, many = session(threads), [session(1) for _ in range(threads)]
    count = len(next(iter(x.values())))

    def share(own, rows, batch):
        return [own.run(None, given) for given in batches(x, rows, batch)]

    def apart(batch):
        parts = [range(count * i // threads, count * (i + 1) // threads) for i in range(threads)]
        with ThreadPoolExecutor(threads) as pool:
            results = pool.map(lambda own, rows: share(own, rows, batch), many, parts)
            return [result for part in results for result in part]

    contenders = {}
    for batch in sizes:
        contenders[f"ONNX Runtime, 1 session x {threads}, batch {batch:,}"] = (
            lambda batch=batch: share(one, range(count), batch)
        )
        contenders[f"ONNX Runtime, {threads} sessions x 1, batch {batch:,}"] = lambda batch=batch: apart(batch)
    return contenders


def has_openvino():
    try:
        import openvino  # noqa: F401
    except ImportError:
        return False
    return True


def openvino_requests(path, x, sizes, threads):
    """OpenVINO in f32: tuned for throughput with its requests in flight, and for latency with one call after another."""
    import openvino

    core = openvino.Core()
    model = core.read_model(path)
    count = len(next(iter(x.values())))

    def compiled(hint):
        return core.compile_model(model, "CPU", {
            "PERFORMANCE_HINT": hint,
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": threads,
        })

    def throughput(own, batch):
        parts = batches(x, range(count), batch)
        results = [None] * len(parts)

        def done(request, index):
            results[index] = [request.get_output_tensor(at).data.copy() for at in range(len(own.outputs))]

        queue = openvino.AsyncInferQueue(own)
        queue.set_callback(done)
        for index, given in enumerate(parts):
            queue.start_async(given, index)
        queue.wait_all()
        return results

    def latency(request, batch):
        results = []
        for given in batches(x, range(count), batch):
            made = request.infer(given)
            results.append([made[at].copy() for at in range(len(made))])
        return results

    many, request = compiled("THROUGHPUT"), compiled("LATENCY").create_infer_request()
    contenders = {}
    for batch in sizes:
        contenders[f"OpenVINO, throughput, batch {batch:,}"] = lambda batch=batch: throughput(many, batch)
        contenders[f"OpenVINO, latency, batch {batch:,}"] = lambda batch=batch: latency(request, batch)
    return contenders

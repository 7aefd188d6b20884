"""One item at a time: the time of a call, within a process that has opened the model."""

import time
from statistics import median

import numpy as np

# Calls that are not counted, and those that are, or as many as fit the seconds.
WARM, CALLS, SECONDS = 3, 40, 4.0


def timed_calls(sender, call):
    """Sends the median of the milliseconds of calls."""
    run, times = call(), []
    started = time.perf_counter()
    while len(times) < WARM + CALLS and (len(times) < WARM + 3 or time.perf_counter() - started < SECONDS):
        before = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - before))
    sender.send(median(times[WARM:]))


def first_item(given):
    return {name: array[:1] for name, array in np.load(given).items()}


def own_call(path, given, threads):
    import gristmill

    model, x = gristmill.Model(str(path), workers=threads, device="cpu"), first_item(given)
    return lambda: model.run(x)


def runtime_call(path, given, threads):
    from models.contenders import session

    own, x = session(path, threads), first_item(given)
    return lambda: own.run(None, x)


def openvino_call(path, given, threads):
    from models.contenders import compiled

    request, x = compiled(path, "LATENCY", threads).create_infer_request(), first_item(given)

    def run():
        made = request.infer(x)
        return [made[at].copy() for at in range(len(made))]

    return run


CALLERS = {"gristmill": own_call, "ONNX Runtime": runtime_call, "OpenVINO, latency": openvino_call}

"""The bundled model in ONNX Runtime, on made-up files: onnx_peer.py MODEL.onnx THREADS FILES"""

import json
import sys
import time

import numpy as np
import onnxruntime

model, threads, files = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rows = np.random.default_rng(5).integers(0, 256, (files, 2048), np.int32)
best = {}
for batch in (1, 16):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    run = lambda: [session.run(None, {name: rows[i : i + batch]}) for i in range(0, files, batch)]
    run()
    start = time.perf_counter()
    run()
    best[batch] = files / (time.perf_counter() - start)
row = "identify, f32, ONNX Runtime"
print(json.dumps({"table": "items/s by workers", "row": row, "column": str(threads), "value": round(max(best.values()), 1)}), flush=True)

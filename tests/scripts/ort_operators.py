"""Writes small models of ONNX Runtime's own operators, with the results that it gives.

    ort_operators.py OUT_DIR

`OUT_DIR/NAME.onnx` is a model; `OUT_DIR/NAME.N.npz` holds its inputs as `input.NAME` and its results as `output.NAME`.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

RANDOM = np.random.default_rng(11)
TYPES = {
    np.dtype(np.float32): TensorProto.FLOAT,
    np.dtype(np.float16): TensorProto.FLOAT16,
    np.dtype(np.int32): TensorProto.INT32,
    np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.int8): TensorProto.INT8,
    np.dtype(np.uint8): TensorProto.UINT8,
    np.dtype(np.int16): TensorProto.INT16,
    np.dtype(np.uint16): TensorProto.UINT16,
    np.dtype(np.bool_): TensorProto.BOOL,
}


def f32(*shape, scale=1.0):
    return (RANDOM.standard_normal(shape) * scale).astype(np.float32)


def u8(*shape):
    return RANDOM.integers(0, 256, shape).astype(np.uint8)


def i8(*shape):
    return RANDOM.integers(-127, 128, shape).astype(np.int8)


def scalar(value, dtype=np.float32):
    return np.array(value, dtype)


class Cases:
    def __init__(self, folder):
        self.folder = folder

    def add(self, name, op, operands, results=1, fixed=(), domain="com.microsoft", **attributes):
        """One node. Operands named in `fixed` are initializers, `None` is absent; each axis of an input is symbolic
        where the operand is given as a list of arrays, one for each run."""
        runs = max(len(x) for x in operands.values() if isinstance(x, list)) if any(
            isinstance(x, list) for x in operands.values()) else 1
        names = [key if value is not None else "" for key, value in operands.items()]
        while names and not names[-1]:
            names.pop()
        initializers, inputs, feeds = [], [], [{} for _ in range(runs)]
        for key, value in operands.items():
            if value is None:
                continue
            if key in fixed:
                initializers.append(numpy_helper.from_array(np.asarray(value), key))
                continue
            all_runs = value if isinstance(value, list) else [value] * runs
            shapes = [np.shape(x) for x in all_runs]
            dims = [sizes[0] if len(set(sizes)) == 1 else f"{key}{axis}" for axis, sizes in enumerate(zip(*shapes))]
            inputs.append(helper.make_tensor_value_info(key, TYPES[np.asarray(all_runs[0]).dtype], dims))
            for feed, x in zip(feeds, all_runs):
                feed[key] = np.asarray(x)
        outputs = results if isinstance(results, list) else [f"y{index}" for index in range(results)]
        node = helper.make_node(op, names, outputs, domain=domain, name=name, **attributes)
        declared = [onnx.ValueInfoProto(name=output) for output in outputs if output]
        graph = helper.make_graph([node], name, inputs, declared, initializers)
        sets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=sets, ir_version=8)
        self.write(name, model, feeds)

    def write(self, name, model, feeds):
        data = model if isinstance(model, bytes) else model.SerializeToString()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        # Exact sums of bytes also on processors without instructions for them, where others saturate.
        options.add_session_config_entry("session.x64quantprecision", "1")
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        # Outputs get the types and the number of dimensions that the runtime infers.
        types = {output.name: output for output in session.get_outputs()}
        if not isinstance(model, bytes):
            numbers = {"tensor(float)": 1, "tensor(float16)": 10, "tensor(int32)": 6, "tensor(int64)": 7,
                       "tensor(uint8)": 2, "tensor(int8)": 3, "tensor(bool)": 9}
            for output in model.graph.output:
                if not output.type.WhichOneof("value"):
                    output.type.tensor_type.elem_type = numbers[types[output.name].type]
            data = model.SerializeToString()
        (self.folder / f"{name}.onnx").write_bytes(data)
        for number, feed in enumerate(feeds):
            results = session.run(None, feed)
            arrays = {f"input.{key}": value for key, value in feed.items()}
            arrays |= {f"output.{info.name}": value for info, value in zip(session.get_outputs(), results)}
            np.savez(self.folder / f"{name}.{number}.npz", **arrays)


def pointwise(cases):
    x = [f32(2, 3, 8), f32(5, 3, 8)]
    cases.add("gelu", "Gelu", {"x": x})
    cases.add("bias_gelu", "BiasGelu", {"x": x, "b": f32(8)}, fixed="b")
    cases.add("fast_gelu", "FastGelu", {"x": x})
    cases.add("fast_gelu_bias", "FastGelu", {"x": x, "b": f32(8)}, fixed="b")
    cases.add("quick_gelu", "QuickGelu", {"x": x}, alpha=1.3)
    cases.add("expand_dims", "ExpandDims", {"x": x, "axis": scalar(1, np.int32)}, fixed=["axis"])
    cases.add("trilu", "Trilu", {"x": f32(2, 4, 5), "k": scalar(1, np.int64)}, fixed="k", upper=1)
    cases.add("range", "Range", {"a": scalar(1.0), "b": scalar(9.0), "c": scalar(2.5)}, fixed="abc")
    cases.add("pad", "Pad", {"x": x, "pads": np.array([0, 1, 2, 0, 0, 1]), "v": scalar(0.5)}, fixed=["pads", "v"])
    cases.add("gather_nd", "GatherND", {"x": f32(3, 4, 5), "i": np.array([[0, 1], [2, 3]])})
    cases.add("grid_sample", "GridSample", {"x": f32(1, 2, 5, 6), "g": f32(1, 3, 4, 2, scale=0.5)}, mode="bilinear",
              align_corners=1)


def norms(cases):
    x, skip = [f32(2, 3, 8), f32(1, 4, 8)], [f32(2, 3, 8), f32(1, 4, 8)]
    scale, bias, more = f32(8), f32(8), f32(8)
    fixed = ["scale", "bias", "more"]
    for name, results in (("skip_norm", 1), ("skip_norm_sum", ["y", "", "", "sum"])):
        operands = {"x": x, "skip": skip, "scale": scale, "bias": bias, "more": more}
        cases.add(name, "SkipLayerNormalization", operands, results, fixed, epsilon=1e-5)
        operands = {"x": x, "skip": skip, "scale": scale, "more": more}
        cases.add(f"{name}_rms", "SkipSimplifiedLayerNormalization", operands, results, fixed, epsilon=1e-5)
    operands = {"x": x, "skip": skip, "scale": scale}
    cases.add("skip_norm_bare", "SkipLayerNormalization", operands, 1, fixed)
    operands = {"x": x, "skip": f32(1, 1, 8), "scale": scale, "bias": bias}
    operands = {"x": f32(2, 3, 8), "skip": f32(3, 8), "scale": scale, "bias": bias}
    cases.add("skip_norm_row", "SkipLayerNormalization", operands, 1, [*fixed, "skip"])
    cases.add("rms_norm", "SimplifiedLayerNormalization", {"x": x, "scale": scale}, 1, fixed, domain="", axis=-1,
              epsilon=1e-6)
    words, places, segments = f32(20, 8), f32(10, 8), f32(2, 8)
    tables = {"words": words, "places": places, "segments": segments, "scale": scale, "bias": bias}
    fixed = list(tables)
    ids = [RANDOM.integers(0, 20, shape).astype(np.int32) for shape in ((2, 5), (3, 7))]
    kinds = [RANDOM.integers(0, 2, x.shape).astype(np.int32) for x in ids]
    mask = [np.ones_like(x) for x in ids]
    mask[0][1, 3:] = 0
    cases.add("embed", "EmbedLayerNormalization", {"ids": ids, "kinds": kinds} | tables | {"mask": mask},
              ["y", "lengths"], fixed, epsilon=1e-6)
    cases.add("embed_sum", "EmbedLayerNormalization",
              {"ids": ids, "kinds": kinds} | tables | {"mask": None, "at": [x[:, ::-1] % 10 for x in ids]},
              ["y", "lengths", "sum"], fixed)
    bare = {"ids": ids, "kinds": None} | tables | {"segments": None}
    cases.add("embed_bare", "EmbedLayerNormalization", bare, ["y", "lengths"], fixed)


def attention(cases):
    heads, size, length = 2, 4, [3, 6]
    wide = heads * size
    x = [f32(2, n, 8) for n in length]
    weights, bias = f32(8, 3 * wide), f32(3 * wide)
    fixed = ["w", "b"]
    operands = {"x": x, "w": weights, "b": bias}
    cases.add("attention", "Attention", operands, 1, fixed, num_heads=heads)
    cases.add("attention_causal", "Attention", operands, 1, fixed, num_heads=heads, unidirectional=1, scale=0.3)
    masks = {
        "keys": [np.array([[1] * (n - 1) + [0], [1] * n], np.int32) for n in length],
        "lengths": [np.array([n - 1, n], np.int32) for n in length],
        "ends": [np.array([n - 1, n, 1, 0], np.int32) for n in length],
        "pairs": [(RANDOM.random((2, n, n)) < 0.7).astype(np.int32) for n in length],
    }
    for name, mask in masks.items():
        cases.add(f"attention_mask_{name}", "Attention", operands | {"mask": mask}, 1, fixed, num_heads=heads,
                  unidirectional=int(name == "keys"))
    past = [f32(2, 2, heads, 2, size) for n in length]
    cases.add("attention_past", "Attention", operands | {"mask": None, "past": past}, 2, fixed, num_heads=heads,
              unidirectional=1)
    more = [f32(2, heads, n, n) for n in length]
    cases.add("attention_bias", "Attention", operands | {"mask": None, "past": None, "more": more}, 1, fixed,
              num_heads=heads)
    uneven = {"x": x, "w": f32(8, 2 * wide + 12), "b": f32(2 * wide + 12)}
    cases.add("attention_sizes", "Attention", uneven, 1, fixed, num_heads=heads, qkv_hidden_sizes=[wide, wide, 12])
    scales = {"sx": scalar(0.02), "sw": scalar(0.01), "mask": None, "zx": scalar(120, np.uint8),
              "zw": scalar(3, np.int8)}
    quantized = {"x": [u8(2, n, 8) for n in length], "w": i8(8, 3 * wide), "b": bias} | scales
    cases.add("attention_bytes", "QAttention", quantized, 1, ["w", "b", "sx", "sw", "zx", "zw"], num_heads=heads)

    q, k, v = ([f32(2, n, wide) for n in length] for _ in range(3))
    cases.add("heads", "MultiHeadAttention", {"q": q, "k": k, "v": v}, 1, num_heads=heads)
    cases.add("heads_bias", "MultiHeadAttention", {"q": q, "k": k, "v": v, "b": bias}, 1, "b", num_heads=heads,
              unidirectional=1)
    mask = [np.array([[1] * (n - 1) + [0], [1] * n], np.int32) for n in length]
    for name, own in (("keys", mask), ("lengths", masks["lengths"])):
        cases.add(f"heads_mask_{name}", "MultiHeadAttention", {"q": q, "k": k, "v": v, "b": bias, "mask": own}, 1, "b",
                  num_heads=heads, mask_filter_value=-1000.0)
    cases.add("heads_past", "MultiHeadAttention",
              {"q": q, "k": k, "v": v, "b": None, "mask": None, "more": None,
               "pk": [f32(2, heads, 2, size) for _ in length], "pv": [f32(2, heads, 2, size) for _ in length]},
              3, num_heads=heads)
    other = [f32(2, n + 2, wide) for n in length]
    cases.add("heads_cross", "MultiHeadAttention", {"q": q, "k": other, "v": other}, 1, num_heads=heads)
    cross = [f32(2, heads, n + 2, size) for n in length]
    cases.add("heads_ready", "MultiHeadAttention", {"q": q, "k": cross, "v": cross}, 1, num_heads=heads)

    size, heads, shared = 16, 4, 2
    q = [f32(2, n, heads * size) for n in length]
    k, v = ([f32(2, n, shared * size) for n in length] for _ in range(2))
    ends = [np.full(2, n - 1, np.int32) for n in length]
    total = [scalar(n, np.int32) for n in length]
    both = {"num_heads": heads, "kv_num_heads": shared}
    none = {"pk": None, "pv": None}
    cases.add("grouped", "GroupQueryAttention", {"q": q, "k": k, "v": v} | none | {"ends": ends, "total": total}, 3,
              **both)
    angles = {"cos": np.cos(f32(16, size // 2)), "sin": np.sin(f32(16, size // 2))}
    cases.add("grouped_rotated", "GroupQueryAttention",
              {"q": q, "k": k, "v": v} | none | {"ends": ends, "total": total} | angles, 3, list(angles), do_rotary=1,
              local_window_size=3, scale=0.4, **both)
    joined = [np.concatenate(x, 2) for x in zip(q, k, v)]
    cases.add("grouped_joined", "GroupQueryAttention",
              {"q": joined, "k": None, "v": None} | none | {"ends": ends, "total": total}, 3, softcap=2.0, **both)
    places = [np.tile(np.arange(n), (2, 1)) + np.array([[1], [4]]) for n in length]
    rotated = [f32(2, heads, n, size) for n in length]
    cases.add("rotary", "RotaryEmbedding", {"x": rotated, "at": places} | angles, 1, list(angles))
    cases.add("rotary_first", "RotaryEmbedding", {"x": q, "at": np.array([2])} | angles, 1, list(angles), interleaved=1)
    cases.add("rotary_part", "RotaryEmbedding",
              {"x": q, "at": places, "cos": angles["cos"][:, :2], "sin": angles["sin"][:, :2]}, 1, list(angles),
              num_heads=heads, rotary_embedding_dim=4)


def products(cases):
    a = [f32(2, 3, 4), f32(5, 3, 4)]
    cases.add("fused_matmul", "FusedMatMul", {"a": a, "b": f32(4, 5)}, 1, "b", alpha=0.5)
    cases.add("fused_matmul_b", "FusedMatMul", {"a": a, "b": f32(5, 4)}, 1, "b", transB=1)
    cases.add("fused_matmul_a", "FusedMatMul", {"a": a, "b": f32(3, 5)}, 1, transA=1, alpha=2.0)
    cases.add("fused_matmul_batch", "FusedMatMul", {"a": f32(3, 2, 4), "b": f32(4, 2, 5)}, 1, transBatchA=1,
              transBatchB=1)
    cases.add("fused_matmul_all", "FusedMatMul", {"a": f32(4, 2, 3), "b": f32(5, 2, 4)}, 1, transBatchA=1,
              transBatchB=1, transA=1, transB=1)
    rows = [f32(2, 4), f32(5, 4)]
    for activation, more in (("Relu", {}), ("LeakyRelu", {"activation_alpha": 0.2}), ("Tanh", {})):
        cases.add(f"fused_gemm_{activation.lower()}", "FusedGemm", {"a": rows, "b": f32(5, 4), "c": f32(5)}, 1, "bc",
                  transB=1, alpha=0.7, activation=activation, **more)
    x, w, b = [f32(2, 3, 8, 8), f32(1, 3, 8, 8)], f32(4, 3, 3, 3), f32(4)
    shape = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    for activation, more in (("Relu", {}), ("Clip", {"activation_params": [0.0, 1.0]}),
                             ("HardSigmoid", {"activation_params": [0.2, 0.5]})):
        cases.add(f"fused_conv_{activation.lower()}", "FusedConv", {"x": x, "w": w, "b": b}, 1, "wb",
                  activation=activation, **shape, **more)
    z = [f32(2, 4, 8, 8), f32(1, 4, 8, 8)]
    cases.add("fused_conv_sum", "FusedConv", {"x": x, "w": w, "b": b, "z": z}, 1, "wb", activation="Relu", **shape)
    for bits in (4, 8):
        for zeros in (False, True):
            blocks, block, size = 3, 16, 40
            packed = {"b": u8(6, blocks, block * bits // 8), "s": f32(6, blocks, scale=0.1)}
            if zeros:
                packed["z"] = u8(6, (blocks * bits + 7) // 8)
            cases.add(f"few_bits_{bits}_{'zeros' if zeros else 'plain'}", "MatMulNBits",
                      {"a": [f32(2, 3, size), f32(1, 4, size)]} | packed, 1, "bsz", K=size, N=6, bits=bits,
                      block_size=block)


def quantized(cases):
    a, b = [u8(2, 3, 4), u8(5, 3, 4)], u8(4)
    scales = {"sa": scalar(0.02), "za": scalar(120, np.uint8)}
    result = {"sy": scalar(0.05), "zy": scalar(100, np.uint8)}
    fixed = ["sa", "za", "sb", "zb", "sy", "zy", "sw", "zw", "w", "b", "c"]
    other = {"sb": scalar(0.03), "zb": scalar(7, np.uint8)}
    for op in ("Add", "Mul"):
        cases.add(f"linear_{op.lower()}", f"QLinear{op}", {"a": a} | scales | {"b": b} | other | result, 1, fixed)
        signed = {"sa": scalar(0.02), "za": scalar(-3, np.int8), "b": i8(4), "sb": scalar(0.03), "zb": scalar(5, np.int8),
                  "sy": scalar(0.05), "zy": scalar(1, np.int8)}
        cases.add(f"linear_{op.lower()}_signed", f"QLinear{op}", {"a": i8(2, 3, 4)} | signed, 1, fixed)
    share = {"sy": scalar(1 / 256), "zy": scalar(0, np.uint8)}
    cases.add("linear_sigmoid", "QLinearSigmoid", {"a": a} | scales | share, 1, fixed)
    cases.add("linear_leaky_relu", "QLinearLeakyRelu", {"a": a} | scales | result, 1, fixed, alpha=0.2)
    cases.add("linear_softmax", "QLinearSoftmax", {"a": a} | scales | share, 1, fixed, axis=-1, opset=13)
    cases.add("linear_softmax_old", "QLinearSoftmax", {"a": a} | scales | share, 1, fixed, axis=1, opset=11)
    image = [u8(2, 4, 6, 6), u8(1, 4, 6, 6)]
    last = [x.transpose(0, 2, 3, 1) for x in image]
    for name, own, more in (("", image, 0), ("_last", last, 1)):
        cases.add(f"linear_mean{name}", "QLinearGlobalAveragePool", {"a": own} | scales | result, 1, fixed,
                  channels_last=more)
        cases.add(f"linear_pool{name}", "QLinearAveragePool", {"a": own} | scales | result, 1, fixed,
                  channels_last=more, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    cases.add("max_pool_last", "NhwcMaxPool", {"a": last}, 1, kernel_shape=[2, 2], strides=[2, 2])
    cases.add("linear_concat", "QLinearConcat",
              result | {"a": a} | scales | {"b": [u8(2, 2, 4), u8(5, 2, 4)], "sb": scalar(0.03),
                                            "zb": scalar(7, np.uint8)}, 1,
              [name for name in fixed if name != "b"], axis=1)
    cases.add("linear_where", "QLinearWhere",
              {"if": RANDOM.random((3, 4)) < 0.5, "a": u8(3, 4)} | scales | {"b": b} | other | result, 1, fixed)
    rows = [u8(2, 4), u8(5, 4)]
    weights = {"w": i8(4, 6), "sw": f32(6, scale=0.01) ** 2 + scalar(0.001), "zw": np.zeros(6, np.int8),
               "c": RANDOM.integers(-500, 500, 6).astype(np.int32)}
    cases.add("linear_gemm", "QGemm", {"a": rows} | scales | weights | result, 1, fixed)
    one = {"w": i8(6, 4), "sw": scalar(0.01), "zw": scalar(2, np.int8), "c": weights["c"]}
    cases.add("linear_gemm_float", "QGemm", {"a": rows} | scales | one, 1, fixed, transB=1, alpha=0.5)
    cases.add("integer_to_float", "MatMulIntegerToFloat",
              {"a": a, "w": i8(4, 6), "sa": scalar(0.02), "sw": scalar(0.01), "za": scalar(120, np.uint8),
               "zw": scalar(2, np.int8), "c": f32(6)}, 1, fixed)
    cases.add("integer_to_float_columns", "MatMulIntegerToFloat",
              {"a": a, "w": i8(4, 6), "sa": scalar(0.02), "sw": weights["sw"], "za": scalar(120, np.uint8)}, 1, fixed)
    numbers = [f32(1, 3, 4), f32(5, 3, 4)]
    cases.add("dynamic_matmul", "DynamicQuantizeMatMul",
              {"a": numbers, "w": i8(4, 6), "sw": scalar(0.01), "zw": scalar(2, np.int8), "c": f32(6)}, 1, fixed)
    cases.add("dynamic_matmul_columns", "DynamicQuantizeMatMul",
              {"a": numbers, "w": u8(4, 6), "sw": weights["sw"], "zw": u8(6)}, 1, fixed)
    cases.add("dequantize", "DequantizeLinear", {"a": a} | scales, 1, fixed)
    cases.add("dequantize_wide", "DequantizeLinear",
              {"a": RANDOM.integers(0, 60000, (2, 3)).astype(np.uint16), "sa": scalar(0.01),
               "za": scalar(30000, np.uint16)}, 1, fixed)
    cases.add("dequantize_axis", "DequantizeLinear",
              {"a": a, "sa": f32(4) ** 2, "za": u8(4)}, 1, fixed, axis=2)
    cases.add("quantize", "QuantizeLinear", {"a": numbers, "sa": scalar(0.02), "za": scalar(100, np.uint8)}, 1, fixed)


def pairs(cases):
    """Products between DequantizeLinear and QuantizeLinear, whose exact sums lie between two bytes every other time."""
    for name, op, shape, weights, axis, attributes in (
        ("conv", "Conv", [(2, 3, 6, 6), (1, 3, 6, 6)], i8(4, 3, 3, 3), 0, {"pads": [1, 1, 1, 1]}),
        ("conv_grouped", "Conv", [(2, 4, 6, 6), (1, 4, 6, 6)], i8(4, 2, 3, 3), 0, {"group": 2}),
        ("matmul", "MatMul", [(2, 3, 8), (1, 3, 8)], i8(8, 5), 1, {}),
        ("gemm", "Gemm", [(2, 8), (5, 8)], i8(5, 8), 0, {"transB": 1}),
    ):
        for per_channel in (False, True):
            count = weights.shape[axis]
            x_scale = np.float32(0.013)
            w_scale = np.float32(0.007) * (np.arange(1, count + 1, dtype=np.float32) if per_channel else np.float32(1))
            constants = {"sx": x_scale, "zx": scalar(117, np.uint8), "w": weights // 8, "sw": w_scale,
                         "zw": np.zeros(np.shape(w_scale), np.int8), "zy": scalar(101, np.uint8),
                         "sy": np.float32(x_scale * np.float32(0.007) * np.float32(2))}
            nodes = [helper.make_node("QuantizeLinear", ["x", "sx", "zx"], ["xq"]),
                     helper.make_node("DequantizeLinear", ["xq", "sx", "zx"], ["xd"]),
                     helper.make_node("DequantizeLinear", ["w", "sw", "zw"], ["wd"], axis=axis)]
            operands = ["xd", "wd"]
            if op != "MatMul":
                constants |= {"b": RANDOM.integers(-50, 50, count).astype(np.int32), "sb": x_scale * w_scale,
                              "zb": np.zeros(np.shape(w_scale), np.int32)}
                nodes.append(helper.make_node("DequantizeLinear", ["b", "sb", "zb"], ["bd"], axis=0))
                operands.append("bd")
            nodes.append(helper.make_node(op, operands, ["y"], name=name, **attributes))
            nodes.append(helper.make_node("QuantizeLinear", ["y", "sy", "zy"], ["yq"]))
            sizes = ["n", *shape[0][1:]]
            graph = helper.make_graph(nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
                                      [onnx.ValueInfoProto(name="yq")],
                                      [numpy_helper.from_array(np.asarray(value), key) for key, value in constants.items()])
            model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
            full = f"pairs_{name}_{'channels' if per_channel else 'one'}"
            cases.write(full, model, [{"x": f32(*own, scale=0.5)} for own in shape])


def lstm(cases):
    size, width = 6, 4
    for name, ways, direction in (("", 1, "forward"), ("_both", 2, "bidirectional"), ("_back", 1, "reverse")):
        weights = {"w": i8(ways, width, 4 * size), "r": i8(ways, size, 4 * size), "b": f32(ways, 8 * size, scale=0.1)}
        states = {"lengths": None, "h": [f32(ways, n, size) for n in (1, 3)], "c": [f32(ways, n, size) for n in (1, 3)],
                  "p": None}
        scales = {"sw": f32(ways, scale=0.01) ** 2 + scalar(0.005), "zw": np.zeros(ways, np.int8),
                  "sr": f32(ways, scale=0.01) ** 2 + scalar(0.005), "zr": np.zeros(ways, np.int8)}
        x = [f32(5, 1, width), f32(2, 3, width)]
        fixed = ["w", "r", "b", "sw", "zw", "sr", "zr"]
        cases.add(f"dynamic_lstm{name}", "DynamicQuantizeLSTM", {"x": x} | weights | states | scales, 3, fixed,
                  direction=direction, hidden_size=size)
    columns = {"sw": f32(1, 4 * size, scale=0.01) ** 2 + scalar(0.005), "zw": np.full((1, 4 * size), 121, np.uint8),
               "sr": f32(1, 4 * size, scale=0.01) ** 2 + scalar(0.005), "zr": np.full((1, 4 * size), 119, np.uint8)}
    weights = {"w": u8(1, width, 4 * size), "r": u8(1, size, 4 * size), "b": f32(1, 8 * size, scale=0.1)}
    cases.add("dynamic_lstm_columns", "DynamicQuantizeLSTM",
              {"x": x} | weights | {"lengths": [np.array([5], np.int32), np.array([2, 1, 2], np.int32)], "h": None,
                                    "c": None, "p": None} | columns, 3, fixed, hidden_size=size)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    cases = Cases(folder)
    for part in (pointwise, norms, attention, products, quantized, pairs, lstm):
        part(cases)
    print(f"{len(list(folder.glob('*.onnx')))} models of ONNX Runtime's own operators")


if __name__ == "__main__":
    main()

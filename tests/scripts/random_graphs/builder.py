"""A graph under construction: every node is run by ONNX Runtime as soon as it is added, so that sizes and values are known."""

import random

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

RUNS = 2
"""Runs of each graph; sizes that are not fixed differ between them."""
LARGEST = 3000
"""Elements of the largest value."""
HUGE = 1e5
"""Numbers beyond it, and those that are not finite, are results only."""
FLOATS = (np.float32, np.float64, np.float16)
INTEGERS = (np.int64, np.int32, np.int8, np.uint8, np.int16, np.uint16, np.uint32, np.uint64)
WORDS = ("", "a", "b", "Ab", "cat", "dog", "ä", "7", "-1", "2.5")


class Refused(Exception):
    """ONNX Runtime does not take a node, or there is nothing to make one of."""


def element_type(dtype):
    if np.dtype(dtype).kind in "OUS":
        return onnx.TensorProto.STRING
    return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))


class Value:
    """A value with its arrays, one for each run. `exact` says that other ways of computing it give the same bits."""

    def __init__(self, name, arrays, exact=True, constant=False):
        self.name, self.arrays, self.exact, self.constant = name, arrays, exact, constant
        self.is_sequence = isinstance(arrays[0], list)
        self.used = False
        self.scale = 0 if self.is_sequence else max(largest(x) for x in arrays)
        self.unlike = not self.is_sequence and len({x.ndim for x in arrays}) > 1
        self.spoiled = self.is_sequence or self.unlike or any(
            x.dtype.kind == "f" and x.size and not (np.abs(x.astype(np.float64)) < HUGE).all() for x in arrays)

    @property
    def dtype(self):
        return self.arrays[0].dtype.type

    @property
    def rank(self):
        return self.arrays[0].ndim

    @property
    def sizes(self):
        """The sizes of each axis, a tuple over the runs."""
        return list(zip(*(x.shape for x in self.arrays)))

    def type_proto(self):
        if self.is_sequence:
            first = next((x for array in self.arrays for x in array), np.zeros(0, np.float32))
            return helper.make_sequence_type_proto(helper.make_tensor_type_proto(element_type(first.dtype), None))
        return helper.make_tensor_type_proto(element_type(self.dtype), None if self.unlike else [None] * self.rank)


def largest(x):
    """The largest finite number of an array of floats."""
    if x.dtype.kind != "f" or not x.size:
        return 0
    return float(np.abs(np.nan_to_num(x.astype(np.float64), posinf=0, neginf=0)).max())


def session(model, optimized=True):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    # Exact sums of bytes also on processors without instructions for them, where others saturate.
    options.add_session_config_entry("session.x64quantprecision", "1")
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class Graph:
    """What `parent` has is seen by a graph within a node."""

    def __init__(self, seed, opset, parent=None):
        self.seed, self.opset, self.parent = seed, opset, parent
        self.random = parent.random if parent else random.Random(seed)
        self.values = []
        self.nodes, self.initializers, self.inputs = [], [], []
        self.feeds = [{} for _ in range(RUNS)]
        self.captured = {}
        self.domains = parent.domains if parent else set()
        self.counter = parent.counter if parent else [0]
        if parent:
            self.pool, self.batch, self.batched, self.names = parent.pool, parent.batch, parent.batched, parent.names
            return
        pick = self.random
        sizes = [1, 2, 3, 4, 5, 6, 7, 8]
        self.pool = [(pick.choice(sizes),) * RUNS for _ in range(3)]
        self.pool += [tuple(pick.choice(sizes) for _ in range(RUNS)) for _ in range(2)]
        if pick.random() < 0.03:
            self.pool.append((0, 3))
        self.batch = pick.choice([(1, 3), (2, 3), (3, 1), (2, 5), (4, 2), (1, 1)])
        self.batched = pick.random() < 0.5
        self.names = {}
        if self.batched:
            self.pool = [size for size in self.pool if len(set(size)) == 1]

    # Choices.

    def chance(self, probability):
        return self.random.random() < probability

    def name(self, kind="v"):
        self.counter[0] += 1
        return f"{kind}{self.counter[0]}"

    def shape(self, rank=None, least=0, most=4):
        rank = self.random.randint(least, most) if rank is None else rank
        sizes = [self.random.choice(self.pool) for _ in range(rank)]
        if rank and self.batched and self.chance(0.95):
            sizes[0] = self.batch
        return sizes

    def numbers(self, dtype, shape, low=None, high=None):
        count = int(np.prod(shape, dtype=np.int64))
        pick = self.random
        dtype = np.dtype(dtype)
        if dtype.kind in "OUS":
            flat = np.array([pick.choice(WORDS) for _ in range(count)], dtype=object)
        elif dtype.kind == "b":
            flat = np.array([pick.random() < 0.5 for _ in range(count)], dtype=bool)
        elif dtype.kind == "f":
            low, high = (-4 if low is None else low), (4 if high is None else high)
            flat = np.array([pick.randint(int(low * 8), int(high * 8)) / 8 for _ in range(count)], dtype=dtype)
        else:
            low = (0 if dtype.kind == "u" else -5) if low is None else low
            flat = np.array([pick.randint(low, 9 if high is None else high) for _ in range(count)], dtype=dtype)
        return flat.reshape(shape)

    # Values.

    def dim_of(self, sizes, numbers):
        """How a size of an input is declared: a number, a name or nothing."""
        if len(set(sizes)) == 1 and self.chance(numbers):
            return sizes[0]
        if self.batched and sizes == self.batch:
            return "batch"
        if self.chance(0.2):
            return None
        own = self.names.setdefault(sizes, [])
        if own and self.chance(0.6):
            return self.random.choice(own)
        own.append(f"n{sum(map(len, self.names.values()))}")
        return own[-1]

    def input(self, arrays, numbers=0.6):
        """A new input of the file; `numbers` is how often it declares a size as such that is the same in all runs."""
        root = self
        while root.parent:
            root = root.parent
        value = Value(self.name("x"), arrays)
        dims = [self.dim_of(sizes, numbers) for sizes in value.sizes]
        if self.batched and dims and value.sizes[0] == self.batch and self.chance(0.9):
            dims[0] = "batch"
        root.inputs.append(helper.make_tensor_value_info(value.name, element_type(value.dtype), dims))
        for feed, array in zip(root.feeds, arrays):
            feed[value.name] = array
        root.values.append(value)
        return value

    def constant(self, array):
        value = Value(self.name("c"), [array] * RUNS, constant=True)
        proto = numpy_helper.from_array(array, value.name)
        value.proto = proto
        if self.chance(0.75):
            self.initializers.append(proto)
        else:
            self.nodes.append(helper.make_node("Constant", [], [value.name], value=proto))
        self.values.append(value)
        return value

    def given(self, arrays, constant=0.4, numbers=0.6):
        """A new value of these arrays: a constant where it may be one, else an input."""
        same = all(x.shape == arrays[0].shape and (x == arrays[0]).all() for x in arrays)
        if same and (self.batched or self.chance(constant)):
            return self.constant(arrays[0])
        return self.input(arrays, numbers)

    def fresh(self, dtype, sizes, low=None, high=None, constant=None):
        """A new value of sizes that are tuples over the runs."""
        shapes = list(zip(*sizes)) if sizes else [()] * RUNS
        # Those that mostly are constants are weights, whose sizes files tell.
        numbers = 0.95 if constant and constant >= 0.8 else 0.6
        constant = constant if constant is not None else 0.4
        # Only items are given where they run together.
        if self.batched and (not sizes or sizes[0] != self.batch):
            constant = 1
        if all(shape == shapes[0] for shape in shapes) and self.chance(constant):
            return self.constant(self.numbers(dtype, shapes[0], low, high))
        return self.input([self.numbers(dtype, shape, low, high) for shape in shapes], numbers)

    def parameter(self, *arrays, dtype=np.int64):
        """An operand that says a shape, an axis or the like: one array, or one for each run."""
        arrays = [np.asarray(x, dtype) for x in arrays]
        arrays = arrays * RUNS if len(arrays) == 1 else arrays
        return self.given(arrays, constant=0.95 if self.batched else 0.8, numbers=1)

    def seen(self):
        return self.values + (self.parent.seen() if self.parent else [])

    def pick(self, dtypes=FLOATS, rank=None, exact=False, where=None, old=0.85):
        """A value of one of these types: one that is there, or a new one."""
        dtypes = dtypes if isinstance(dtypes, tuple) else (dtypes,)
        ranks = (0, 5) if rank is None else (rank, rank) if isinstance(rank, int) else rank

        def fits(value):
            return (not value.spoiled and (value.exact or not exact) and value.dtype in dtypes
                    and ranks[0] <= value.rank <= ranks[1] and (where is None or where(value)))
        if self.chance(old):
            own = [value for value in self.seen() if fits(value)]
            if own:
                # Later ones make longer chains.
                return self.random.choice(own[-6:] if self.chance(0.7) and not self.parent else own)
        dtype = dtypes[0] if self.chance(0.6) else self.random.choice(dtypes)
        rank = self.random.randint(ranks[0], min(ranks[1], 4))
        value = self.fresh(dtype, self.shape(rank), constant=0.1)
        if not fits(value):
            raise Refused("no operand")
        return value

    def beside(self, value, dtype=None, low=None, high=None):
        """A value that broadcasts with another one."""
        dtype = dtype or value.dtype
        if self.chance(0.3):
            def meets(other):
                pairs = zip(value.sizes[::-1], other.sizes[::-1])
                return all(a == b or set(a) == {1} or set(b) == {1} for a, b in pairs)
            own = [x for x in self.seen() if not x.spoiled and x.dtype == dtype and meets(x)]
            if own and low is None:
                return self.random.choice(own)
        sizes = value.sizes
        if self.chance(0.3):
            sizes = sizes[self.random.randint(0, len(sizes)):]
        sizes = [(1,) * RUNS if self.chance(0.25) else size for size in sizes]
        if self.chance(0.08) and len(sizes) < 4:
            sizes = [self.random.choice(self.pool)] + sizes
        return self.fresh(dtype, sizes, low, high)

    def axis(self, value, least=0):
        """An axis of a value, from the front or the back."""
        if value.rank <= least:
            raise Refused("no axis")
        axis = self.random.randint(least, value.rank - 1)
        return axis - value.rank if self.chance(0.3) else axis

    # Nodes.

    def node(self, op, operands, outputs=1, exact=None, domain="", **attributes):
        """Adds a node. `exact` says whether its results are so if its operands are; those that are no floats always are."""
        operands = [x if isinstance(x, Value) or x is None else self.parameter(x) for x in operands]
        while operands and operands[-1] is None:
            operands.pop()
        attributes = {key: value for key, value in attributes.items() if value is not None}
        names = [x.name if x is not None else "" for x in operands]
        outputs = [self.name() for _ in range(outputs)] if isinstance(outputs, int) else outputs
        outputs = [self.name() if output is True else output or "" for output in outputs]
        node = helper.make_node(op, names, outputs, domain=domain, name=self.name("n"), **attributes)
        if domain:
            self.domains.add(domain)
        known = {x.name: x for x in operands if x is not None}
        bodies = [x.g for x in node.attribute if x.type == onnx.AttributeProto.GRAPH]
        inner = [names for body in bodies for names in free_names(body)]
        known |= {x.name: x for x in self.seen() if x.name in inner}
        wanted = [output for output in outputs if output]
        results = self.evaluate(node, list(known.values()), wanted)
        made = []
        for output, arrays in zip(wanted, results):
            is_float = not isinstance(arrays[0], list) and arrays[0].dtype.kind == "f"
            own = all(x.exact for x in known.values()) and (bool(exact) or not is_float)
            if any(x.size > LARGEST for x in arrays if not isinstance(x, list)):
                raise Refused("large")
            made.append(Value(output, arrays, own))
            if is_float and not own:
                made[-1].scale = max([made[-1].scale] + [x.scale for x in known.values()])
        for x in known.values():
            x.used = True
        self.nodes.append(node)
        self.values += made
        return made

    def remove(self, value):
        """Takes back the last node, which made the value."""
        self.nodes.pop()
        self.values.remove(value)

    def one(self, *arguments, **attributes):
        return self.node(*arguments, **attributes)[0]

    def evaluate(self, node, operands, outputs):
        """The results of a node alone, for each run."""
        fixed = [x.proto for x in operands if x.constant]
        open_operands = [x for x in operands if not x.constant]
        inputs = [onnx.ValueInfoProto(name=x.name, type=x.type_proto()) for x in open_operands]
        graph = helper.make_graph([node], "node", inputs, [onnx.ValueInfoProto(name=x) for x in outputs], fixed)
        try:
            runner = session(self.model(graph))
            results = [runner.run(outputs, {x.name: x.arrays[run] for x in open_operands}) for run in range(RUNS)]
        except Exception as error:
            raise Refused(str(error)) from error
        results = [[array(x) for x in run] for run in results]
        if any(x is None for run in results for x in run):
            raise Refused("not a tensor")
        return [list(arrays) for arrays in zip(*results)]

    def model(self, graph):
        sets = [helper.make_opsetid("", self.opset)]
        versions = {"ai.onnx.ml": 3, "com.microsoft": 1}
        sets += [helper.make_opsetid(domain, versions[domain]) for domain in sorted(self.domains)]
        return helper.make_model(graph, opset_imports=sets, ir_version=10)


def array(x):
    if isinstance(x, list):
        return x if all(isinstance(own, np.ndarray) for own in x) else None
    if isinstance(x, (np.ndarray, np.generic)):
        return np.asarray(x)
    return None


def free_names(graph):
    """What a graph within a node takes from outside."""
    own = {x.name for x in graph.input} | {x.name for x in graph.initializer}
    own |= {output for node in graph.node for output in node.output}
    for node in graph.node:
        for name in node.input:
            if name and name not in own:
                yield name
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from (name for name in free_names(attribute.g) if name not in own)
    yield from (x.name for x in graph.output if x.name not in own)

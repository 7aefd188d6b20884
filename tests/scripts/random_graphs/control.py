"""Graphs within nodes, sequences and optional values."""

import numpy as np
from onnx import helper

from builder import RUNS, Graph, Refused, element_type

COMMON = (np.float32, np.int64, np.float64)


def proto(inner, inputs, outputs):
    declared = [helper.make_tensor_value_info(x.name, element_type(x.dtype), None) for x in outputs]
    return helper.make_graph(inner.nodes, inner.parent.name("body"), inputs, declared, inner.initializers)


def branch(g, dtype, rank):
    """A graph of a few nodes that ends in a value of a type."""
    import operators
    inner = Graph(0, g.opset, g)
    for _ in range(g.random.randint(0, 3)):
        try:
            operators.add(inner)
        except Refused:
            pass
    own = {name for node in inner.nodes for name in node.output}
    ends = [x for x in inner.values if x.name in own and not x.is_sequence and x.dtype == dtype
            and not x.unlike and x.rank == rank]
    if ends:
        return inner, ends[-1]
    x = inner.pick(dtype, rank)
    return inner, inner.one("Identity", [x], exact=True)


def if_(g):
    if g.opset < 11 or g.parent and g.parent.parent:
        raise Refused("deep")
    dtype = g.random.choice(COMMON)
    kind = g.random.random()
    if kind < 0.5:
        condition = g.given([np.array(g.chance(0.5)) for _ in range(RUNS)], constant=0.1)
    else:
        size = g.one("ReduceMax", [g.pick(np.int64, rank=(1, 3))], keepdims=0) if kind < 0.7 else g.one("Size", [g.pick(COMMON)])
        condition = g.one("Greater", [size, g.parameter(g.random.choice([2, 6, 12]))])
    rank = g.random.randint(0, 3)
    (a, end_a), (b, end_b) = branch(g, dtype, rank), branch(g, dtype, rank)
    g.one("If", [condition], exact=end_a.exact and end_b.exact, then_branch=proto(a, [], [end_a]),
          else_branch=proto(b, [], [end_b]))


def loop(g):
    if g.opset < 11 or g.parent:
        raise Refused("deep")
    x = g.pick(COMMON, rank=(0, 3))
    inner = Graph(0, g.opset, g)
    trip, condition, state = g.name("i"), g.name("c"), g.name("s")
    trips = [g.random.randint(1, 4) for _ in range(RUNS)] if g.chance(0.5) else [g.random.randint(1, 4)] * RUNS
    grows = g.chance(0.3) and x.rank > 0
    kept, new, row = g.name(), g.name(), g.name()
    inner.nodes.append(helper.make_node("Identity", [condition], [kept]))
    if grows:
        end = x.name if g.chance(0.5) else state
        inner.nodes.append(helper.make_node("Concat", [state, end], [new], axis=0))
    else:
        step = inner.given([np.array(2, x.dtype)] * RUNS, constant=1)
        inner.nodes.append(helper.make_node(g.random.choice(["Add", "Sub", "Mul"]), [state, step.name], [new]))
    inner.nodes.append(helper.make_node("Cast", [trip], [row], to=1) if g.chance(0.5) or grows
                       else helper.make_node("Identity", [new], [row]))
    row_type = element_type(x.dtype) if inner.nodes[-1].op_type == "Identity" else 1
    kind = element_type(x.dtype)
    shape = None if grows else [None] * x.rank
    inputs = [helper.make_tensor_value_info(trip, 7, []), helper.make_tensor_value_info(condition, 9, []),
              helper.make_tensor_value_info(state, kind, shape)]
    outputs = [helper.make_tensor_value_info(kept, 9, []), helper.make_tensor_value_info(new, kind, shape),
               helper.make_tensor_value_info(row, row_type, None)]
    body = helper.make_graph(inner.nodes, g.name("body"), inputs, outputs, inner.initializers)
    count = g.given([np.array(trip, np.int64) for trip in trips], constant=0.5)
    start = g.parameter(True, dtype=np.bool_) if g.chance(0.5) else None
    if x.constant:
        raise Refused("state")
    g.node("Loop", [count, start, x], 2, exact=True, body=body)


def scan(g):
    if g.opset < 9 or g.parent:
        raise Refused("deep")
    x = g.pick((np.float32, np.float64), rank=(1, 3))
    if x.constant:
        raise Refused("row")
    axis = g.random.randrange(x.rank) if g.chance(0.3) else 0
    rest = [size for at, size in enumerate(x.sizes) if at != axis]
    state = g.fresh(x.dtype, rest, constant=0)
    inner = Graph(0, g.opset, g)
    s, r, t, o = (g.name() for _ in range(4))
    inner.nodes.append(helper.make_node(g.random.choice(["Add", "Sub", "Max"]), [s, r], [t]))
    inner.nodes.append(helper.make_node(g.random.choice(["Identity", "Neg", "Tanh"]), [t], [o]))
    kind, shape = element_type(x.dtype), [None] * len(rest)
    inputs = [helper.make_tensor_value_info(name, kind, shape) for name in (s, r)]
    outputs = [helper.make_tensor_value_info(name, kind, shape) for name in (t, o)]
    body = helper.make_graph(inner.nodes, g.name("body"), inputs, outputs)
    attributes = {}
    if axis:
        attributes["scan_input_axes"] = [axis]
    if g.chance(0.3):
        attributes["scan_input_directions"] = [1]
    if g.chance(0.3):
        attributes["scan_output_directions"] = [1]
    if g.chance(0.2) and rest:
        attributes["scan_output_axes"] = [g.random.randint(0, len(rest))]
    g.node("Scan", [state, x], 2, body=body, num_scan_inputs=1, **attributes)


def sequence(g):
    if g.opset < 11:
        raise Refused("no sequences")
    x = g.pick((np.float32, np.int64), rank=(1, 3))
    if g.chance(0.5):
        axis = g.axis(x)
        parts = g.one("SplitToSequence", [x], axis=axis, keepdims=g.random.choice([None, 1, 0]), exact=True)
    else:
        parts = g.one("SequenceConstruct", [x, g.beside(x), x], exact=True)
    kind = g.random.choice(["at", "length", "concat", "insert"])
    if kind == "at":
        return g.one("SequenceAt", [parts, g.parameter(g.random.choice([0, -1]))], exact=True)
    if kind == "length":
        return g.one("SequenceLength", [parts])
    if kind == "insert":
        parts = g.one("SequenceInsert", [parts, x, g.parameter(0)], exact=True)
        return g.one("SequenceAt", [parts, g.parameter(-1)], exact=True)
    return g.one("ConcatFromSequence", [parts], exact=True, axis=g.random.randint(-1, 0), new_axis=g.random.choice([None, 0, 1]))


MAKERS = [if_, if_, loop, scan, sequence]

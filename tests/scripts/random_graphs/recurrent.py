"""Recurrent layers."""

import numpy as np

from builder import RUNS, Refused


def layer(g):
    op, gates = g.random.choice([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
    direction = g.random.choice(["forward", "reverse", "bidirectional", None])
    directions = 2 if direction == "bidirectional" else 1
    hidden, wide = g.random.choice([1, 2, 3, 5]), g.random.choice([1, 2, 4])
    steps = g.random.choice(g.pool + [(4, 2), (3, 6)])
    layout = 1 if g.opset >= 14 and g.chance(0.15) else None
    sizes = [g.batch, steps] if layout else [steps, g.batch]
    x = g.fresh(np.float32, sizes + [(wide,) * RUNS], -1, 1, constant=0)
    many = (directions,) * RUNS
    w = g.fresh(np.float32, [many, (gates * hidden,) * RUNS, (wide,) * RUNS], -1, 1, constant=0.9)
    r = g.fresh(np.float32, [many, (gates * hidden,) * RUNS, (hidden,) * RUNS], -1, 1, constant=0.9)
    b = g.fresh(np.float32, [many, (2 * gates * hidden,) * RUNS], -1, 1, constant=0.9) if g.chance(0.6) else None
    lengths = None
    if g.chance(0.3) and min(steps) > 0:
        lengths = g.input([np.array([g.random.randint(1, count) for _ in range(batch)], np.int32)
                           for count, batch in zip(steps, g.batch)])
    state = [g.batch, many] if layout else [many, g.batch]
    h = g.fresh(np.float32, state + [(hidden,) * RUNS], -1, 1) if g.chance(0.4) else None
    operands = [x, w, r, b, lengths, h]
    attributes = {"hidden_size": hidden, "direction": direction, "layout": layout}
    if op == "LSTM":
        operands.append(g.fresh(np.float32, state + [(hidden,) * RUNS], -1, 1) if g.chance(0.4) else None)
        operands.append(g.fresh(np.float32, [many, (3 * hidden,) * RUNS], -1, 1, constant=1) if g.chance(0.2) else None)
        attributes["input_forget"] = g.random.choice([None, None, 0, 1])
    if op == "GRU":
        attributes["linear_before_reset"] = g.random.choice([None, 0, 1])
    if g.chance(0.2):
        attributes["clip"] = 0.5
    if g.chance(0.2):
        kinds = {"LSTM": ["Sigmoid", "Tanh", "Relu"], "GRU": ["HardSigmoid", "Softsign"], "RNN": ["Relu"]}[op]
        attributes["activations"] = kinds * directions
    count = 3 if op == "LSTM" else 2
    outputs = [g.chance(0.8) for _ in range(count)]
    if not any(outputs):
        outputs[0] = True
    g.node(op, operands, outputs, **attributes)


MAKERS = [layer]

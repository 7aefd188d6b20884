"""ResNet-50 and MobileNetV3-Large of their published shapes, with random weights."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# The inverted residuals of MobileNetV3-Large (Howard et al., Searching for MobileNetV3, table 1): kernel, channels
# within, channels out, whether squeeze-and-excite, whether hard-swish, stride.
MOBILE = [
    (3, 16, 16, False, False, 1),
    (3, 64, 24, False, False, 2),
    (3, 72, 24, False, False, 1),
    (5, 72, 40, True, False, 2),
    (5, 120, 40, True, False, 1),
    (5, 120, 40, True, False, 1),
    (3, 240, 80, False, True, 2),
    (3, 200, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 184, 80, False, True, 1),
    (3, 480, 112, True, True, 1),
    (3, 672, 112, True, True, 1),
    (5, 672, 160, True, True, 2),
    (5, 960, 160, True, True, 1),
    (5, 960, 160, True, True, 1),
]


class Network:
    """Nodes in the order of their making; each method returns the name of its result."""

    def __init__(self):
        self.random = np.random.default_rng(0)
        self.nodes, self.constants = [], []

    def constant(self, *shape, scale):
        name = f"w{len(self.constants)}"
        values = (self.random.standard_normal(shape) * scale).astype(np.float32)
        self.constants.append(numpy_helper.from_array(values, name))
        return name

    def node(self, kind, *inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def conv(self, x, given, made, kernel=1, stride=1, group=1, gain=2.0):
        """A convolution with the bias of a batch norm that is folded into it; results keep the variance."""
        scale = np.sqrt(gain / (given // group * kernel * kernel))
        weights, bias = self.constant(made, given // group, kernel, kernel, scale=scale), self.constant(made, scale=0.1)
        sizes = {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [kernel // 2] * 4, "group": group}
        return self.node("Conv", x, weights, bias, **sizes)

    def linear(self, x, given, made):
        weights, bias = self.constant(made, given, scale=given**-0.5), self.constant(made, scale=0.1)
        return self.node("Gemm", x, weights, bias, transB=1)

    def save(self, y, path):
        x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3, 224, 224])
        made = helper.make_tensor_value_info(y, TensorProto.FLOAT, ["batch", 1000])
        graph = helper.make_graph(self.nodes, "network", [x], [made], self.constants)
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)


def resnet(path):
    """ResNet-50, whose blocks have their stride in the 3 x 3 convolution."""
    net = Network()
    x = net.node("Relu", net.conv("x", 3, 64, 7, 2))
    x = net.node("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
    given = 64
    for stage, (blocks, width) in enumerate([(3, 64), (4, 128), (6, 256), (3, 512)]):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            y = net.node("Relu", net.conv(x, given, width))
            y = net.node("Relu", net.conv(y, width, width, 3, stride))
            y = net.conv(y, width, 4 * width, gain=0.2)
            rest = x if block else net.conv(x, given, 4 * width, 1, stride, gain=1.0)
            x, given = net.node("Relu", net.node("Add", y, rest)), 4 * width
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    net.save(net.linear(x, given, 1000), path)


def mobilenet(path):
    """MobileNetV3-Large."""
    net = Network()
    x, given = net.node("HardSwish", net.conv("x", 3, 16, 3, 2)), 16
    for kernel, within, made, squeezes, swishes, stride in MOBILE:
        activate = "HardSwish" if swishes else "Relu"
        y = x if within == given else net.node(activate, net.conv(x, given, within))
        y = net.node(activate, net.conv(y, within, within, kernel, stride, group=within))
        if squeezes:
            # A quarter, as a multiple of 8 that is not less by a tenth.
            narrow = (within // 4 + 4) // 8 * 8
            narrow += 8 * (narrow < 0.9 * within / 4)
            gate = net.node("Relu", net.conv(net.node("GlobalAveragePool", y), within, narrow))
            gate = net.node("HardSigmoid", net.conv(gate, narrow, within), alpha=1 / 6, beta=0.5)
            y = net.node("Mul", y, gate)
        y = net.conv(y, within, made, gain=1.0)
        x = net.node("Add", x, y) if stride == 1 and given == made else y
        given = made
    x = net.node("HardSwish", net.conv(x, given, 960))
    x = net.node("Flatten", net.node("GlobalAveragePool", x))
    x = net.node("HardSwish", net.linear(x, 960, 1280))
    net.save(net.linear(x, 1280, 1000), path)


def pictures(save, count):
    """A network over pictures of 224 x 224."""

    def make(folder):
        save(folder / "model.onnx")
        return np.random.default_rng(0).standard_normal((count, 3, 224, 224)).astype(np.float32), {}

    return make

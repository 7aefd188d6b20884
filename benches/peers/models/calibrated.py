"""Convolutional models in int8 for ONNX Runtime and OpenVINO: calibrated on the first items of the job.

Ours runs the model as it is, in int8 without calibration.
"""

import numpy as np
import onnx
from onnx import version_converter

# Items of the calibration.
ITEMS = 4


def calibrated(make):
    """The model and the items that `make` gives, and beside the model its quantized form for the others."""

    def make_both(folder):
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Items(CalibrationDataReader):
            def __init__(self, name, x):
                self.all = iter([{name: x[at : at + 1]} for at in range(min(ITEMS, len(x)))])

            def get_next(self):
                return next(self.all, None)

        x, more = make(folder)
        plain = onnx.load(folder / "model.onnx")
        # A scale for each filter needs operator set 13.
        if plain.opset_import[0].version < 13:
            plain = version_converter.convert_version(plain, 17)
        onnx.save(plain, folder / "converted.onnx")
        prepared = folder / "prepared.onnx"
        quant_pre_process(str(folder / "converted.onnx"), str(prepared), skip_symbolic_shape=True)
        name, items = next(iter(x.items())) if isinstance(x, dict) else (plain.graph.input[0].name, x)
        kinds = {"activation_type": QuantType.QUInt8, "weight_type": QuantType.QInt8}
        theirs = str(folder / "theirs.onnx")
        items = Items(name, np.asarray(items))
        quantize_static(str(prepared), theirs, items, quant_format=QuantFormat.QDQ, per_channel=True, **kinds)
        return x, more

    return make_both

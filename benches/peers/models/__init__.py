"""Models that `onnx_models.py` measures, and what else runs them."""

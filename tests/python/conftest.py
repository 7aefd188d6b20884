"""Where the tests' models are."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
MINILM = ROOT / "tests" / "data" / "minilm"
MAGIKA = ROOT / "examples" / "models" / "magika" / "model.onnx"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
GOLDENS = ROOT / "tests" / "goldens"

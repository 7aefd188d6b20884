"""Products and both encoders in PyTorch: torch_peer.py real|tiny"""

import json
import sys
import time

import torch
from torch import nn

tiny = sys.argv[1] == "tiny"
device = "cuda" if torch.cuda.is_available() else "cpu"


def cell(table, row, column, value):
    print(json.dumps({"table": table, "row": row, "column": column, "value": float(f"{value:.4g}")}), flush=True)


def seconds(call, times):
    def done():
        if device == "cuda":
            torch.cuda.synchronize()

    for _ in range(3):
        call()
    done()
    start = time.perf_counter()
    for _ in range(times):
        call()
    done()
    return (time.perf_counter() - start) / times


print(json.dumps({"note": f"torch {torch.__version__} on {torch.cuda.get_device_name() if device == 'cuda' else device}"}), flush=True)
for size in (64,) if tiny else (512, 1024, 2048, 4096, 8192):
    for dtype in (torch.float32, torch.float16):
        a = torch.randn(size, size, device=device).to(dtype)
        b = torch.randn(size, size, device=device).to(dtype)
        each = seconds(lambda: a @ b, 2 if tiny else 20)
        cell("torch, TFLOP/s", f"{size} x {size} x {size}", str(dtype).split(".")[1], 2 * size**3 / each / 1e12)


class Encoder(nn.Module):
    def __init__(self, layers, hidden, heads):
        super().__init__()
        layer = nn.TransformerEncoderLayer(hidden, heads, 4 * hidden, activation="gelu", batch_first=True)
        self.words = nn.Embedding(30522, hidden)
        self.positions = nn.Embedding(512, hidden)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)

    def forward(self, ids):
        places = torch.arange(ids.shape[1], device=ids.device)
        return nn.functional.normalize(self.layers(self.words(ids) + self.positions(places)).mean(1), dim=1)


for name, layers, hidden in (("minilm", 6, 384), ("bert-base", 12, 768)):
    model = Encoder(1 if tiny else layers, hidden, 12).to(device).eval()
    for dtype in (torch.float32, torch.float16):
        if device == "cpu" and dtype == torch.float16:
            continue
        model = model.to(dtype)
        # Sorted by length, short texts have about 20 tokens without padding.
        for tokens in (128, 20):
            texts = 2 if tiny else 32768 // tokens
            ids = torch.randint(1000, 30000, (texts, tokens), device=device)
            with torch.inference_mode():
                each = seconds(lambda: model(ids), 1 if tiny else 5)
            cell("torch, texts/s of ids alone", f"{name}, {tokens} tokens", str(dtype).split(".")[1], texts / each)

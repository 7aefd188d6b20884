"""all-MiniLM-L6-v2 by ONNX Runtime in f32, one text at a time, no padding: the reference that vectors are held to."""

import json
from pathlib import Path

import numpy as np
import onnxruntime
from tokenizers import Tokenizer


def tokenizer(folder):
    """The folder's tokenizer with the sentence-transformers length in place of what tokenizer.json itself says."""
    limit = json.loads(Path(folder, "sentence_bert_config.json").read_text())["max_seq_length"]
    made = Tokenizer.from_file(str(Path(folder, "tokenizer.json")))
    made.no_padding()
    made.enable_truncation(limit)
    return made


class Reference:
    def __init__(self, folder, graph):
        self.tokenizer = tokenizer(folder)
        self.session = onnxruntime.InferenceSession(str(graph), providers=["CPUExecutionProvider"])

    def embed(self, text):
        """The token ids of one text and its vector."""
        ids = self.tokenizer.encode(text).ids
        row = np.array([ids], np.int64)
        feeds = {"input_ids": row, "attention_mask": np.ones_like(row), "token_type_ids": np.zeros_like(row)}
        return ids, self.session.run(["sentence_embedding"], feeds)[0][0]

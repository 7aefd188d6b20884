"""Small checkpoints in every form that PyTorch writes: `golden_checkpoints.py FOLDER`.

Needs PyTorch.
"""

import collections
import pathlib
import sys

import torch


def state():
    """Tensors of every type, and what checkpoints have beside plain ones."""
    numbers = torch.arange(6, dtype=torch.float32).reshape(2, 3) - 2.5
    tensors = collections.OrderedDict(numbers=numbers)
    for dtype in (torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int8, torch.bool):
        tensors[str(dtype).removeprefix("torch.")] = numbers.to(dtype)
    # Views of one storage, a parameter, one storage under two names, a number without dimensions, none at all, and
    # dimensions of one number, whose strides say nothing.
    joined = torch.arange(8, dtype=torch.float32)
    tensors["first"], tensors["second"] = joined[:3], joined[3:].reshape(5, 1)
    tensors["parameter"] = torch.nn.Parameter(numbers[0].clone())
    tensors["again"] = numbers
    tensors["single"] = torch.tensor(7.0)
    tensors["empty"] = torch.empty(0, 4)
    tensors["thin"] = numbers[:, 1:2].T[:, :1]
    tensors._metadata = collections.OrderedDict({"": {"version": 1}})
    return tensors


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(state(), folder / "archive.bin")
    torch.save(dict(state()), folder / "archive-protocol4.bin", pickle_protocol=4)
    torch.save(state(), folder / "row.bin", _use_new_zipfile_serialization=False)
    torch.save({"turned": state()["numbers"].T}, folder / "turned.bin")
    torch.save({"model": torch.nn.Linear(1, 1)}, folder / "module.bin")


main()

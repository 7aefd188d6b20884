"""Holds labels and scores to the `magika` command: compare_identify.py OURS.jsonl [DATA_DIR] [--share 0.999] [--bound 1e-4]

OURS.jsonl is what `identify PATH... --jsonl OURS.jsonl` wrote; the command is asked about the paths in it, from the
same working folder. It cuts its scores to three decimals: a full score s belongs to any t with t <= s < t + 1e-3, and
the difference counted is the distance from there. Errors count as a label of their own. Exit status 1 where fewer
labels than the share are equal or a score is past the bound.
"""

import argparse
import json
from collections import Counter
from pathlib import Path

from magika_command import command


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("ours", type=Path)
    parser.add_argument("data", type=Path, nargs="?", default=Path(__file__).resolve().parent.parent / "data")
    parser.add_argument("--share", type=float, default=0.999)
    parser.add_argument("--bound", type=float, default=1e-4)
    arguments = parser.parse_args()
    ours = [json.loads(line) for line in arguments.ours.read_text(encoding="utf-8").splitlines()]
    if not ours:
        raise SystemExit("no lines to compare")
    theirs = command(arguments.data, [line["path"] for line in ours])
    equal, other, worst, raw = 0, 0, 0.0, 0.0
    for line, (label, score) in zip(ours, theirs):
        if line.get("label") != label:
            print(f"{line['path']}: {line.get('label', line.get('error'))} {line.get('score')}, magika {label} {score}")
            other += 1
            continue
        equal += 1
        if label is not None:
            raw = max(raw, abs(line["score"] - score))
            worst = max(worst, score - line["score"], line["score"] - score - 1e-3)
    labels = Counter(label for label, _ in theirs)
    print(f"{len(ours)} files, {len(labels)} labels: {equal} equal ({100 * equal / len(ours):.3f} %), {other} not; "
          f"largest score difference {raw:.6f}, {worst:.2g} past what cutting explains")
    raise SystemExit(equal < arguments.share * len(ours) or worst > arguments.bound)


main()

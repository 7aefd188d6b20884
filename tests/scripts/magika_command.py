"""The `magika` command of the test environment."""

import json
import subprocess
from pathlib import Path


def command(data, paths, chunk=500):
    """(label, score) of each path as the command prints them; (None, None) where it reports an error."""
    found = []
    for start in range(0, len(paths), chunk):
        part = [str(path) for path in paths[start : start + chunk]]
        run = subprocess.run([Path(data, "venv/bin/magika"), "--jsonl", *part], stdout=subprocess.PIPE, check=False)
        lines = [json.loads(line) for line in run.stdout.splitlines()]
        if [line["path"] for line in lines] != part:
            raise RuntimeError("the magika command did not answer for each file")
        for line in lines:
            value = line["result"].get("value")
            found.append((value["output"]["label"], value["score"]) if value else (None, None))
    return found

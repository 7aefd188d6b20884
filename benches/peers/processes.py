"""Programs measured from outside: seconds, memory of all their processes, and what they print (Linux)."""

import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path


def children_of():
    """The children of each process."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(entry))
    return children


def tree_bytes(root):
    """The proportional set sizes of a process and all that came of it, together."""
    children, left, total = children_of(), [root], 0
    while left:
        pid = left.pop()
        left += children.get(pid, [])
        try:
            rollup = Path("/proc", str(pid), "smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in rollup.splitlines() if line.startswith("Pss:"))
    return total


def run(command, sampled):
    """Runs a command to its end: seconds, largest memory if it is `sampled`, what it printed."""
    with tempfile.TemporaryFile("w+") as printed:
        started = time.monotonic()
        process = subprocess.Popen([str(part) for part in command], stdout=printed)
        samples, over = [0], threading.Event()

        def sample():
            while not over.wait(0.05):
                samples.append(tree_bytes(process.pid))

        sampler = threading.Thread(target=sample)
        if sampled:
            sampler.start()
        process.wait()
        seconds = time.monotonic() - started
        if sampled:
            over.set()
            sampler.join()
        if process.returncode:
            sys.exit(f"{command[0]} ended with {process.returncode}")
        printed.seek(0)
        return seconds, max(samples), printed.read()

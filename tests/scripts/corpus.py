"""A folder of COUNT mixed files for the file type example: corpus.py COUNT [DATA_DIR]

Writes DATA_DIR/files-COUNT: about a fifth made by samples.py, the rest copied from what this machine carries (Python
and Rust packages, /usr/share, /usr/lib ...), the rare file name endings first. The same machine gives the same folder.
"""

import hashlib
import os
import shutil
import sys
import sysconfig
from collections import defaultdict
from pathlib import Path

from samples import samples

LIMIT = 1 << 20  # bytes; the model sees 4,096 at either end, so larger files only cost disk


def roots():
    cargo = Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo"), "registry/src")
    system = ["/usr/share", "/usr/lib", "/usr/include", "/usr/bin", "/etc"]
    return [Path(sysconfig.get_path("purelib")), Path(sysconfig.get_path("stdlib")), cargo, *map(Path, system)]


def candidates(root):
    """Readable plain files under the root, as (name ending, hash of the path below the root, path)."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(f for f in folders if not f.startswith(".git"))
        for name in names:
            path = os.path.join(folder, name)
            try:
                name.encode()
                if os.path.islink(path) or not 0 < os.path.getsize(path) <= LIMIT or not os.access(path, os.R_OK):
                    continue
            except (OSError, UnicodeEncodeError):
                continue
            key = hashlib.sha256(os.path.relpath(path, root).encode()).hexdigest()
            yield os.path.splitext(name)[1].lower(), key, path


def rare_first(found, count):
    """`count` paths, taken from each name ending in turn, so that no common one drowns the others."""
    groups = defaultdict(list)
    for ending, key, path in found:
        groups[ending].append((key, path))
    queues = [sorted(group, reverse=True) for _, group in sorted(groups.items())]
    taken = []
    while queues and len(taken) < count:
        taken += [queue.pop()[1] for queue in queues]
        queues = [queue for queue in queues if queue]
    return taken[:count]


def main():
    count = int(sys.argv[1])
    data = Path(sys.argv[2] if len(sys.argv) > 2 else Path(__file__).resolve().parent.parent / "data")
    target, partial = data / f"files-{count}", data / f"files-{count}.part"
    if target.exists():
        return
    made = []
    for seed in range(max(1, count // 1000)):
        made += samples(seed, with_edges=seed == 0)
    made = made[: count // 4]
    found = rare_first((row for root in roots() for row in candidates(root)), count - len(made))
    if len(found) + len(made) < count:
        print(f"corpus: only {len(found) + len(made)} files found on this machine", file=sys.stderr)
    shutil.rmtree(partial, ignore_errors=True)
    for i, (name, content) in enumerate(made + [(Path(path).name, None) for path in found]):
        folder = partial / f"{i // 100:02}"
        folder.mkdir(parents=True, exist_ok=True)
        place = folder / f"{i:05}-{name[-80:]}"
        place.write_bytes(content) if content is not None else shutil.copyfile(found[i - len(made)], place)
    partial.rename(target)
    print(f"corpus: {len(made)} made and {len(found)} copied into {target}", file=sys.stderr)


if __name__ == "__main__":
    main()

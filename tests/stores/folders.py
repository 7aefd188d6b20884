"""Runs `embed` into folders of stores: the objects are the files of the same job in a local folder, whatever happens."""

import json
import random
import signal
import subprocess
import time
from pathlib import Path

from commands import check_secrets, embed, files_of, lines, run, verify_job
from servers import Store

# Seconds until the parts of a process that was killed are taken over.
LEASE = ["--lease", "1"]


def check(store: Store, folder: Path) -> None:
    folder.mkdir(parents=True)
    texts = folder / "texts.jsonl"
    texts.write_bytes(lines(0, 10_000).replace(b'"one word and 77 more"', b"null").replace(b'"one word and 5405 more"', b"7"))
    local = folder / "local"
    run(embed(texts, local, {}), code=3)
    expected = files_of(local)

    def start(out: str, *flags: str) -> subprocess.Popen[bytes]:
        command = embed(texts, f"{store.url}/{out}", store.environment, "--resume", *LEASE, *flags)
        return subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def same(out: str, wanted: dict[str, bytes] = expected) -> None:
        found = store.objects(out)
        check_secrets(found)
        assert found.keys() == wanted.keys(), (sorted(found), sorted(wanted))
        for name, content in wanted.items():
            assert found[name] == content, name

    def verify(*arguments: str | Path, code: int = 0) -> str:
        return run(verify_job(*arguments, environment=store.environment), code)

    # Once, again, and on top of itself.
    whole = f"{store.url}/whole"
    said = run(embed(texts, whole, store.environment, "--report", str(folder / "report.json")), code=3)
    check_secrets({"said": said.encode(), "report": (folder / "report.json").read_bytes()})
    same("whole")
    assert "holds a job already" in run(embed(texts, whole, store.environment), code=1)
    run(embed(texts, whole, store.environment, "--resume"), code=3)
    same("whole")
    assert "complete: 25 parts, 10000 rows, 2 failed" in verify("--complete", whole)
    verify(local, whole)

    # Failed rows that were repaired.
    repaired = folder / "repaired"
    run(embed(texts, repaired, {}), code=3)
    broken = texts.read_bytes()
    texts.write_bytes(lines(0, 10_000))
    for out in [repaired, whole]:
        run(embed(texts, out, store.environment, "--retry-errors"))
    same("whole", files_of(repaired))
    verify("--complete", whole)
    texts.write_bytes(broken)

    # Shares of one folder and of two.
    for index in [1, 2]:
        process = start("shares", "--shard", f"{index}/2")
        assert process.wait(300) == 3
    same("shares")
    run(embed(texts, folder / "first", {}, "--shard", "1/2"), code=3)
    run(embed(texts, f"{store.url}/second", store.environment, "--shard", "2/2"), code=3)
    verify("--merge", f"{store.url}/merged", folder / "first", f"{store.url}/second")
    same("merged")
    verify("--merge", folder / "merged", f"{store.url}/second", folder / "first")
    assert files_of(folder / "merged") == expected

    # Parts that are written in pieces, and a table.
    long = folder / "long.jsonl"
    long.write_bytes(b"".join(json.dumps({"text": f"{row} " * 600}).encode() + b"\n" for row in range(6000)))
    for flags in [["--rows", "6000"], ["--rows", "6000", "--to", "parquet", "--keep", "text"]]:
        name = "long" if len(flags) == 2 else "table"
        run(embed(long, folder / name, {}, *flags))
        run(embed(long, f"{store.url}/{name}", store.environment, *flags))
        same(name, files_of(folder / name))
        verify("--complete", f"{store.url}/{name}")

    # A stop: everything that is finished is valid, and nobody waits for the rest.
    process = start("stopped", "--rows", "100", "--workers", "1")
    wait_for_parts(store, "stopped", 2)
    process.send_signal(signal.SIGTERM)
    stopped = time.monotonic()
    code = process.wait(60)
    took = time.monotonic() - stopped
    assert took < 5 and code in (143, 3), (took, code)
    run(embed(texts, f"{store.url}/stopped", store.environment, "--resume", "--rows", "100", "--workers", "1"), code=3)
    run(embed(texts, folder / "stopped", {}, "--rows", "100", "--workers", "1"), code=3)
    same("stopped", files_of(folder / "stopped"))

    kills = fleet(store, folder, texts)
    assert store.uploads() == 0
    said = run(embed(texts, "http://127.0.0.1:1/out", store.environment), code=1)
    assert "not below http://" in said, said
    print(f"{store.url}: folders passed; stopped in {took:.1f} s, fleet with {kills} kills", flush=True)


def wait_for_parts(store: Store, out: str, parts: int) -> None:
    deadline = time.monotonic() + 60
    while sum("/done/" in name for name in store.objects(out)) < parts:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def fleet(store: Store, folder: Path, texts: Path) -> int:
    """Eight processes on one folder, of which some are killed at random moments, and one stands still for a while."""
    flags = ["--rows", "100", "--workers", "1"]
    run(embed(texts, folder / "fleet", {}, *flags), code=3)
    expected = files_of(folder / "fleet")
    command = embed(texts, f"{store.url}/fleet", store.environment, "--resume", *LEASE, *flags)
    start = lambda: subprocess.Popen(command, stderr=subprocess.PIPE)
    chance, kills = random.Random(7), 0
    processes = [start() for _ in range(8)]
    slow = processes[0]
    stands_still, goes_on = time.monotonic() + 1.5, time.monotonic() + 6
    deadline = time.monotonic() + 600
    while any(process.poll() is None for process in processes):
        assert time.monotonic() < deadline
        time.sleep(chance.uniform(0.05, 0.4))
        now = time.monotonic()
        if now > goes_on:
            slow.send_signal(signal.SIGCONT)
        elif now > stands_still:
            slow.send_signal(signal.SIGSTOP)
        if kills < 30:
            index = chance.randrange(1, len(processes))
            if processes[index].poll() is None:
                processes[index].kill()
                processes[index].wait()
                processes[index] = start()
                kills += 1
    for process in processes:
        said = process.communicate()[1].decode()
        assert process.returncode == 3, (process.returncode, said)
    found = store.objects("fleet")
    assert found.keys() == expected.keys(), sorted(found.keys() ^ expected.keys())
    assert found == expected
    run(verify_job("--complete", f"{store.url}/fleet", environment=store.environment))
    return kills

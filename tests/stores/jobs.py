"""Runs `embed` over inputs in stores, and compares what it writes with the same job over local files."""

import gzip
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import folders
from commands import contents, embed, lines, run, verify_job
from servers import SECRET, S3, Azure, Google, Store, free_port, wait_for


def check(store: Store, folder: Path) -> None:
    files = {
        "texts/b/2.jsonl": lines(0, 1500),
        "texts/b/1.jsonl.gz": gzip.compress(lines(1500, 1000), mtime=0),
        "texts/b-c.jsonl": lines(2500, 5000),
        "texts/a b/%41.jsonl": lines(7500, 10),
        "texts/_skipped/x.jsonl": lines(7510, 10),
    }
    for key, content in files.items():
        path = folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        store.put(key, content)
    for number, inputs in enumerate(["texts", "texts/", "texts/b/*.jsonl*", "texts/**/*.jsonl", "texts/a b/%41.jsonl"]):
        local, out = folder / f"local-{number}", folder / f"out-{number}"
        run(embed(folder / inputs, local, {}))
        run(embed(f"{store.url}/{inputs}", out, store.environment, "--report", str(folder / "report.json")))
        assert contents(out, store.environment) == contents(local, {}), inputs
        run(verify_job("--complete", out))
        assert SECRET not in (folder / "report.json").read_text()

    # A table.
    run(embed(folder / "texts/b-c.jsonl", folder / "tables", {}, "--to", "parquet", "--keep", "id,text", "--rows", "30000"))
    table = sorted((folder / "tables").glob("part-*"))[0]
    store.put("table.parquet", table.read_bytes())
    run(embed(table, folder / "local-table", {}, "--keep", "id,text"))
    run(embed(f"{store.url}/table.parquet", folder / "out-table", store.environment, "--keep", "id,text"))
    assert contents(folder / "out-table", store.environment) == contents(folder / "local-table", {})

    # Killed and resumed.
    out, kills = folder / "killed", 0
    while True:
        process = subprocess.Popen(
            embed(f"{store.url}/texts", out, store.environment, "--resume"), stderr=subprocess.DEVNULL
        )
        before, deadline = len(list(out.glob("part-*"))), time.monotonic() + 60
        while process.poll() is None and len(list(out.glob("part-*"))) < before + 2:
            assert time.monotonic() < deadline
            time.sleep(0.002)
        if process.poll() is not None:
            assert process.returncode == 0
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert contents(out, store.environment) == contents(folder / "local-0", {})

    # Two processes in one folder.
    both = [
        subprocess.Popen(embed(f"{store.url}/texts", folder / "both", store.environment, "--resume"), stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [process.wait(300) for process in both] == [0, 0]
    assert contents(folder / "both", store.environment) == contents(folder / "local-0", {})

    # Replaced.
    store.put("texts/b/2.jsonl", files["texts/b/2.jsonl"].replace(b"word", b"WORD"))
    said = run(embed(f"{store.url}/texts", out, store.environment, "--resume"), code=1)
    assert "over other inputs" in said and "the ETag" in said, said

    # What is not there.
    for inputs in ["none.jsonl", "none/", "none/*.jsonl"]:
        said = run(embed(f"{store.url}/{inputs}", folder / "none", store.environment), code=1)
        assert "no file" in said, said
    print(f"{store.url}: inputs passed, {kills} kills", flush=True)


def main() -> None:
    for store in [S3, Azure, Google]:
        port = free_port()
        command = store.command(port)
        if command is None:
            print(f"SKIPPED: {store.url}, whose server is not installed", file=sys.stderr)
            continue
        with tempfile.TemporaryDirectory() as folder:
            server = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                wait_for(port)
                opened = store(port)
                check(opened, Path(folder) / "jobs")
                if opened.takes_objects:
                    folders.check(opened, Path(folder) / "folders")
                else:
                    print(f"SKIPPED: folders in {store.url}, whose server takes no objects by this interface", file=sys.stderr)
            finally:
                server.terminate()
                server.wait()


main()

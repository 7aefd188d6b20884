"""Jobs over inputs on a server, which answers ranges as object stores do."""

import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import gristmill
import pytest
from conftest import GOLDENS

BERT = GOLDENS / "encoders" / "bert"


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves the bytes of a class of its own, whole or in ranges."""

    body = b""
    asked: list[str] = []

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, with_body: bool) -> None:
        body, found = self.body, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        self.send_response(206 if found else 200)
        if found:
            start, end = int(found[1]), min(int(found[2]) + 1, len(body))
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(body)}")
            body = body[start:end]
            self.asked.append(found[0])
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"one"')
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The URL of a file, and the file."""
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"id": place, "text": f"fox {place}"}) + "\n" for place in range(25)))

    class Served(Handler):
        body = path.read_bytes()
        asked: list[str] = []

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/texts.jsonl", path
        assert Served.asked, "nothing was read from the server"
        server.shutdown()


def test_a_url_gives_the_parts_of_the_file(served: tuple[str, Path], tmp_path: Path) -> None:
    url, path = served
    model = gristmill.Embedder(BERT)
    for texts, name in [(url, "remote"), (str(path), "local")]:
        job = gristmill.Job(model, texts, tmp_path / name, rows=10)
        assert job.run()["complete"]
    remote, local = (sorted((tmp_path / name).glob("part-*")) for name in ["remote", "local"])
    assert [part.name for part in remote] == [part.name for part in local] and len(local) == 3
    assert all(one.read_bytes() == other.read_bytes() for one, other in zip(remote, local, strict=True))


def test_a_url_of_nothing_names_itself(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no-such-file"):
        gristmill.Job(gristmill.Embedder(BERT), "http://127.0.0.1:9/no-such-file.jsonl", tmp_path / "out").run()

"""The commands that the tests run."""

import json
import os
import subprocess
from pathlib import Path

from servers import AZURE_KEY, SECRET

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "examples"
MODEL = ROOT / "tests" / "goldens" / "words" / "model2vec"


def lines(first: int, count: int) -> bytes:
    rows = ({"id": row, "text": f"one word and {row} more"} for row in range(first, first + count))
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def within(environment: dict[str, str], *command: str | Path) -> list[str]:
    # `env` starts a command without what this machine says of other stores.
    clean = ["env", *(f"--unset={name}" for name in os.environ if name.startswith(("AWS_", "AZURE_", "GOOGLE_")))]
    settings = [f"{name}={value}" for name, value in environment.items()]
    return [str(part) for part in [*clean, *settings, *command]]


def embed(inputs: str | Path, out: str | Path, environment: dict[str, str], *flags: str) -> list[str]:
    command = [EXAMPLES / "embed", "--device", "cpu", "--model", MODEL, "--rows", "400", "--workers", "2"]
    return within(environment, *command, *flags, inputs, "--out-dir", out)


def verify_job(*arguments: str | Path, environment: dict[str, str] | None = None) -> list[str]:
    return within(environment or {}, EXAMPLES / "verify_job", *arguments)


def run(command: list[str], code: int = 0) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    said = done.stdout + done.stderr
    assert done.returncode == code, (done.returncode, said)
    assert SECRET not in said and AZURE_KEY not in said, said
    return said


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_secrets(files: dict[str, bytes]) -> None:
    for value in [SECRET, AZURE_KEY]:
        assert not any(value.encode() in content for content in files.values()), value


def contents(folder: Path, environment: dict[str, str]) -> dict[str, bytes]:
    """All files but the plan, which names the inputs by other means; none of them has a secret."""
    files = files_of(folder)
    check_secrets(files)
    assert environment == {} or b'"etag"' in files["_gristmill/plan.json"]
    return {name: content for name, content in files.items() if name != "_gristmill/plan.json"}

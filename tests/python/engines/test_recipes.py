"""The programs of the documentation, as they stand there, give the vectors of one process."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow.dataset
import pytest
from corpus import MINILM, ROOT, digest, expected, rows, write

# Page, heading above the program, and what it needs.
PROGRAMS = [
    ("ray.md", "# On a Ray cluster", "ray"),
    ("spark.md", "# On a Spark cluster", "pyspark"),
    ("engines.md", "## Daft", "daft"),
    ("engines.md", "## DuckDB", "duckdb"),
    ("engines.md", "## Polars", "polars"),
]


@pytest.mark.parametrize(("page", "heading", "module"), PROGRAMS, ids=[module for _, _, module in PROGRAMS])
def test_a_program_of_the_documentation(page: str, heading: str, module: str, tmp_path: Path) -> None:
    if importlib.util.find_spec(module) is None or (module == "pyspark" and shutil.which("java") is None):
        pytest.skip(f"{module} is not installed, or what it needs")
    section = (ROOT / "docs" / page).read_text().split(f"{heading}\n", 1)[1]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    table = rows(200)
    write(table, tmp_path / "texts", 4)
    (tmp_path / "all-MiniLM-L6-v2").symlink_to(MINILM)
    (tmp_path / "program.py").write_text(found[1].replace("/models/", f"{tmp_path}/"))
    environment = os.environ | {
        "DO_NOT_TRACK": "1",
        "PYSPARK_PYTHON": sys.executable,
        "RAY_USAGE_STATS_ENABLED": "0",
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=environment, check=True, timeout=500)
    [out] = tmp_path.glob("vectors*")
    made = pyarrow.dataset.dataset(out, format="parquet").to_table(columns=["id", "text", "embedding"])
    vectors = dict(zip(made["id"].to_pylist(), map(digest, made["embedding"].to_pylist()), strict=True))
    hashes = expected(table)
    # Those of the engines leave out the rows without text.
    alive = hashes if page != "engines.md" else {row: made for row, made in hashes.items() if made is not None}
    assert vectors == alive and len(made) == len(alive)

"""Spark over two executors of one machine: the bits of one process, also when an executor is killed on the way."""

import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus import MINILM, check, rows, write

pyspark = pytest.importorskip("pyspark", reason="Spark is not installed")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java 17, which is not installed", allow_module_level=True)
import gristmill.spark  # noqa: E402
from pyspark.sql import SparkSession  # noqa: E402
from pyspark.sql.types import ArrayType, FloatType, StringType  # noqa: E402

os.environ |= {"PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost"}
os.environ.setdefault("SPARK_HOME", os.path.dirname(pyspark.__file__))


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Two executors with a core and 1,024 MB each, whose folders are temporary ones."""
    folder = tmp_path_factory.mktemp("spark")
    os.environ["SPARK_WORKER_DIR"] = str(folder / "work")
    archive = shutil.make_archive(str(folder / "model"), "zip", MINILM.parent.resolve(), MINILM.name)
    settings = {
        "spark.archives": f"{archive}#model",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.executor.memory": "1024m",
        "spark.local.dir": str(folder),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
        "spark.ui.enabled": "false",
        "spark.sql.files.maxPartitionBytes": "16k",
        "spark.sql.execution.arrow.maxRecordsPerBatch": "97",
    }
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("gristmill")
    for name, value in settings.items():
        builder = builder.config(name, value)
    made = builder.getOrCreate()
    made.sparkContext.setLogLevel("ERROR")
    yield made
    made.stop()


def collected(frame: Any) -> tuple[list[int], list[Any], list[Any]]:
    made = frame.collect()
    return [row["id"] for row in made], [row["embedding"] for row in made], [row["error"] for row in made]


def executors(spark: SparkSession) -> list[int]:
    """The processes of this session's executors, which know its port."""
    port = spark.conf.get("spark.driver.port")
    found = []
    for folder in Path("/proc").iterdir():
        try:
            command = (folder / "cmdline").read_bytes() if folder.name.isdigit() else b""
        except OSError:
            continue
        if b"CoarseGrainedExecutorBackend" in command and f":{port}\0".encode() in command:
            found.append(int(folder.name))
    return sorted(found)


def test_two_executors_give_the_bits_of_one_process(spark: SparkSession, tmp_path: Path) -> None:
    table = rows(2000)
    frame = spark.read.parquet(str(write(table, tmp_path / "in", 8)))
    made = gristmill.spark.embed(frame, MINILM, "text")
    assert made.schema["embedding"].dataType == ArrayType(FloatType(), False)
    assert made.schema["error"].dataType == StringType()
    check(*collected(made), table)


def test_an_executor_is_killed(spark: SparkSession, tmp_path: Path) -> None:
    table = rows(4000)
    frame = spark.read.parquet(str(write(table, tmp_path / "in", 16)))
    made = gristmill.spark.embed(frame, MINILM, "text")
    results: list[tuple[list[int], list[Any], list[Any]]] = []
    job = threading.Thread(target=lambda: results.append(collected(made)))
    job.start()
    tracker = spark.sparkContext.statusTracker()

    def progress() -> tuple[int, int]:
        stages = [stage for stage in map(tracker.getStageInfo, tracker.getActiveStageIds()) if stage]
        return sum(stage.numCompletedTasks for stage in stages), sum(stage.numTasks for stage in stages)

    while job.is_alive() and progress()[0] < 2:
        time.sleep(0.05)
    done, all_tasks = progress()
    assert 0 < done < all_tasks, "the job was over before an executor could be killed"
    before = executors(spark)
    assert len(before) == 2
    os.kill(before[0], signal.SIGKILL)
    job.join()
    check(*results[0], table)
    assert before[0] not in executors(spark)


def test_options_and_other_columns(spark: SparkSession) -> None:
    frame = spark.createDataFrame([(1, "a", None, [1.5], {"k": 2}), (2, None, "b", [], None)], "id int, text string, "
                                  "note string, list array<double>, map map<string, int>")
    # The archive's folder, in the working folder of an executor.
    made = gristmill.spark.embed(frame, "model/minilm", "text", output="v", error="why", truncate_dim=64).collect()
    kept = [(row["id"], row["text"], row["note"], row["list"], row["map"]) for row in made]
    assert kept == [(1, "a", None, [1.5], {"k": 2}), (2, None, "b", [], None)]
    assert [len(row["v"]) if row["v"] is not None else None for row in made] == [64, None]
    assert [row["why"] for row in made] == [None, "the text is null"]


def test_what_is_wrong_is_told(spark: SparkSession, tmp_path: Path) -> None:
    frame = spark.createDataFrame([(1, "a")], "id int, text string")
    with pytest.raises(ValueError, match="no column `texts`"):
        gristmill.spark.embed(frame, MINILM, "texts")
    with pytest.raises(ValueError, match="`id` already"):
        gristmill.spark.embed(frame, MINILM, "text", error="id")
    with pytest.raises(Exception, match="every machine"):
        gristmill.spark.embed(frame, tmp_path, "text").collect()
    with pytest.raises(Exception, match="row 0 of a batch"):
        dead = spark.createDataFrame([(1, None)], "id int, text string")
        gristmill.spark.embed(dead, MINILM, "text", error=None).collect()

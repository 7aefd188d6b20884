"""Ray and Spark over one and two nodes of this machine, beside one process with as many threads.

    python benches/peers/clusters.py --data tests/data [--texts N] [--rounds N] [--engines ray,spark] [--out FILE.md]

In an environment with gristmill and tests/python/engines/requirements.txt. A node is one thread of work: a Ray node of two
CPUs, one of which is left to reading, or a Spark executor of one core. The start is a first job over one row a node; rows a
second are those of a job over all texts, less the start for Ray, which begins its actors anew in each job; Spark keeps
its workers. A ratio is that of a round, to one process with as many threads, run just before.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import gristmill
import pyarrow as pa

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "PYSPARK_PYTHON": sys.executable}
os.environ |= {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_LOCAL_HOSTNAME": "localhost"}


def alone(model, table, threads):
    """The seconds of one process, its model open."""
    embedder = gristmill.Embedder(model, workers=threads)
    texts = table["text"].to_pylist()
    embedder.encode(texts[:64])
    started = time.monotonic()
    embedder.encode(texts)
    return time.monotonic() - started


class Ray:
    """A Ray cluster."""

    def __init__(self, nodes, _folder):
        self.nodes = nodes
        import ray
        from ray.cluster_utils import Cluster

        node = {"num_cpus": 2, "object_store_memory": 200 << 20}
        head = node | {"include_dashboard": False, "node_ip_address": "127.0.0.2"}
        self.cluster = Cluster(initialize_head=True, connect=False, head_node_args=head)
        for number in range(3, nodes + 2):
            self.cluster.add_node(**node, node_ip_address=f"127.0.0.{number}")
        own = {"log_to_driver": False, "logging_level": "error", "_node_ip_address": "127.0.0.2"}
        ray.init(address=self.cluster.address, **own)
        self.cluster.wait_for_nodes()
        ray.data.DataContext.get_current().enable_progress_bars = False

    def run(self, model, table):
        """Seconds of a job over a row a node, and rows a second of one over all, less that."""
        start = self.job(model, [table.slice(row, 1) for row in range(self.nodes)])
        whole = self.job(model, [table.slice(first, 250) for first in range(0, len(table), 250)])
        return start, len(table) / (whole - start)

    def job(self, model, blocks):
        import gristmill.ray
        import ray

        started = time.monotonic()
        made = gristmill.ray.embed(ray.data.from_arrow(blocks), model, "text", batch_size=250)
        rows = sum(len(batch) for batch in made.iter_batches(batch_size=None, batch_format="pyarrow"))
        assert rows == sum(len(block) for block in blocks)
        return time.monotonic() - started

    def stop(self):
        import ray

        ray.shutdown()
        self.cluster.shutdown()


class Spark:
    """A Spark cluster; its Python workers and their models stay from job to job."""

    def __init__(self, nodes, folder):
        self.nodes, self.start = nodes, None
        import pyspark
        from pyspark.sql import SparkSession

        os.environ.setdefault("SPARK_HOME", os.path.dirname(pyspark.__file__))
        os.environ["SPARK_WORKER_DIR"] = f"{folder}/work"
        settings = {
            "spark.driver.bindAddress": "127.0.0.1",
            "spark.driver.host": "127.0.0.1",
            "spark.executor.memory": "1024m",
            "spark.local.dir": folder,
            "spark.sql.warehouse.dir": f"{folder}/warehouse",
            "spark.ui.enabled": "false",
        }
        builder = SparkSession.builder.master(f"local-cluster[{nodes},1,1024]").appName("gristmill")
        for name, value in settings.items():
            builder = builder.config(name, value)
        self.session = builder.getOrCreate()
        self.session.sparkContext.setLogLevel("OFF")

    def run(self, model, table):
        """Seconds of a first job, and rows a second of a second one."""
        seconds = [self.job(model, part) for part in (table.slice(0, self.nodes), table)]
        self.start = self.start or seconds[0]
        return self.start, len(table) / seconds[1]

    def job(self, model, table):
        import gristmill.spark

        frame = self.session.createDataFrame(table).repartition(max(self.nodes, len(table) // 250))
        started = time.monotonic()
        made = gristmill.spark.embed(frame, model, "text").selectExpr("count(embedding)").collect()
        assert made[0][0] == len(table)
        return time.monotonic() - started

    def stop(self):
        self.session.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the folder that tests/setup.sh fills")
    parser.add_argument("--texts", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engines", default="ray,spark")
    parser.add_argument("--out", type=Path, help="where the table goes besides stdout")
    options = parser.parse_args()
    model = str(options.data.resolve() / "minilm")
    lines = (options.data / "glosses.txt").read_text(encoding="utf-8").split("\n")[: options.texts]
    table = pa.table({"id": pa.array(range(len(lines))), "text": lines})
    out = [
        f"{options.texts} texts, all-MiniLM-L6-v2, {os.cpu_count()} CPUs, medians of {options.rounds} rounds in turn.",
        "",
        "| engine | nodes of one thread | rows/s | to one process with as many threads | start s |",
        "|---|---:|---:|---:|---:|",
    ]
    for engine in options.engines.split(","):
        for nodes in (1, 2):
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                cluster = {"ray": Ray, "spark": Spark}[engine](nodes, folder)
                rounds = []
                try:
                    for _ in range(options.rounds):
                        single = options.texts / alone(model, table, nodes)
                        start, rate = cluster.run(model, table)
                        rounds.append((rate, rate / single, start))
                finally:
                    cluster.stop()
            rate, ratio, start = (statistics.median(column) for column in zip(*rounds, strict=True))
            out.append(f"| {engine} | {nodes} | {rate:.0f} | {ratio:.2f} | {start:.1f} |")
            print(out[-1], flush=True)
    text = "\n".join(out) + "\n"
    print(text)
    if options.out:
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

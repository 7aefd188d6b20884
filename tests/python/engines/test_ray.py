"""Ray Data over two nodes of one machine: the bits of one process, also when a node is lost on the way."""

import itertools
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from corpus import MINILM, check, rows

# Nothing is sent anywhere, and the workers of Ray do not stand behind all other processes of the machine.
os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
ray = pytest.importorskip("ray", reason="Ray is not installed")
pytest.importorskip("ray.data", reason="Ray Data is not installed")
import gristmill.ray  # noqa: E402
import psutil  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402


@pytest.fixture
def cluster() -> Iterator[Any]:
    """A head and another node with two CPUs each, which speak over the loopback device."""
    node = {"num_cpus": 2, "object_store_memory": 200 << 20}
    # Ray takes 127.0.0.1 for another address of the machine; and its sockets need a short path.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        head = node | {"include_dashboard": False, "node_ip_address": "127.0.0.2", "temp_dir": folder}
        made = Cluster(initialize_head=True, connect=False, head_node_args=head)
        try:
            made.other = made.add_node(**node, node_ip_address="127.0.0.3")
            own = {"log_to_driver": False, "logging_level": "warning", "_node_ip_address": "127.0.0.2"}
            ray.init(address=made.address, **own)
            made.wait_for_nodes()
            ray.data.DataContext.get_current().enable_progress_bars = False
            yield made
        finally:
            ray.shutdown()
            made.shutdown()


def blocks(table: Any, count: int) -> Any:
    """A dataset of blocks, each a task of its own; a reader would make one of files as small as these."""
    size = -(-len(table) // count)
    return ray.data.from_arrow([table.slice(first, size) for first in range(0, len(table), size)])


def collected(batches: Iterator[Any]) -> tuple[list[int], list[Any], list[Any]]:
    ids, vectors, errors = [], [], []
    for batch in batches:
        ids += batch["id"].to_pylist()
        vectors += batch["embedding"].to_pylist()
        errors += batch["error"].to_pylist()
    return ids, vectors, errors


def test_two_nodes_give_the_bits_of_one_process(cluster: Any) -> None:
    table = rows(2000)
    made = gristmill.ray.embed(blocks(table, 8), MINILM, "text", batch_size=97)
    check(*collected(made.iter_batches(batch_size=512, batch_format="pyarrow")), table)


def test_a_node_is_removed_without_grace(cluster: Any) -> None:
    table = rows(4000)
    made = gristmill.ray.embed(blocks(table, 40), MINILM, "text", batch_size=50)
    batches = iter(made.iter_batches(batch_size=100, batch_format="pyarrow", prefetch_batches=0))
    first = next(batches)
    # The node that is lost has done some of it, and has more to do.
    while seconds_of_actors(cluster.other) < 3:
        time.sleep(0.1)
    cluster.remove_node(cluster.other, allow_graceful=False)
    check(*collected(itertools.chain([first], batches)), table)
    assert sum(node["Alive"] for node in ray.nodes()) == 1


def seconds_of_actors(node: Any) -> float:
    """The processor time of the actors of a node."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    actors = [process for process in raylet.children(recursive=True) if "Embed" in " ".join(process.cmdline())]
    return float(sum(actor.cpu_times().user for actor in actors))


def test_threads_are_those_that_ray_gave(cluster: Any) -> None:
    class Probe:
        """An actor's own budget, and the threads of its process that compute."""

        def __init__(self) -> None:
            self.embed = gristmill.ray.Embed(MINILM, "text")

        def threads(self) -> tuple[int | None, int]:
            import threading

            import pyarrow as pa

            work = threading.Thread(target=self.embed, args=(pa.table({"text": ["some text or other"] * 5000}),))
            work.start()
            most = 0
            while work.is_alive():
                names = [(task / "comm").read_text() for task in Path("/proc/self/task").iterdir()]
                most = max(most, sum(name.startswith("mill-worker") for name in names))
                time.sleep(0.01)
            return self.embed.workers, most

    for cpus in (1, 2):
        probe = ray.remote(num_cpus=cpus)(Probe).remote()
        workers, threads = ray.get(probe.threads.remote())
        assert (workers, threads) == (cpus, cpus)
        ray.kill(probe)
    assert gristmill.ray.Embed(MINILM, "text").workers is None


def test_what_is_wrong_is_told(cluster: Any, tmp_path: Path) -> None:
    dataset = ray.data.from_items([{"id": 1, "text": "a"}])
    with pytest.raises(TypeError, match="colour"):
        gristmill.ray.embed(dataset, MINILM, "text", colour="red")  # type: ignore[call-arg]
    with pytest.raises(ray.exceptions.RayError, match="every machine"):
        gristmill.ray.embed(dataset, tmp_path, "text").take_all()
    with pytest.raises(ray.exceptions.RayError, match="no column `texts`"):
        gristmill.ray.embed(dataset, MINILM, "texts").take_all()
    with pytest.raises(ray.exceptions.RayError, match='batch_format="pyarrow"'):
        gristmill.ray.embed(dataset, MINILM, "text", map_batches={"batch_format": "numpy"}).take_all()

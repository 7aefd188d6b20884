"""Texts to vectors on a Ray cluster: one actor a node, with all its cores inside.

``pip install "ray[data]"`` and this package on every node.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ._columns import Options, TextColumn

if TYPE_CHECKING:
    import pyarrow as pa
    from ray.data import Dataset
    from typing_extensions import Unpack

__all__ = ["Embed", "embed"]


class Embed:
    """Adds vectors to pyarrow batches: a callable class for ``ray.data.Dataset.map_batches``.

    An actor opens the model once, with as many threads as Ray gave it CPUs. All columns are kept. A row that fails, as
    one whose text is null, has no vector and an error. The vector of a text has the same bits in any batch.

    Parameters
    ----------
    model
        The model's folder, under the same path on every node.
    column
        The column of texts.
    workers
        Threads; as many as Ray gave the actor CPUs by default, and as the machine has outside Ray.
    output
        The column of vectors, lists of f32; ``"embedding"`` by default.
    error
        The column of errors, ``"error"`` by default; with ``None`` the first failed row ends the job, and lists have a
        fixed size (pyarrow writes nulls of such a type to Parquet, but cannot read them).
    task
        ``"query"`` or ``"document"``, for the prompt that the folder has for it.
    prompt_name, prompt, normalize_embeddings, truncate_dim
        As :meth:`gristmill.Embedder.encode` takes them.
    max_tokens, device, precision, weights
        As :class:`gristmill.Embedder` takes them.

    Raises
    ------
    FileNotFoundError
        If a node lacks the folder.
    gristmill.Error
        If the folder has no model that this package reads, or not the prompt.
    """

    def __init__(
        self, model: str | os.PathLike[str], column: str, *, workers: int | None = None, **options: Unpack[Options]
    ) -> None:
        self._columns = TextColumn(os.fspath(model), column, **options)
        self.workers = assigned_cpus() if workers is None else workers
        self._embedder = self._columns.open(self.workers)

    def __call__(self, batch: pa.Table) -> pa.Table:
        """The batch with vectors and errors."""
        import pyarrow as pa

        if not isinstance(batch, pa.Table):
            raise TypeError(f'a batch is a {type(batch).__name__}; call map_batches with batch_format="pyarrow"')
        return self._columns.embed(self._embedder, batch, fixed=self._columns.error is None)


def embed(
    dataset: Dataset,
    model: str | os.PathLike[str],
    column: str,
    *,
    num_cpus: int | None = None,
    spare_cpus: int = 1,
    batch_size: int | None = None,
    map_batches: dict[str, Any] | None = None,
    **options: Unpack[Options],
) -> Dataset:
    """A dataset with vectors beside its texts: ``map_batches`` of :class:`Embed` with the arguments that suit it.

    Parameters
    ----------
    dataset
        Any dataset with a column of texts.
    model, column
        As :class:`Embed` takes them.
    num_cpus
        CPUs of an actor. By default all of a node but `spare_cpus`; where nodes differ, the largest number with which
        actors have three quarters of the cluster.
    spare_cpus
        CPUs of each node that are left to reading and writing, without which a job with actors on all others waits
        forever. Where `num_cpus` is given, sparing some is yours.
    batch_size
        Rows that run together, 4,096 by default, and more where an actor has more than 8 CPUs.
    map_batches
        Further arguments of ``map_batches``, instead of those chosen here.
    **options
        As :class:`Embed` takes them.

    Returns
    -------
    ray.data.Dataset
        Its rows come in any order unless ``DataContext.execution_options.preserve_order`` is set.
    """
    import ray
    from ray.data import ActorPoolStrategy

    TextColumn(os.fspath(model), column, **options)  # Refuses wrong options here rather than on a node.
    nodes = [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]
    each, actors = pool(nodes, num_cpus, spare_cpus)
    arguments: dict[str, Any] = {
        "fn_constructor_args": (os.fspath(model), column),
        "fn_constructor_kwargs": options,
        "batch_format": "pyarrow",
        "batch_size": batch_size or max(4096, 512 * each),
        "num_cpus": each,
        "compute": ActorPoolStrategy(size=actors),
        "udf_modifying_row_count": False,
    }
    return dataset.map_batches(Embed, **(arguments | (map_batches or {})))


def pool(nodes: list[int], num_cpus: int | None, spare_cpus: int) -> tuple[int, int]:
    """The CPUs of an actor, and the number of actors, on nodes with these CPUs."""
    if num_cpus is not None:
        if num_cpus < 1:
            raise ValueError(f"num_cpus is {num_cpus}; an actor needs one CPU at least")
        return num_cpus, max(1, sum(cpus // num_cpus for cpus in nodes))
    usable = [cpus - spare_cpus for cpus in nodes if cpus > spare_cpus]
    if not usable:
        raise ValueError(f"nodes with {nodes} CPUs, less spare_cpus={spare_cpus} each, hold no actor; give num_cpus")
    for each in sorted(set(usable), reverse=True):
        actors = sum(cpus // each for cpus in usable)
        if 4 * each * actors >= 3 * sum(usable):
            break
    return each, actors


def assigned_cpus() -> int | None:
    """The CPUs that Ray gave this actor, or nothing outside an actor or a task."""
    import ray

    if not ray.is_initialized():
        return None
    context = ray.get_runtime_context()
    if context.get_actor_id() is None and context.get_task_id() is None:
        return None
    return max(1, int(context.get_assigned_resources().get("CPU", 1)))

"""Runs jobs one after the other in this process, or on Ray Tune workers."""

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

import torch

from mtl_search.execution.ray_cluster import Cluster, joined_cluster, local_cluster, machines

# isort: split
import ray

from mtl_search.execution.capacity import check_capacity, this_machine
from mtl_search.execution.jobs import Source, Work
from mtl_search.execution.local import run_here
from mtl_search.execution.ray_tune import deaths_handled, run_on_ray
from mtl_search.internal.arrays import held_bytes
from mtl_search.internal.processors import processors
from mtl_search.internal.signals import signals_interrupt
from mtl_search.spaces.search_settings import SearchSettings

OBJECT_STORE_BYTES = 256 * 2**20
"""Of a local cluster for what is not the dataset: reports and checkpoints of trials; Ray takes no less than 75 MiB."""
DATASET_ROOM = 3
"""The object store of a local cluster holds this many times the dataset, and the bytes above: a comparison
that tunes has two there, and of what does not fit Ray writes some to the disk."""


class RunJobs(Protocol):
    """Does all jobs of a source."""

    def __call__(self, source: Source, other: Work | None = None) -> None:
        """
        :param other: What is the same for all jobs, where that is not what the engine was made for.
        """


@contextmanager
def engine(work: Work, settings: SearchSettings, workers: int | None, address: str | None = None) -> Iterator[RunJobs]:
    """What does all jobs of a source, ready to start: in this process with no workers, else on Ray Tune workers.

    It may be used several times, with other work than this instead.

    :param settings: Processors and GPUs of each job, and how often one is done again after the death of its worker.
    :param workers: Jobs at the same time; as many as the cluster has room for with ``None``.
    :param address: Address of a running Ray cluster; a local one is started, and stopped at the end, without it.
    :raises UserError: If there is no cluster at the address, or a job asks for more than any machine has.
    :raises ClusterError: If no cluster starts, or while jobs are done it is lost.
    :raises KeyboardInterrupt: On SIGINT or SIGTERM, after the workers were stopped.
    """
    torch.set_num_threads(min(torch.get_num_threads(), processors()))
    with signals_interrupt():
        if workers == 0:
            yield lambda source, other=None: run_here(source, other or work)
            return
        with (
            _cluster(work, settings, workers, address) as cluster,
            deaths_handled(),
        ):
            check_capacity(settings, machines(), f"no machine of the cluster at {address}")
            count = workers or room(settings, ray.cluster_resources())  # type: ignore[no-untyped-call]
            yield lambda source, other=None: run_on_ray(source, other or work, settings, count, cluster)


def _cluster(
    work: Work, settings: SearchSettings, workers: int | None, address: str | None
) -> AbstractContextManager[Cluster]:
    """A cluster of our own with room for the workers, or the one at ``address``."""
    if address:
        return joined_cluster(address)
    splits = work.dataset.splits.values()
    data = sum(held_bytes(array) for split in splits for array in (split.inputs, *split.targets.values()))
    cpus = (workers or processors() // settings.cpus or 1) * settings.cpus
    return local_cluster(cpus, int(this_machine()["GPU"]), OBJECT_STORE_BYTES + DATASET_ROOM * data)


def room(settings: SearchSettings, resources: Mapping[str, float]) -> int:
    """How many jobs fit at the same time; at least one.

    :param resources: ``CPU`` and ``GPU`` of all machines together.
    """
    by_cpus = resources.get("CPU", 0) // settings.cpus
    by_gpus = resources.get("GPU", 0) / settings.gpus if settings.gpus else by_cpus
    return max(1, int(min(by_cpus, by_gpus)))

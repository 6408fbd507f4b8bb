"""What is loaded and checked before anything is written or trained."""

import dataclasses

from mtl_search.balancing import make_balancing
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.errors import DatasetError, ExperimentError, UserError
from mtl_search.execution.capacity import this_machine
from mtl_search.execution.engine import room
from mtl_search.networks.geometry import check_inputs, check_tokens, check_weights
from mtl_search.networks.network import build_model
from mtl_search.networks.vectors import check_independence, nominal
from mtl_search.searching.cost_range import cost_ends
from mtl_search.searching.objectives import check_metrics
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.ranges import Range
from mtl_search.spaces.settings import Training
from mtl_search.training.augmentation import check_augmentation
from mtl_search.training.sample_order import check_sampling


def prepare(experiment: Experiment, dataset: Dataset | None = None) -> Dataset:
    """Load the experiment's dataset, and check what needs it, before anything is written or trained.

    :param dataset: Used instead of loading one, and named as that.
    :raises UserError: As :func:`check_experiment`, or if the dataset cannot be loaded; the message names the file.
    """
    try:
        if dataset is None:
            dataset = load_dataset(experiment.dataset.name, **experiment.dataset.options)
        named = experiment.dataset
        dataset = dataclasses.replace(dataset, name=named.name, options=named.options, loadable=True)
        check_experiment(experiment, dataset)
    except UserError as error:
        if experiment.source is None:
            raise
        raise ExperimentError(f"{experiment.source}: {error}") from error
    return dataset


def check_experiment(experiment: Experiment, dataset: Dataset) -> None:
    """Check what needs the primitives or the dataset: before anything is written or trained.

    :raises UserError: For an unknown option of the balancing, a task that it does not find or a library that it lacks,
        an augmentation that does not fit the inputs, a sampling of parts that the dataset has not, dependent kernels,
        an objective, a limit or a target that the dataset does not measure or leaves undefined, a weight of a task
        that is not there, a training split of less than a batch, or constraints that no architecture keeps.
    """
    check_augmentation(experiment.training.augmentation, dataset.input_shape)
    space = experiment.search_space
    check_inputs(space.backbone, dataset.input_shape)
    check_tokens(space.backbone, tokens=dataset.vocabulary > 0)
    for bank in sorted({bank for layer in space.layers for bank in layer.bank}):
        check_independence(bank, space.backbone.reads)
    ends = cost_ends(space, tuple(dataset.tasks), dataset.input_shape)
    check_weights(ends.high.learnable_parameters + ends.high.embedding_parameters)
    model = build_model(space.sample(0), dataset.tasks, nominal(dataset.input_shape))
    for training in _trainings(experiment):
        balancing = make_balancing(training.balancing.name, training.balancing.options)
        balancing.start([task.name for task in dataset.tasks], list(model.parameters()), seed=0)
        check_sampling(training.sampling, dataset.splits["train"])
        samples = len(dataset.splits["train"])
        if samples < training.batch_size:
            raise DatasetError(
                f"`training.batch_size` must be at most the number of training samples, {samples}, "
                f"but got {training.batch_size}."
            )
    check_metrics(experiment, dataset)
    for name, limit in experiment.constraints.limits().items():
        if name != "latency_ms" and getattr(ends.low, name) > limit:
            raise ExperimentError(
                f"`constraints.{name}` must leave something to search, but got {limit:,}: "
                f"the cheapest architecture found in the space has {getattr(ends.low, name):,}."
            )


def _trainings(experiment: Experiment) -> list[Training]:
    """The experiment's own training, and with every value that is on offer for one of its settings."""
    offers = {name: offer for name, offer in experiment.space.training.items() if not isinstance(offer, Range)}
    own = experiment.training
    return [own, *(own.changed({name: value}) for name, offer in offers.items() for value in offer)]


def worker_count(experiment: Experiment, joins: bool = False) -> int | None:
    """Trials at the same time: as the experiment says, or as many as the processors and the trials allow.

    :param joins: Whether a running cluster is joined; ``None`` then stands for as many as it has room for.
    """
    asked = experiment.search.workers
    if isinstance(asked, int):
        return min(asked, experiment.search.trials)
    if joins:
        return None
    return min(room(experiment.search, this_machine()), experiment.search.trials)

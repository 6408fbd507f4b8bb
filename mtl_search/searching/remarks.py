"""What is worth a word before a search, though it breaks no rule: sentences for ``check`` and ``search``."""

import torch

from mtl_search.datasets import Dataset
from mtl_search.spaces.experiment import Experiment

FEW_STEPS = 300
"""Steps of the optimiser below which a training is told to be short: a third of what :data:`~mtl_search.searching.
starting.STEPS` gives to data of the user's own."""


def remarks(experiment: Experiment, dataset: Dataset) -> list[str]:
    """What a user may not have meant, each as a sentence with the way out.

    :param experiment: An experiment that is valid on the dataset.
    :param dataset: The dataset with its split ``train``.
    """
    found = [_of_tasks(dataset), _of_space(experiment), _of_steps(experiment, dataset), _of_device(experiment)]
    return [sentence for sentence in found if sentence]


def _of_tasks(dataset: Dataset) -> str:
    if len(dataset.tasks) > 1:
        return ""
    return (
        f"`{dataset.tasks[0].name}` is the only task: nothing can be shared, and a ratio below 1 only parts the "
        "network into two. Its size and its banks are searched all the same."
    )


def _of_space(experiment: Experiment) -> str:
    size, trials = experiment.search_space.size, experiment.search.trials
    if experiment.space.training or size >= trials:
        return ""
    return f"the space has {size:,} architectures: the search ends when all are trained, before its {trials:,} trials."


def _of_steps(experiment: Experiment, dataset: Dataset) -> str:
    training = experiment.training
    steps = training.epochs * max(1, round(len(dataset.splits["train"]) // training.batch_size * training.epoch_length))
    if steps >= FEW_STEPS or "batch_size" in experiment.space.training:
        return ""
    return (
        f"a training has {steps:,} steps, too few for most networks to learn what they can: raise `training.epochs`, "
        "or lower `training.batch_size`."
    )


def _of_device(experiment: Experiment) -> str:
    if experiment.training.device != "cuda" or torch.cuda.is_available():
        return ""
    return "`training.device` is `cuda`, and this machine has none: it trains only on one that has."

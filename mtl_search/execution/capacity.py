"""Whether what a trial asks for is there: processors and GPUs of one machine, memory for the bank of a wide table."""

from collections.abc import Collection, Mapping, Sequence

import torch

from mtl_search.datasets import Dataset
from mtl_search.errors import UserError
from mtl_search.internal.memory import available_bytes
from mtl_search.internal.processors import processors
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.primitives import LinearVectorPrimitive
from mtl_search.spaces.banks import CONVOLUTION, primitives_of
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.search_settings import SearchSettings

KINDS = (("GPU", "gpus", "GPU", "GPUs"), ("CPU", "cpus", "processor", "processors"))
"""What Ray counts, the key of the experiment, and the words for one and for several."""

DRAWN = 15
"""Matrices of all features by all features that a search holds at its peak, for each linear primitive of the bank: 7 to
14 were measured for 1,000 to 4,000 features, most of them while the bank is drawn and looked at."""
WORTH_SAYING = 2**30
"""Bytes of a bank from which on they are told: smaller ones fit into any machine that trains."""


def first_banks(experiment: Experiment) -> set[str]:
    """The banks that may stand in the first layer of an experiment's architectures, where that reads the inputs."""
    space = experiment.search_space
    return set() if space.backbone.entry else {choice.bank for choice in space.layers[0].choices()}


def bank_bytes(banks: Collection[str], dataset: Dataset) -> int:
    """Memory that drawing the largest of some banks takes, where it reads the features of a table; else 0.

    A linear primitive on vectors is a matrix of all features by all features, in float32.
    """
    if len(dataset.input_shape) != 1:
        return 0
    kinds = [[PRIMITIVES.get(name) for name in primitives_of(bank)] for bank in set(banks) - {CONVOLUTION}]
    most = max((sum(issubclass(kind, LinearVectorPrimitive) for kind in those) for those in kinds), default=0)
    return 4 * DRAWN * most * dataset.input_shape[0] ** 2


def bank_note(banks: Collection[str], dataset: Dataset) -> str | None:
    """How much memory the largest of some banks takes, as a sentence, where it is much."""
    taken = bank_bytes(banks, dataset)
    if taken < WORTH_SAYING:
        return None
    return (
        f"the bank of the first layer takes about {taken / 2**30:,.1f} GiB of memory for {dataset.input_shape[0]:,} "
        "features: `backbone.stem: 64` learns 64 features of them before it"
    )


def check_memory(banks: Collection[str], dataset: Dataset) -> None:
    """Check that banks of the first layer find room on this machine, one at a time.

    :raises UserError: If one does not.
    """
    there = available_bytes()
    if bank_bytes(banks, dataset) > there:
        raise UserError(f"{bank_note(banks, dataset)}; {there / 2**30:,.1f} GiB are there.")


def this_machine() -> Mapping[str, float]:
    """What Ray would find here: ``CPU`` and ``GPU``."""
    return {"CPU": float(processors()), "GPU": float(torch.cuda.device_count())}


def check_here(settings: SearchSettings, changeable: bool) -> None:
    """Check that a worker on this machine can be given what a trial asks for. In this process it takes what it finds.

    :param changeable: Whether the experiment can still be changed by ``--set``.
    :raises UserError: If it cannot.
    """
    if settings.workers != 0:
        advice = "" if changeable else ": `--workers 0` trains in this process, on what there is"
        check_capacity(settings, [this_machine()], "this machine", advice, changeable)


def check_capacity(
    settings: SearchSettings,
    machines: Sequence[Mapping[str, float]],
    where: str,
    advice: str = "",
    changeable: bool = False,
) -> None:
    """Check that a trial finds its place on one of the machines; it would wait for one for ever.

    :param machines: What each has: ``CPU`` and ``GPU``.
    :param where: What the message calls the one that has most.
    :param advice: What to do about it.
    :param changeable: Whether to say what the experiment may ask for.
    :raises UserError: If there is none.
    """
    asked = {"GPU": settings.gpus, "CPU": settings.cpus}
    if settings.gpus > 1 and settings.gpus % 1:
        raise UserError(f"`search.gpus` must be a part of one GPU or a whole number, but got {settings.gpus:g}.")
    if any(all(one.get(name, 0) >= amount for name, amount in asked.items()) for one in machines):
        return
    for name, key, one, several in KINDS:
        most = max((machine.get(name, 0) for machine in machines), default=0)
        if most < asked[name]:
            wanted = f"{asked[name]:g} {one if asked[name] <= 1 else several}"
            change = f": `--set search.{key}={most:g}` {'trains on processors' if not most else 'asks for these'}"
            raise UserError(
                f"`search.{key}` asks for {wanted} per trial, and {where} has {f'{most:g}' if most else 'none'}"
                f"{change if changeable else advice}."
            )
    raise UserError(
        f"a trial asks for {settings.cpus} processors and {settings.gpus:g} GPUs of one machine, and {where} does not "
        f"have both{advice}."
    )

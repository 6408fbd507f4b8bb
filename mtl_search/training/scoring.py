"""The scores of a network: on a whole split, and in the simulation of a dataset."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mtl_search.datasets import Dataset, Split
from mtl_search.tasks import Task
from mtl_search.training.batches import LARGEST_BATCH, DeviceSplit, most_at_once
from mtl_search.training.devices import autocast


@torch.no_grad()
def scores_on(
    model: nn.Module, tasks: tuple[Task, ...], dataset: Dataset, split: str, device: torch.device
) -> dict[str, float]:
    """``"<task>/<metric>"`` -> value, over a whole split, the model in evaluation mode.

    :param split: Name of the split.
    """
    model.eval()
    data = DeviceSplit(dataset.splits[split], dataset, device, tasks)

    def totals_of(samples: slice) -> list[Tensor]:
        inputs, targets = data.batch(samples)
        with autocast(device):
            outputs = model(inputs)
        return data.groups.totals(outputs, targets)

    most = most_at_once(dataset.input_shape, device)
    parts = LARGEST_BATCH[device.type].parts(len(data), totals_of, most)
    return data.groups.scores([torch.stack(of_group).sum(dim=0) for of_group in zip(*parts, strict=True)])


@torch.no_grad()
def simulated_scores(model: nn.Module, dataset: Dataset, device: torch.device) -> dict[str, float]:
    """``"<task>/<metric>"`` -> what comes of the network in the dataset's simulation, the model in evaluation mode.

    :returns: Nothing where the dataset has no simulation.
    """
    if dataset.simulation is None:
        return {}
    model.eval()

    def predict(inputs: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        batch, _ = DeviceSplit(Split(inputs, {}), dataset, device, ()).batch(slice(None))
        with autocast(device):
            outputs = model(batch)
        return {task.name: outputs[task.name].float().cpu().numpy() for task in dataset.tasks}

    return dataset.simulation.run(predict)

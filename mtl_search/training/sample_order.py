"""The order in which a training sees its samples: drawn anew in every epoch."""

import torch
from torch import Tensor

from mtl_search.datasets import Split
from mtl_search.errors import FieldError


def drawn_order(samples: Split, sampling: str, count: int, rng: torch.Generator) -> Tensor:
    """Numbers of the samples of an epoch, ``[count]``.

    ``by_size``: in random order, none twice before all were drawn. ``evenly``: to within one as many of each part,
    those of all parts in random order, so that batches hold as many of each on average. A part with fewer samples is
    gone through several times, each time in another order; of a larger one each epoch sees others.

    :param count: Samples of an epoch.
    :param rng: Generator that draws the order; its state decides all of it.
    """
    if sampling == "by_size" or samples.parts is None:
        return _in_rounds(torch.arange(len(samples)), count, rng)
    parts = torch.from_numpy(samples.parts)
    members = [torch.nonzero(parts == part).flatten() for part in parts.unique().tolist()]
    drawn = []
    for number, of_part in enumerate(members):
        wanted = count // len(members) + (number < count % len(members))
        drawn.append(_in_rounds(of_part, wanted, rng))
    return torch.cat(drawn)[torch.randperm(count, generator=rng)]


def _in_rounds(numbers: Tensor, count: int, rng: torch.Generator) -> Tensor:
    """So many of these numbers, all of them in random order before one comes again."""
    rounds = -(-count // len(numbers))
    return torch.cat([numbers[torch.randperm(len(numbers), generator=rng)] for _ in range(rounds)])[:count]


def check_sampling(sampling: str, samples: Split) -> None:
    """Refuse an even sampling of the parts of a dataset that has none.

    :raises FieldError: If there are no parts.
    """
    if sampling == "evenly" and samples.parts is None:
        raise FieldError("training.sampling", "must be `by_size` for a dataset that is no `union`", sampling)

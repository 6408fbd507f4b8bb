"""The order in which a training sees its samples: drawn anew in every epoch."""

import torch
from torch import Tensor

from mtl_search.datasets import Split
from mtl_search.errors import FieldError


def drawn_order(samples: Split, sampling: str, count: int, lot: torch.Generator) -> Tensor:
    """Numbers of the samples of an epoch, ``[count]``.

    ``by_size``: in random order, none twice. ``evenly``: to within one as many of each part, those of all parts in
    random order, so that batches hold as many of each on average. A part with fewer samples is gone through several
    times, each time in another order; of a larger one each epoch sees others.

    :param count: Samples of an epoch, at most as many as there are.
    :param lot: Draws, in a state that decides all.
    """
    if sampling == "by_size" or samples.parts is None:
        return torch.randperm(len(samples), generator=lot)[:count]
    parts = torch.from_numpy(samples.parts)
    members = [torch.nonzero(parts == part).flatten() for part in parts.unique().tolist()]
    drawn = []
    for number, of_part in enumerate(members):
        wanted = count // len(members) + (number < count % len(members))
        rounds = -(-wanted // len(of_part))
        orders = [of_part[torch.randperm(len(of_part), generator=lot)] for _ in range(rounds)]
        drawn.append(torch.cat(orders)[:wanted])
    return torch.cat(drawn)[torch.randperm(count, generator=lot)]


def check_sampling(sampling: str, samples: Split) -> None:
    """Refuse an even sampling of the parts of a dataset that has none.

    :raises FieldError: If there are no parts.
    """
    if sampling == "evenly" and samples.parts is None:
        raise FieldError("training.sampling", "must be `by_size` for a dataset that is no `union`", sampling)

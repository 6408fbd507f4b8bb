"""Yes or no: what a single question and a group of them have in common."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F


def binary_errors(logits: Tensor, targets: Tensor, label_smoothing: float) -> Tensor:
    """Binary cross entropy of each target. Smoothed it is that of two classes with the logits 0 and ``logits``."""
    wanted = targets.to(logits.dtype)
    if label_smoothing:
        wanted = wanted * (1 - label_smoothing) + label_smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


def confusion(logits: Tensor, targets: Tensor, errors: Tensor, known: Tensor) -> Tensor:
    """Sums over the batch: true positives, false positives, false negatives, true negatives, and losses.

    :param logits: ``[tasks, batch, ...]``, yes where above 0; as all others.
    :returns: ``[tasks, ..., 5]``, double.
    """
    said, is_so = logits > 0, targets == 1
    parts = [said & is_so, said & ~is_so, ~said & is_so, ~said & ~is_so]
    counts = [(part & known).sum(dim=1).double() for part in parts]
    return torch.stack([*counts, torch.where(known, errors.double(), 0).sum(dim=1)], dim=-1)


def binary_scores(totals: Tensor) -> Mapping[str, float]:
    """The metrics of one question, from :func:`confusion`, ``[5]``; empty where it has no target.

    As in scikit-learn the F-score is 0 where there is nothing to find and nothing was found, and the balanced accuracy
    is the mean recall over those answers that occur.
    """
    hits, alarms, misses, rejections, losses = totals.tolist()
    count = hits + alarms + misses + rejections
    if not count:
        return {}
    recalls = [
        right / of_answer
        for right, of_answer in ((hits, hits + misses), (rejections, rejections + alarms))
        if of_answer
    ]
    found = 2 * hits + alarms + misses
    return {
        "accuracy": (hits + rejections) / count,
        "f_score": 2 * hits / found if found else 0.0,
        "balanced_accuracy": sum(recalls) / len(recalls),
        "loss": losses / count,
    }

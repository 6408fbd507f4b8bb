"""Holm's correction for many comparisons (Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979)."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values corrected for their number, in the order that they came in.

    The smallest of ``m`` is multiplied by ``m``, the next by ``m - 1``, and so on; none is below one that came before
    it, none above 1. Calling different what is below 0.05 then is wrong about at least one of all of them with a
    probability of at most 5 %, however they depend on one another. Less strict than Bonferroni, which multiplies all by
    ``m``.

    :param p_values: The p values of the tests, from 0 to 1, any number of them.
    """
    corrected, so_far = [0.0] * len(p_values), 0.0
    for place, number in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        so_far = max(so_far, min(1.0, (len(p_values) - place) * p_values[number]))
        corrected[number] = so_far
    return corrected

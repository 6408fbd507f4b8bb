"""The cosine transform of a whole sequence, after FNet (Lee-Thorp et al., NAACL 2022)."""

import math

import torch
from torch import Generator, Tensor

from mtl_search.primitives import UnfoldedSequencePrimitive


class Cosine(UnfoldedSequencePrimitive):
    """The cosine transform (type II, orthonormal) of the positions that are none of padding.

    FNet takes the real part of a Fourier transform, of positions and of channels; the recombination mixes the channels
    here. At position ``k`` stands the part that goes up and down ``k / 2`` times over the sequence.
    """

    name = "cosine"

    def draw(self, channels: int, length: int, generator: Generator) -> Tensor:
        return torch.empty(0)

    def respond(self, x: Tensor, mask: Tensor | None, drawn: Tensor) -> Tensor:
        places = torch.arange(x.shape[2], device=x.device)
        if mask is None:
            return _transform(places, torch.tensor([x.shape[2]], device=x.device), x.dtype) @ x
        waves = _transform(places, mask.sum(dim=(1, 2)), x.dtype)
        return torch.einsum("blm,sbmc->sblc", waves, x)  # one product for each sample, over the channels of all streams

    def products(self, channels: int, length: int) -> int:
        return length**2 * channels


def _transform(places: Tensor, lengths: Tensor, dtype: torch.dtype) -> Tensor:
    """The matrix of each of several lengths, ``[lengths, places, places]``; of a place beyond the length anything."""
    period = 4 * lengths[:, None, None]
    turned = places[:, None] * (2 * places + 1) % period  # whole numbers: a large angle would be rounded
    waves = (turned * (2 * math.pi / period.to(dtype))).cos()
    scale = torch.where(places == 0, 1.0, 2.0).to(dtype)[:, None]
    return waves * (scale / lengths[:, None, None]).sqrt()

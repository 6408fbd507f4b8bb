"""Fixed random mixing of the positions of a sequence.

As the random Synthesizer (Tay et al., ICML 2021) with frozen weights, and RandFormer (Yu et al., TPAMI 2024).
"""

import torch
from torch import Generator, Tensor

from mtl_search.primitives import UnfoldedSequencePrimitive


class Mixing(UnfoldedSequencePrimitive):
    """At every position a weighted mean of all positions, by weights that are drawn once.

    The weights are the softmax, over the positions that are none of padding, of standard Gaussian numbers: one for each
    pair of positions, the same for all channels of a stream. In a longer sequence the first positions have the weights
    that they have in a shorter one, but for the sum, which is always 1.
    """

    name = "mixing"

    def draw(self, channels: int, length: int, generator: Generator) -> Tensor:
        return torch.randn(length, length, generator=generator).exp()

    def respond(self, x: Tensor, mask: Tensor | None, drawn: Tensor) -> Tensor:
        places = torch.arange(x.shape[2], device=x.device)
        weights = drawn[:, places[:, None], places]  # a slice would tie an exported graph to one length
        if mask is None:
            return _mixed(weights / weights.sum(dim=2, keepdim=True), x)
        last = mask.sum(dim=(1, 2)) - 1
        sums = weights.cumsum(dim=2)[:, :, last].transpose(1, 2)
        return _mixed(weights, x) / sums[..., None]

    def values(self, channels: int, length: int) -> int:
        return length**2

    def products(self, channels: int, length: int) -> int:
        return length**2 * channels


def _mixed(weights: Tensor, x: Tensor) -> Tensor:
    """One product for each stream, over the channels of all samples; ``@`` would copy the weights for each sample."""
    return torch.einsum("slm,sbmc->sblc", weights, x)

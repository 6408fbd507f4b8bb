"""From a batch as a network is given it to the features of its first layer, and the mask of what is none of padding.

Images, rows and sequences all become ``[batch, channels, height, width]``: a row is an image of one pixel, a sequence
one that is one pixel high and as wide as it is long. Padding stands at the end of a sequence and is marked in the batch
itself: tokens are -1 there, and vectors NaN. From here on the mask goes beside the features.
"""

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

Mask = Tensor | None
"""``[batch, 1, 1, length]`` bool, which positions are none of padding; ``None`` where all are, and for all but
sequences."""

TOKEN_TYPES = (torch.int16, torch.int32, torch.int64)
"""What tokens are held as: floats are the rows of a table."""


class TokenEmbedding(nn.Embedding):
    """The vectors that stand for tokens: a linear layer on one-hot vectors, which looks its products up.

    :param tokens: Number of different tokens.
    :param channels: Numbers that stand for each.
    :param weights: What they are drawn from: standard Gaussian numbers, as torch draws them.
    """

    def __init__(self, tokens: int, channels: int, weights: Generator) -> None:
        super().__init__(tokens, channels, _weight=torch.randn(tokens, channels, generator=weights))

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        """Tokens ``[batch, 1, 1, length]`` to ``[batch, channels, 1, length]``, 0 where padded."""
        made = F.embedding(x[:, 0].clamp(min=0), self.weight).movedim(3, 1)
        return without_padding(made, mask)


def opened(x: Tensor) -> tuple[Tensor, Mask]:
    """The features of a batch, channels innermost in memory, and its mask.

    :param x: Images ``[batch, channels, height, width]``; rows ``[batch, features]``; sequences of vectors ``[batch,
        length, channels]``, NaN where padded; or sequences of tokens ``[batch, length]``, integers, -1 where padded.
    :returns: ``[batch, channels, height, width]``; tokens are left what they are, as the only channel, for an
        embedding to read.
    """
    mask = mask_of(x)
    if x.dtype in TOKEN_TYPES and x.ndim == 2:
        return x[:, None, None], mask
    if x.ndim == 3:
        return (x if mask is None else x.nan_to_num(0.0)).mT[:, :, None], mask
    return channels_last(x), None


def mask_of(x: Tensor) -> Mask:
    """The mask of a batch that a network is given, see :func:`opened`."""
    if x.dtype in TOKEN_TYPES and x.ndim == 2:
        return _mask(x >= 0)
    return _mask(~x[:, :, 0].isnan()) if x.ndim == 3 else None


def channels_last(x: Tensor) -> Tensor:
    """``x`` with its channels innermost in memory, by strides that say so even of a single channel.

    The strides of ``[batch, 1, height, width]`` fit both layouts, and convolutions would go on in the other one.

    :param x: Images ``[batch, channels, height, width]``; or rows ``[batch, features]``, which become images of one
        pixel.
    """
    x = x[:, :, None, None] if x.ndim == 2 else x
    if torch.compiler.is_exporting():
        return x  # a graph leaves the layout to what runs it
    _, channels, height, width = x.shape
    x = x.contiguous(memory_format=torch.channels_last)
    return x.as_strided(x.shape, (channels * height * width, 1, width * channels, channels))


def without_padding(features: Tensor, mask: Mask) -> Tensor:
    """``[batch, channels, 1, length]``, 0 where padded."""
    return features if mask is None else features.masked_fill(~mask, 0)


def pooled(features: Tensor, grid: int, sequences: bool, mask: Mask = None) -> Tensor:
    """What a head reads of features: averages over ``grid`` x ``grid`` cells, of sequences the mean and the maximum.

    The mean over a single cell is a sum first: its gradient is not written out pixel by pixel. That of torch's pooling
    is, channels outermost, and makes the ReLU before it ten times as slow.

    :param features: ``[batch, channels, height, width]``, 0 where padded.
    :returns: ``[batch, channels, grid, grid]``, of sequences ``[batch, channels, 1, 2]``.
    """
    if grid > 1:
        return F.adaptive_avg_pool2d(features, grid)
    height, width = features.shape[2:]
    total = features.sum(dim=(2, 3), keepdim=True)
    if not sequences:
        return total / (height * width)
    if mask is None:
        return torch.cat([total / width, features.amax(dim=3, keepdim=True)], dim=3)
    largest = features.masked_fill(~mask, -torch.inf).amax(dim=3, keepdim=True)
    return torch.cat([total / mask.sum(dim=3, keepdim=True), largest], dim=3)


def reads_tokens(network: nn.Module) -> bool:
    """Whether a network reads tokens: whether it has an embedding, of ours or of torch."""
    return any(isinstance(module, nn.Embedding) for module in network.modules())


def example(
    network: nn.Module, input_shape: tuple[int, ...], batch: int, input_type: torch.dtype | None = None
) -> Tensor:
    """Zeros as a network can be given them, on its device: of sequences the longest, without padding.

    :param input_shape: ``(channels, height, width)`` of an image, ``(features,)`` of a row of a table, ``(length,
        channels)`` of a sequence, with the number of different tokens in place of channels.
    :param batch: Number of samples that are made.
    :param input_type: Type of the numbers; that of the network's parameters if left out, of tokens always int64.
    """
    first = next(network.parameters())
    if len(input_shape) == 2 and reads_tokens(network):
        return torch.zeros(batch, input_shape[0], dtype=torch.int64, device=first.device)
    return torch.zeros(batch, *input_shape, dtype=input_type or first.dtype, device=first.device)


def _mask(there: Tensor) -> Mask:
    """Of ``[batch, length]``; ``None`` where that is known without waiting for a GPU, or making it part of a graph."""
    known = not torch.compiler.is_compiling() and there.device.type == "cpu"
    return None if known and bool(there.all()) else there[:, None, None]

"""1x1 convolutions of images of one pixel: the linear layers of a network for the rows of a table.

Such a network keeps its features in the shape of images, ``[batch, features, 1, 1]``. torch computes their convolutions
four to ten times slower than the matrix products that they are; an exported graph has convolutions all the same, for
norms become part of these.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def pointwise(x: Tensor, kernel: Tensor, groups: int = 1) -> Tensor:
    """A linear map of each of several streams of features.

    :param x: ``[batch, groups * inputs, 1, 1]``
    :param kernel: ``[groups * outputs, inputs]``
    :returns: ``[batch, groups * outputs, 1, 1]``
    """
    if torch.compiler.is_exporting():
        return F.conv2d(x, kernel[:, :, None, None], groups=groups)
    if groups == 1:
        return F.linear(x.flatten(1), kernel)[:, :, None, None]
    streams = x.flatten(1).unflatten(1, (groups, -1)).transpose(0, 1)
    made = torch.bmm(streams, kernel.unflatten(0, (groups, -1)).mT)
    return made.transpose(0, 1).flatten(1)[:, :, None, None]


class Pointwise(nn.Conv2d):
    """A 1x1 convolution without bias that is a matrix product where the image is one pixel."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[batch, inputs, height, width]`` to ``[batch, outputs, height, width]``."""
        return pointwise(x, self.weight.flatten(1)) if x.shape[2:] == (1, 1) else super().forward(x)


def make_convolution(
    inputs: int, outputs: int, size: int, stride: int = 1, dilation: int = 1, height: int | None = None
) -> nn.Conv2d:
    """An ordinary convolution without bias, its weights not drawn yet.

    :param size: Height and width of the kernel.
    :param dilation: Distance of its taps.
    :param height: Height of the kernel where it is another one: 1 for sequences.
    """
    if size == 1 and stride == 1:
        return Pointwise(inputs, outputs)
    sides = (size if height is None else height, size)
    padding = (dilation * (sides[0] // 2), dilation * (sides[1] // 2))
    return nn.Conv2d(inputs, outputs, sides, stride, padding, dilation, bias=False)

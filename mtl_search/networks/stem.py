"""The stem: an ordinary learned convolution before the first layer, read by all tasks."""

import torch
from torch import Generator, Tensor, nn

from mtl_search.kernels.operations import Activations, materialize
from mtl_search.networks.geometry import image_shape
from mtl_search.networks.inputs import Mask
from mtl_search.networks.norm import Norm
from mtl_search.networks.pointwise import make_convolution
from mtl_search.spaces.backbone import Backbone


class Stem(nn.Sequential):
    """A convolution, its norm and a ReLU."""

    def forward(self, x: Tensor, mask: Mask = None) -> Tensor:
        return materialize(self.deferred(x, mask))

    def deferred(self, x: Tensor, mask: Mask = None) -> Activations:
        """The same, norm and ReLU done by what reads it, where that can."""
        convolution, norm, _ = self
        assert isinstance(norm, Norm)
        return norm.deferred(convolution(x), activate=True, mask=mask)


def make_stem(backbone: Backbone, input_shape: tuple[int, ...], outputs: int, weights: Generator) -> Stem:
    """The stem of a backbone, its weights drawn as He et al. (ICCV 2015) do.

    :param input_shape: Shape of a sample, see :class:`~mtl_search.networks.geometry.Geometry`.
    :param outputs: Channels that it makes, the width multiplier applied.
    """
    inputs, _, _ = image_shape(input_shape)
    size, height = backbone.kernel_size, backbone.kernel_height
    convolution = make_convolution(inputs, outputs, size, backbone.stem_stride, height=height)
    drawn = torch.randn(convolution.weight.shape, generator=weights) * (2 / (height * size * inputs)) ** 0.5
    convolution.weight = nn.Parameter(drawn)
    return Stem(convolution, Norm(outputs), nn.ReLU(inplace=True))

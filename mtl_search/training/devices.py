"""The device that networks are trained on, and what of a step depends on it: number format and compilation."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch_config

from mtl_search.errors import FieldError
from mtl_search.networks.inputs import example


def device_of(name: str) -> torch.device:
    """The device of a setting: ``auto`` takes CUDA where there is one.

    :raises FieldError: If CUDA is asked for and there is none.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise FieldError("training.device", "must be `cpu` or `auto` on a machine without CUDA", name)
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def compiled(model: nn.Module, input_shape: tuple[int, ...]) -> Callable[[Tensor], Mapping[str, Tensor]]:
    """The forward pass of a network with its weights, compiled at the first call, and the backward pass with it.

    On CUDA both are replayed as CUDA graphs, which spares small networks the time of their launches. One network at a
    time: what was compiled before in this process is forgotten.

    :param model: The network, on its device.
    :param input_shape: Shape of one input, without the batch.
    """
    device = next(model.parameters()).device
    with torch.no_grad():  # what a network chooses when it is first used stays out of the graph
        model.eval()(example(model, input_shape, 1))
    model.train()
    torch.compiler.reset()  # or it gives up compiling after some networks, and keeps what they held
    functorch_config.donated_buffer = False  # some balancings and methods go back through it several times
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    forward: Callable[[Tensor], Mapping[str, Tensor]] = torch.compile(model, dynamic=False, mode=mode)
    return forward


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 for convolutions and products on CUDA; nothing on the CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")

"""Calls of the library: what a tensor must be to be given to it, and what is made of its answer."""

import ctypes
from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_search.kernels.library import library


def call(dtype: torch.dtype, name: str, *arguments: object) -> None:
    """Call a function of the library, for tensors of a type.

    :raises MemoryError: If it finds no memory to work in.
    :raises RuntimeError: If there is no library for them.
    """
    lib = library(dtype)
    if lib is None:
        raise RuntimeError(f"there are no kernels in C for {dtype} on this machine")
    if getattr(lib, name)(*arguments):
        raise MemoryError(f"there is no memory left to work in for `{name}` of the kernels in C")


def pointer(x: Tensor | None) -> ctypes.c_void_p:
    """Where the values of a tensor begin."""
    return ctypes.c_void_p(None if x is None else x.data_ptr())


def check_features(name: str, x: Tensor, shape: Sequence[int] | None = None, like: Tensor | None = None) -> None:
    """Check that a tensor can be given to the library as features.

    :param name: What it is called in the message.
    :param x: Must be ``[batch, channels, height, width]``, not empty, channels innermost.
    :param shape: That it must have, if it is known.
    :param like: What it must have the type of.
    :raises ValueError: If it is anything else.
    """
    if x.ndim != 4 or x.numel() == 0 or not x.is_contiguous(memory_format=torch.channels_last):
        _refuse(name, "be features [batch, channels, height, width], not empty, channels innermost", x)
    _check_values(name, x, x.shape if shape is None else shape, x if like is None else like)


def check_values(name: str, x: Tensor, shape: Sequence[int], like: Tensor) -> None:
    """Check that a tensor can be given to the library as anything else: of a shape, contiguous, and of a type.

    :param name: What it is called in the message.
    :param like: What it must have the type of.
    :raises ValueError: If it is anything else.
    """
    if not x.is_contiguous():
        _refuse(name, "be contiguous", x)
    _check_values(name, x, shape, like)


def _check_values(name: str, x: Tensor, shape: Sequence[int], like: Tensor) -> None:
    if x.shape != torch.Size(shape) or x.dtype != like.dtype or not x.is_cpu:
        _refuse(name, f"be {like.dtype} {list(shape)} on the processor", x)
    if x.data_ptr() % x.element_size():
        _refuse(name, f"begin at a multiple of {x.element_size()} bytes", x)


def _refuse(name: str, rule: str, x: Tensor) -> None:
    found = f"{x.dtype} {list(x.shape)} with strides {list(x.stride())} on `{x.device}`"
    raise ValueError(f"`{name}` must {rule}, but got {found}.")

"""Memory for features and their gradients, which the next step uses again.

Linux gives a process cleared memory, and its C library gives back what large tensors had: clearing as much again in
every step took up to a third of a step's time.
"""

import contextlib
import ctypes
import math
import mmap
import sys
import threading
import weakref
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from mtl_search.internal.memory import LARGE_PAGE, prefer_large_pages

KEPT_FROM = 32 * 2**20
"""Bytes from which on the C library of GNU gives back all that is freed (its ``DEFAULT_MMAP_THRESHOLD_MAX``)."""


def empty(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Features to be written, channels innermost.

    :param like: Features of the same type.
    :param shape: ``[batch, channels, height, width]``, positive.
    :raises MemoryError: If there is no memory left for them.
    """
    size = math.prod(shape) * like.element_size()
    lent = POOL.lend(size) if size >= KEPT_FROM and sys.platform == "linux" else None
    if lent is None:
        made = _empty(like, shape, torch.channels_last)
        prefer_large_pages(made.data_ptr(), made.nbytes)
        return made
    _, channels, height, width = shape
    strides = (height * width * channels, 1, width * channels, channels)
    storage = torch.frombuffer(lent, dtype=like.dtype, count=math.prod(shape)).untyped_storage()
    return torch.empty(0, dtype=like.dtype).set_(storage, 0, tuple(shape), strides)  # no view, as autograd has it


def empty_values(like: Tensor, *shape: int) -> Tensor:
    """Values to be written that are no features, in torch's default layout.

    :param like: Values of the same type.
    :raises MemoryError: If there is no memory left for them.
    """
    return _empty(like, shape, torch.contiguous_format)


def _empty(like: Tensor, shape: Sequence[int], layout: torch.memory_format) -> Tensor:
    try:
        return torch.empty(*shape, dtype=like.dtype, memory_format=layout)
    except RuntimeError as error:  # of a shape of positive numbers it says nothing else
        size = math.prod(shape) * like.element_size()
        raise MemoryError(f"there is no memory left for a tensor of {size:,} bytes") from error


class MemoryPool:
    """Memory that is lent to tensors one after the other.

    What is not lent is marked as free: it counts as the process's, but the system takes it where memory is short. All
    together is at most one and a half times what was ever lent at one time.
    """

    def __init__(self) -> None:
        self.lent, self.most = 0, 0
        self.free: list[mmap.mmap] = []
        self._returned: deque[mmap.mmap] = deque()
        self._lock = threading.Lock()

    def lend(self, size: int) -> ctypes.Array[ctypes.c_char] | None:
        """Memory, lent until nothing refers to it any more; ``None`` if the system has none left.

        :param size: Bytes of it that are used; it has whole large pages.
        """
        size = -(-size // LARGE_PAGE) * LARGE_PAGE
        with self._lock:
            self._take_back()
            memory = self._kept(size)
            if memory is None:
                memory = self._new(size)
            if memory is None:
                return None
            self.lent += size
            self.most = max(self.most, self.lent)
        lent = (ctypes.c_char * size).from_buffer(memory)
        weakref.finalize(lent, self._return, memory).atexit = False
        return lent

    def _return(self, memory: mmap.mmap) -> None:
        """At any time, by any thread, also by one that holds the lock: whatever frees a tensor last."""
        with contextlib.suppress(OSError):  # a kernel that cannot free later: it stays the process's
            memory.madvise(mmap.MADV_FREE)
        self._returned.append(memory)

    def _take_back(self) -> None:
        while self._returned:
            memory = self._returned.popleft()
            self.lent -= len(memory)
            self.free.append(memory)

    def _kept(self, size: int) -> mmap.mmap | None:
        found = next((at for at in reversed(range(len(self.free))) if len(self.free[at]) == size), None)
        return None if found is None else self.free.pop(found)

    def _new(self, size: int) -> mmap.mmap | None:
        """From the system, which is given back what was free for longest, beyond what may be kept."""
        most = 3 * max(self.most, self.lent + size) // 2
        while self.free and self.lent + size + sum(map(len, self.free)) > most:
            self.free.pop(0)
        try:
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:
            self.free.clear()
            return None
        prefer_large_pages(ctypes.addressof(ctypes.c_char.from_buffer(memory)), size)
        return memory


POOL = MemoryPool()
"""That of this process."""

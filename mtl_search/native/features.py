"""Memory for features and their gradients, which the next step uses again.

Linux gives a process cleared memory, and takes it back where large tensors are freed: clearing as much again in every
step took up to a third of a step's time.
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

LARGE_PAGE = 2 * 2**20
"""Bytes of a large page (transparent huge page), on most processors: less is left to the C library."""


def empty(like: Tensor, shape: Sequence[int]) -> Tensor:
    """Features to be written, of the type of others, ``[batch, channels, height, width]``, channels innermost."""
    size = math.prod(shape) * like.element_size()
    lent = KEPT.lend(size) if size >= LARGE_PAGE and sys.platform == "linux" else None
    if lent is None:
        return torch.empty(*shape, dtype=like.dtype, memory_format=torch.channels_last)
    _, channels, height, width = shape
    strides = (height * width * channels, 1, width * channels, channels)
    storage = torch.frombuffer(lent, dtype=like.dtype, count=math.prod(shape)).untyped_storage()
    return torch.empty(0, dtype=like.dtype).set_(storage, 0, tuple(shape), strides)  # no view, as autograd has it


class Kept:
    """Memory that is lent to tensors one after the other.

    What is not lent is marked as free: it counts as the process's, but the system takes it where memory is short. There
    is at most as much of it again as was ever lent at one time.
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
        while self.free and self.lent + size + sum(map(len, self.free)) > 2 * max(self.most, self.lent + size):
            self.free.pop(0)
        try:
            memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:
            self.free.clear()
            return None
        with contextlib.suppress(OSError):  # a kernel without large pages
            memory.madvise(mmap.MADV_HUGEPAGE)
        return memory


KEPT = Kept()
"""That of this process."""

"""Memory of features is used again: by one tensor at a time, within a bound, and the system can take it back."""

import copy
import ctypes
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor

from made_networks import made_architecture, made_tasks, weighted_sum
from mtl_search.kernels.features import KEPT_FROM, LARGE_PAGE, MemoryPool, empty
from mtl_search.kernels.library import library
from mtl_search.networks.network import build_model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the C library gives memory, and takes it")

SHAPE = (64, 32, 64, 64)
BYTES = KEPT_FROM
ALIKE = torch.ones(1)


def address(memory: "ctypes.Array[ctypes.c_char] | None") -> int:
    assert memory is not None
    return ctypes.addressof(memory)


def test_features_are_as_torch_makes_them() -> None:
    made = empty(ALIKE, SHAPE)
    expected = torch.empty(SHAPE, memory_format=torch.channels_last)
    assert made.shape == expected.shape
    assert made.stride() == expected.stride()
    assert made.dtype == expected.dtype
    assert made.is_contiguous(memory_format=torch.channels_last)
    assert not made._is_view()


def test_memory_is_lent_again_once_nothing_refers_to_it() -> None:
    kept = MemoryPool()
    first, second = kept.lend(BYTES), kept.lend(BYTES)
    before = address(first), address(second)
    assert before[0] != before[1]
    del first
    assert address(kept.lend(BYTES)) == before[0]


def test_a_part_of_a_tensor_keeps_its_memory() -> None:
    whole = empty(ALIKE, SHAPE)
    part = whole.fill_(1)[2:, 5]
    del whole
    others = [empty(ALIKE, SHAPE).fill_(2) for _ in range(3)]
    assert all(other.data_ptr() != part.data_ptr() for other in others)
    assert (part == 1).all()


def test_no_more_is_kept_than_half_of_what_was_lent_at_one_time() -> None:
    kept = MemoryPool()
    for pages in range(1, 40):
        both = [kept.lend(pages * LARGE_PAGE) for _ in range(2)]
        assert kept.lent + sum(map(len, kept.free)) <= 1.5 * kept.most
        assert kept.most == kept.lent == 2 * pages * LARGE_PAGE
        del both


def test_threads_never_share_memory() -> None:
    kept = MemoryPool()

    def write_and_read(number: int) -> bool:
        for turn in range(200):
            lent = kept.lend((1 + turn % 2) * LARGE_PAGE)
            assert lent is not None
            tensor = torch.frombuffer(lent, dtype=torch.int64)
            tensor[::4096] = number
            del lent
            if not (tensor[::4096] == number).all():
                return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(write_and_read, range(8)))


def test_the_system_can_take_back_what_is_not_lent() -> None:
    kept, told = MemoryPool(), Path("/proc/self/smaps_rollup")
    if not told.exists() or "LazyFree:" not in told.read_text():
        pytest.skip("this system does not say what it can take back")
    tensor = torch.frombuffer(kept.lend(32 * LARGE_PAGE), dtype=torch.uint8)
    tensor.fill_(1)
    before = _lazily_free(told)
    del tensor
    assert _lazily_free(told) - before >= 31 * LARGE_PAGE


def _lazily_free(told: Path) -> int:
    return 1024 * int(told.read_text().partition("LazyFree:")[2].split()[0])


def test_features_can_be_copied_sent_and_written_to() -> None:
    made = empty(ALIKE, SHAPE).fill_(3)
    for same in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), made.clone().share_memory_()):
        assert torch.equal(same, made)
    made.share_memory_()
    assert (made == 3).all()


@pytest.mark.skipif(library(torch.float32) is None, reason="kernels need a C compiler")
def test_every_step_has_the_gradients_of_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtl_search.kernels.features.KEPT_FROM", 2**16)
    model = build_model(made_architecture(), made_tasks(), (3, 32, 32), seed=0)
    inputs = torch.randn(64, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(weighted_sum(model(inputs)), list(model.parameters()), allow_unused=True))

    first = gradients()
    for _ in range(3):
        assert all(a is b is None or torch.equal(a, b) for a, b in zip(gradients(), first, strict=True))


STEP_AFTER_STEP = """
import resource, torch
from mtl_search.kernels.features import empty

def step():
    made = [empty(torch.ones(1), (16, 256, 64, 64)).fill_(1) for _ in range(3)]

step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

SHORT_OF_MEMORY = """
import resource, torch
from mtl_search.kernels.features import empty

def made(mebibytes):
    return empty(torch.ones(1), (mebibytes, 256, 32, 32))

made(512)
limit = int(open("/proc/self/status").read().partition("VmSize:")[2].split()[0]) * 1024 + 256 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
made(600)
try:
    made(4096)
except MemoryError as error:
    print(error)
made(100)
"""


def shown_by(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_a_step_gets_no_cleared_memory_after_the_first() -> None:
    assert int(shown_by(STEP_AFTER_STEP)) < 32, "pages, where each tensor has 16384 small or 32 large ones"


@pytest.mark.slow
def test_where_memory_is_short_what_is_kept_is_given_up_before_it_is_said() -> None:
    assert "there is no memory left for a tensor of 4,294,967,296 bytes" in shown_by(SHORT_OF_MEMORY)

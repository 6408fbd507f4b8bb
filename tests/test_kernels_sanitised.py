"""The kernels in C under the sanitisers of addresses and of undefined behaviour, on random shapes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mtl_search.kernels.compiler import BuildError, find_compiler

SHAPES = 1000
LIBRARIES = ("libasan.so", "libubsan.so")

FUZZ = """
import random, sys
import torch
from torch.nn import functional as F
from mtl_search.kernels import compiler, library
from mtl_search.kernels.bank import recombined, recombined_into
from mtl_search.kernels.norm import LazyNorm, moments
from mtl_search.networks.operators import make_operator

SANITISERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
library.FLAGS = ("-O1", "-g", "-march=native", "-ffp-contract=fast", "-fPIC", *SANITISERS)
compiler.COMPILING_S = 1800
assert library.built("double").library is not None, library.built("double").problem
torch.set_num_threads(2)
NAMES = ("paper", "linear", "pooling", "identity", "orthonormal7", "nonlinear", "dilated_random*2+random")


def compared(rng):
    name, groups, stride = rng.choice(NAMES), rng.choice([1, 1, 2, 3]), rng.choice([1, 1, 2, 3])
    channels, batch, dilation = rng.randint(3, 40), rng.randint(1, 3), rng.choice([1, 1, 2])
    height, width = rng.randint(1, 24), rng.randint(1, 24)
    outputs = [rng.randint(1, 40) for _ in range(1 if groups > 1 else rng.randint(1, 3))]
    bank = make_operator(name, groups * channels, torch.Generator().manual_seed(0), dilation).double()
    x = torch.randn(batch, groups * channels, height, width, dtype=torch.float64)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    weights = [torch.randn(groups * n, bank.taps, channels, dtype=torch.float64).requires_grad_() for n in outputs]
    given, read, inputs = x, x, [x, *weights]
    if rng.random() < 0.5 and batch * height * width > 1:
        scale, offset = (torch.randn(groups * channels, dtype=torch.float64).requires_grad_() for _ in range(2))
        relu, (mean, variance) = rng.random() < 0.5, moments(x.detach())
        given = LazyNorm(x, mean, (variance + 1e-5).sqrt(), scale, offset, relu)
        read = F.batch_norm(x, None, None, scale, offset, True, 0.1, 1e-5)
        read, inputs = F.relu(read) if relu else read, [*inputs, scale, offset]
    taken, features = bank.frozen_bank(groups * channels), bank.features(read, stride)
    expected = [bank.convolve(features, weight, stride, groups) for weight in weights]
    if len(weights) == 1 and rng.random() < 0.5:
        total = torch.randn_like(expected[0]).contiguous(memory_format=torch.channels_last)
        expected = [expected[0] + total]
        made = [recombined_into(total, given, taken, weights[0], stride, groups)]
    else:
        made = recombined(given, taken, weights, stride, groups, [rng.random() < 0.5 for _ in weights])
    found = [one.features for one in made]
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-8)
    for one, told in zip(expected, made, strict=True):
        if told.moments is not None:
            torch.testing.assert_close(told.moments.mean, one.mean(dim=(0, 2, 3)), rtol=1e-6, atol=1e-8)
            torch.testing.assert_close(told.moments.variance, one.var((0, 2, 3), False), rtol=1e-6, atol=1e-8)
    upstream = [torch.randn_like(one) for one in expected]
    got, wanted = (torch.autograd.grad(one, inputs, upstream) for one in (found, expected))
    torch.testing.assert_close(got, wanted, rtol=1e-6, atol=1e-6)


for seed in range(int(sys.argv[1])):
    torch.manual_seed(seed)
    try:
        compared(random.Random(seed))
    except AssertionError as error:
        raise AssertionError(f"seed {seed}") from error
print("the same")
"""


def sanitisers() -> list[str]:
    """The libraries of the compiler's sanitisers; none where it has none."""
    try:
        command = find_compiler().command
    except BuildError:
        return []
    asked = [
        subprocess.run([*command, f"-print-file-name={name}"], capture_output=True, text=True) for name in LIBRARIES
    ]
    found = [one.stdout.strip() for one in asked]
    return found if all(Path(one).is_absolute() and Path(one).is_file() for one in found) else []


@pytest.mark.slow
@pytest.mark.skipif(not sanitisers(), reason="the compiler has no sanitisers")
def test_random_shapes_are_computed_as_torch_does_within_their_memory(tmp_path: Path) -> None:
    settings = {
        "LD_PRELOAD": ":".join(sanitisers()),
        "XDG_CACHE_HOME": str(tmp_path),
        "OMP_NUM_THREADS": "2",
        "ASAN_OPTIONS": "detect_leaks=0",  # those of Python and torch are not ours
        "CC": f"env -u LD_PRELOAD {shutil.which(find_compiler().command[0])}",
    }
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, str(SHAPES)],
        capture_output=True,
        text=True,
        env=os.environ | settings,
        check=False,
    )
    assert done.stdout == "the same\n", done.stderr[-3000:]

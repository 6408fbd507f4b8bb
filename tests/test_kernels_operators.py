"""The operators of the kernels: known to torch, and refusing what they cannot be given."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from mtl_search.errors import UserError
from mtl_search.internal.registry import PRIMITIVES
from mtl_search.kernels import bank_operators, norm
from mtl_search.kernels.frozen import FrozenPrimitive
from mtl_search.kernels.library import library
from mtl_search.networks.operators import Bank, make_operator
from mtl_search.primitives import LinearPrimitive

pytestmark = pytest.mark.skipif(library(torch.float32) is None, reason="kernels need a C compiler")

Arguments = dict[str, Any]


def drawn(*shape: int, seed: int = 0) -> Tensor:
    made = torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else made


def of_bank(name: str, channels: int, groups: int = 1, has_norm: bool = False) -> Arguments:
    """Arguments of an operator of banks, on images of 7x6, without what is its own; without a stride."""
    bank = make_operator(name, groups * channels, torch.Generator().manual_seed(0)).double()
    assert isinstance(bank, Bank)
    taken = bank.frozen_bank(groups * channels)
    assert taken is not None
    of_norm = [drawn(groups * channels, seed=seed).abs() if has_norm else None for seed in (3, 4, 5, 6)]
    return dict(
        x=drawn(2, groups * channels, 7, 6),
        weight=drawn(groups * 5, bank.taps, channels, seed=1),
        **dict(zip(("mean", "deviation", "norm_weight", "norm_bias"), of_norm, strict=True)),
        frozen=taken.frozen,
        **dict(zip(("kinds", "taps", "down", "right"), taken.tables, strict=True)),
        stride=1,
        groups=groups,
        activate=has_norm,
    )


def learned(arguments: Arguments) -> Arguments:
    """With gradients wanted."""
    names = ("x", "weight", "norm_weight", "norm_bias")
    wanted = {name: arguments[name].requires_grad_() for name in names if arguments[name] is not None}
    return arguments | wanted


@pytest.mark.parametrize("has_norm", [False, True])
@pytest.mark.parametrize(("name", "channels", "groups"), [("paper", 4, 1), ("pooling", 3, 2), ("linear", 8, 1)])
@pytest.mark.thin(5)
def test_torch_knows_the_recombination(name: str, channels: int, groups: int, has_norm: bool) -> None:
    arguments = of_bank(name, channels, groups, has_norm)
    gradients = [drawn(2, groups * 5, 7, 6, seed=7)]
    backward = arguments | {"gradients": gradients, "of_x_wanted": True}
    torch.library.opcheck(bank_operators.RECOMBINE_BACKWARD, (), backward)
    several = [2, 3] if groups == 1 else [5]
    forward = learned(arguments) | {"outputs": several, "measured": [True, False][: len(several)]}
    torch.library.opcheck(bank_operators.RECOMBINE, (), forward)


@pytest.mark.parametrize("has_norm", [False, True])
def test_torch_knows_what_is_added(has_norm: bool) -> None:
    total = {"total": drawn(2, 10, 7, 6, seed=2)}
    torch.library.opcheck(bank_operators.RECOMBINE_ADD, (), total | learned(of_bank("paper", 4, 2, has_norm)))


@pytest.mark.parametrize("activate", [True, False])
def test_torch_knows_the_norm(activate: bool) -> None:
    x, (weight, bias, mean, deviation) = drawn(3, 5, 4, 6), (drawn(5, seed=seed).abs() for seed in (1, 2, 3, 4))
    torch.library.opcheck(norm.MOMENTS, (x,))
    torch.library.opcheck(norm.NORMALISE_BACKWARD, (x, drawn(3, 5, 4, 6), weight, bias, mean, deviation, activate))
    wanted = [one.requires_grad_() for one in (x, weight, bias)]
    torch.library.opcheck(norm.NORMALISE, (*wanted, mean, deviation, activate))


def with_value(name: str, change: Callable[[Any], Any]) -> Callable[[Arguments], Arguments]:
    return lambda arguments: arguments | {name: change(arguments[name])}


def unaligned(x: Tensor) -> Tensor:
    memory = bytearray(x.numel() * x.element_size() + 1)
    return torch.frombuffer(memory, dtype=x.dtype, offset=1).reshape(x.shape).copy_(x)


REFUSED: dict[str, tuple[Callable[[Arguments], Arguments], str]] = {
    "channels outermost": (with_value("x", torch.Tensor.contiguous), "channels innermost"),
    "an empty batch": (with_value("x", lambda x: x[:0]), "not empty"),
    "rows of a table": (with_value("x", lambda x: x[:, :, 0, 0]), r"features \[batch, channels, height, width\]"),
    "half precision": (with_value("x", lambda x: x.half()), "`frozen` must be torch.float16"),
    "a weight of too few primitives": (with_value("weight", lambda w: w[:, 1:].clone()), r"\[10, 5, 4\].*\[10, 4, 4\]"),
    "a weight of other channels": (with_value("weight", lambda w: w[..., :3].clone()), r"\[10, 5, 4\].*\[10, 5, 3\]"),
    "a weight of another type": (with_value("weight", lambda w: w.float()), "`weight` must be torch.float64"),
    "a weight with gaps": (with_value("weight", lambda w: w.repeat(2, 1, 1)[::2]), "`weight` must be contiguous"),
    "a weight between two values": (with_value("weight", unaligned), "begin at a multiple of 8 bytes"),
    "frozen values of one group": (with_value("frozen", lambda f: f[:, :4].clone()), "`frozen` must be"),
    "a short norm": (with_value("mean", lambda m: m[:3].clone()), "`mean` must be"),
    "groups that are not equal": (with_value("groups", lambda g: 3), "the groups equal"),
    "no stride": (with_value("stride", lambda s: 0), "must be positive"),
    "an unknown kind": (with_value("kinds", lambda k: [7, *k[1:]]), "`kinds` must be known"),
    "more taps than there are": (with_value("taps", lambda t: [t[0] + 1, *t[1:]]), "`taps` must count"),
    "a kernel of 5x5": (
        lambda given: given | {"kinds": [0], "taps": [25], "down": [0] * 25, "right": [0] * 25},
        "none may have more than 9",
    ),
    "a pool without its middle": (
        lambda given: given | {"kinds": [1], "taps": [1], "down": [1], "right": [0]},
        "`max_pool` cannot have the taps",
    ),
    "a tap that is too far": (with_value("down", lambda d: [2**40, *d[1:]]), "no tap further than 65536"),
    "outputs that are none": (with_value("outputs", lambda o: [0, 5]), "must be positive"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_kernels_cannot_be_given_is_refused(case: str) -> None:
    change, told = REFUSED[case]
    given = of_bank("paper", 4, 2, has_norm=True) | {"outputs": [5], "measured": [True]}
    bank_operators.RECOMBINE(**given)
    with pytest.raises(ValueError, match=told):
        bank_operators.RECOMBINE(**change(given))


def test_gradients_and_sums_must_have_the_shape_of_the_outputs() -> None:
    given = of_bank("paper", 4)
    with pytest.raises(ValueError, match=r"`gradient` must be torch.float64 \[2, 5, 7, 6\]"):
        bank_operators.RECOMBINE_BACKWARD(**given, gradients=[drawn(2, 5, 7, 5)], of_x_wanted=True)
    with pytest.raises(ValueError, match=r"`total` must be torch.float64 \[2, 5, 7, 6\]"):
        bank_operators.RECOMBINE_ADD(drawn(2, 5, 6, 6), **given)
    x, of_channels = drawn(2, 5, 7, 6), [torch.ones(5, dtype=torch.float64)] * 4
    with pytest.raises(ValueError, match=r"`gradient` must be torch.float64 \[2, 5, 7, 6\]"):
        norm.NORMALISE_BACKWARD(x, drawn(2, 5, 7, 5), *of_channels, True)
    with pytest.raises(ValueError, match="`weight` must be"):
        norm.NORMALISE(x, torch.ones(4).double(), *of_channels[1:], True)


class Wide(LinearPrimitive):
    """A kernel of 5x5."""

    name, size = "wide", 5

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return torch.randn(count, channels, 5, 5, generator=generator)


class Unsaid(Wide):
    """The same, which does not say so."""

    name, size = "unsaid", 3


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Wide, "`size` of a linear primitive must be 1 or 3, but got 5"),
        (Unsaid, r"\[1, 4, 3, 3\], but got \[1, 4, 5, 5\]"),
    ],
)
def test_a_primitive_of_5x5_is_refused(kind: type[LinearPrimitive], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = PRIMITIVES.get
    monkeypatch.setattr(PRIMITIVES, "get", lambda name: kind if name == "average_pool" else known(name))
    with pytest.raises(UserError, match=told):
        make_operator("average_pool", 4, torch.Generator().manual_seed(0))


def test_a_primitive_says_what_kernel_it_has() -> None:
    with pytest.raises(UserError, match="must be one of max_pool, perturbation, but got 'blur'"):
        FrozenPrimitive("blur", [], torch.zeros(0, 4))
    with pytest.raises(UserError, match=r"takes frozen values \[64, channels\], but got \[16, 4\]"):
        FrozenPrimitive("perturbation", [], torch.zeros(16, 4))


WITHOUT_MEMORY = """
import resource, torch
from mtl_search.kernels.bank import recombined
from mtl_search.kernels.norm import LazyNorm, moments
from mtl_search.networks.operators import make_operator

torch.set_num_threads(1)
bank = make_operator("{name}", 64, torch.Generator().manual_seed(0))
taken = bank.frozen_bank(64)
x = torch.randn(1, 64, 8, 8).to(memory_format=torch.channels_last).requires_grad_()
weights = [torch.randn({outputs}, bank.taps, 64).requires_grad_()]
known = moments(x.detach())
lazy = LazyNorm(x, known.mean, known.variance.sqrt(), torch.ones(64), torch.zeros(64), True)
few = [torch.randn(4, bank.taps, 64).requires_grad_()]
((small, _),) = recombined(lazy, taken, few, 1)  # what is imported at the first call is imported now
torch.autograd.grad(small, [x, *few], torch.ones_like(small))
answers = []


def first(attempt):
    # with more and more memory, from none that is not mapped yet, until it is done
    now = int(open("/proc/self/status").read().partition("VmSize:")[2].split()[0]) * 1024
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    for spare in range(0, 2**{most}, 2**{step}):
        resource.setrlimit(resource.RLIMIT_AS, (now + spare, most))
        try:
            return attempt()
        except MemoryError as error:
            answers.append(str(error))


((made, _),) = first(lambda: recombined(lazy, taken, weights, 1))
upstream = torch.ones_like(made)
first(lambda: torch.autograd.grad(made, [x, *weights], upstream, retain_graph=True))
print(*sorted(set(answers)), sep="\\n")
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not keep to RLIMIT_AS")
@pytest.mark.parametrize("name", ["paper", "linear"])
def test_without_memory_kernels_say_so(name: str) -> None:
    program = WITHOUT_MEMORY.format(name=name, outputs=16384, most=27, step=22)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for function in ("bank_forward", "bank_backward"):
        assert f"there is no memory left to work in for `{function}` of the kernels in C" in done.stdout

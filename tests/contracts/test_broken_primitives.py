"""Primitives that each break one rule, and the sentence that says which."""

from typing import Any

import pytest
import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from mtl_search.internal.registry import PRIMITIVES
from mtl_search.primitives import (
    LinearPrimitive,
    LinearVectorPrimitive,
    NonlinearPrimitive,
    NonlinearVectorPrimitive,
    Primitive,
)
from mtl_search.testing import check_bank, check_primitive
from mtl_search.testing._rules import seeded


class Blur(LinearPrimitive):
    name = "blur"

    def kernels(self, count: int, channels: int, generator: Generator) -> Tensor:
        return torch.rand(count, channels, 3, 3, generator=generator)


class Root(NonlinearPrimitive):
    """Its operation is ``work``, then every stride-th pixel."""

    name = "root"

    def buffer(self, channels: int, generator: Generator) -> Tensor:
        return torch.rand(channels, 1, 1, generator=generator)

    def __call__(self, x: Tensor, buffer: Tensor, stride: int) -> Tensor:
        return self.work(x, buffer)[:, :, ::stride, ::stride]

    def work(self, x: Tensor, buffer: Tensor) -> Tensor:
        return (x.square() + buffer).sqrt()


class Turn(LinearVectorPrimitive):
    name = "turn"

    def matrices(self, count: int, features: int, window: int, generator: Generator) -> Tensor:
        return torch.linalg.qr(torch.randn(count, features, features, generator=generator)).Q


class Bend(NonlinearVectorPrimitive):
    name = "bend"

    def drawn(self, features: int, generator: Generator) -> Tensor:
        return torch.rand(features, generator=generator)

    def apply(self, x: Tensor, frozen: Tensor) -> Tensor:
        return (x + frozen[:, None]).tanh() * 1.3


def changed(base: type[Primitive], **attributes: Any) -> type[Primitive]:
    """A class that is as another one but for some attributes."""
    return type("Changed", (base,), attributes)


def kernels(draw: Any) -> type[Primitive]:
    return changed(Blur, kernels=lambda self, count, channels, generator: draw(count, channels, generator))


def work(operation: Any) -> type[Primitive]:
    return changed(Root, work=lambda self, x, buffer: operation(x, buffer))


def matrices(draw: Any) -> type[Primitive]:
    return changed(Turn, matrices=lambda self, count, features, window, generator: draw(count, features, generator))


def apply(operation: Any) -> type[Primitive]:
    return changed(Bend, apply=lambda self, x, frozen: operation(x, frozen))


def scaled_in_place(x: Tensor, buffer: Tensor) -> Tensor:
    return x.relu_() if not x.requires_grad else x.relu()


def kept_aside(self: Any, count: int, generator: Generator) -> Tensor:
    self.aside = 1 + torch.rand(1, generator=generator)
    return torch.zeros(count, 1, 1)


LEARNED = nn.Parameter(torch.ones(1))
GLOBAL = "The same generator draws the same"
SHAPE = r"Responses are finite and of the shape .*; with pictures \[2, 6, 12, 12\] and the stride"
ROWS_SHAPE = "Responses to rows are finite and of the shape"
NOT_LEARNED = "Nothing in a primitive is learned"
NO_VECTOR_LEARNED = "Nothing in a primitive on vectors is learned"
BROKEN: dict[str, tuple[type, str]] = {
    "no primitive": (nn.Module, "is derived from LinearPrimitive"),
    "lacks its method": (changed(LinearPrimitive, name="none"), "lacks none of its methods"),
    "takes arguments": (changed(Blur, __init__=lambda self, size: None), "is made without arguments"),
    "no name": (changed(Blur, name="two words"), "has a name that is a word"),
    "global generator": (kernels(lambda n, c, g: torch.rand(n, c, 3, 3)), GLOBAL),
    "another draw each time": (kernels(lambda n, c, g: torch.rand(n, c, 3, 3, generator=seeded(id(g)))), GLOBAL),
    "shape of kernels": (
        kernels(lambda n, c, g: torch.rand(c, n, 3, 3, generator=g)),
        "draws kernels .count",
    ),
    "size 5": (changed(Blur, size=5), "a size of 1 or 3 and a dilation of 1 or 2; .* the size 5 and"),
    "float64": (kernels(lambda n, c, g: torch.rand(n, c, 3, 3, generator=g).double()), "in float32"),
    "zeros": (kernels(lambda n, c, g: torch.zeros(n, c, 3, 3)), "none of them zeros"),
    "linear, with an operation": (changed(Blur, __call__=lambda self, x, buffer, stride: x.relu()), "has no operation"),
    "buffer without rows": (
        changed(Root, buffer=lambda self, c, g: torch.rand(1, generator=g)),
        "row for every channel",
    ),
    "nonlinear, but linear": (work(lambda x, b: 2 * x), "A nonlinear primitive is not linear"),
    "shape": (changed(Root, __call__=lambda self, x, b, s: x.relu()), SHAPE),
    "not finite": (work(lambda x, b: x.log()), "Responses are finite"),
    "stride": (changed(Root, __call__=lambda self, x, b, s: F.max_pool2d(x, s, s, ceil_mode=True)), "picks every s-th"),
    "learned": (work(lambda x, b: LEARNED * x.relu()), NOT_LEARNED),
    "learned buffer": (changed(Root, buffer=lambda self, c, g: nn.Parameter(torch.ones(c, 1, 1))), NOT_LEARNED),
    "no gradient": (work(lambda x, b: x.detach().relu()), "comes through to the input"),
    "no gradient at 0": (work(lambda x, b: x.abs().sqrt()), "also where the input is 0, .* with pictures of zeros"),
    "gradient of zeros": (work(lambda x, b: x.sign()), "comes through to the input, .*found a gradient of zeros"),
    "mixes pictures": (work(lambda x, b: (x - x.mean(dim=0)).relu()), "Every picture is treated by itself"),
    "changes its input": (work(scaled_in_place), "The input is not changed"),
    "not deterministic": (work(lambda x, b: x.relu() + torch.rand(1)), "the same input has the same response"),
    "type": (work(lambda x, b: x.relu().float()), "Responses have the type of the input"),
    "mixes channels": (work(lambda x, b: x.relu() + x.mean(dim=1, keepdim=True)), "Every channel is treated by itself"),
    "reads nothing": (work(lambda x, b: 0 * x + b), "normalised pictures, found a gradient of zeros"),
    "a part of the channels": (work(lambda x, b: x.relu() / x.shape[1]), "A part of the channels has that part"),
    "state": (
        changed(Root, buffer=kept_aside, work=lambda self, x, b: self.aside * x.relu()),
        "Everything that is drawn is in the state",
    ),
    "one stream": (apply(lambda x, frozen: x.tanh() * (1 + 0.1 * len(x))), "One stream alone has its part"),
    "state of rows": (
        changed(
            Bend, drawn=kept_aside, apply=lambda self, x, frozen: self.aside * x.tanh(), frozen_values=lambda self, f: f
        ),
        "is in the state, .* the same responses to rows",
    ),
    "shape of matrices": (matrices(lambda n, f, g: torch.eye(f)), "draws matrices .count, features, features"),
    "linear on rows, with an operation": (changed(Turn, apply=lambda self, x, frozen: x), "and nothing else"),
    "frozen values": (
        changed(Turn, frozen_values=lambda self, features: 1),
        "by `frozen_values` how many values of one matrix",
    ),
    "dependent rows": (matrices(lambda n, f, g: torch.ones(n, f, f)), "depend on each other"),
    "shape of rows": (apply(lambda x, frozen: x[:, :1].relu()), ROWS_SHAPE),
    "rows not finite": (apply(lambda x, frozen: x.log()), ROWS_SHAPE),
    "rows learned": (apply(lambda x, frozen: LEARNED * x.relu()), NO_VECTOR_LEARNED),
    "rows without gradient": (apply(lambda x, frozen: x.detach().relu()), "comes through to the rows"),
    "rows without gradient at 0": (
        apply(lambda x, frozen: x.abs().sqrt()),
        "with rows of zeros, found a gradient that",
    ),
    "rows of no gradient": (apply(lambda x, frozen: x.sign()), "comes through to the rows, .* a gradient of zeros"),
    "mixes rows": (
        apply(lambda x, frozen: (x - 2 * x.mean(dim=1, keepdim=True)).tanh() * 1.3),
        "Every row is treated by itself",
    ),
    "rows changed": (apply(lambda x, frozen: x.relu() if x.requires_grad else x.relu_()), "The rows are not changed"),
    "energy": (apply(lambda x, frozen: 30 * x.relu()), "have a mean square between 0.3 and 2; .*, found a mean square"),
    "streams": (
        apply(lambda x, frozen: (x + x.mean(dim=0)).tanh() * 1.3),
        "Every stream of features is",
    ),
    "linear on rows": (apply(lambda x, frozen: x), "on vectors is not linear"),
    "values of rows": (
        changed(Bend, frozen_values=lambda self, features: 3),
        "by `frozen_values` how many values it draws",
    ),
    "products": (
        apply(lambda x, frozen: (x @ torch.eye(x.shape[-1])).tanh() * 1.3),
        "says by `macs` the multiply-accumulates",
    ),
    "global generator of rows": (changed(Bend, drawn=lambda self, f, g: torch.rand(f)), GLOBAL),
}


@pytest.mark.parametrize("kind", [Blur, Root, Turn, Bend])
def test_what_others_are_made_of_keeps_the_contract(kind: type[Primitive]) -> None:
    check_primitive(kind)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_told_in_one_sentence(case: str) -> None:
    kind, rule = BROKEN[case]
    with pytest.raises(AssertionError, match=rule) as found:
        check_primitive(kind)
    assert str(found.value).startswith(f"`{kind.__name__}` breaks a rule: ")
    assert "\n" not in str(found.value)


def test_a_primitive_that_was_made_is_checked_as_its_class() -> None:
    check_primitive(Turn())


def test_a_bank_whose_primitives_depend_on_each_other_is_told() -> None:
    with pytest.raises(AssertionError, match=r"`average_pool\*2` breaks a rule: .*depend on each other"):
        check_bank("average_pool*2")


def test_a_class_that_was_checked_is_registered_nowhere() -> None:
    before = PRIMITIVES.names()
    check_primitive(Root)
    assert PRIMITIVES.names() == before

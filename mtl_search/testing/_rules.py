"""How a contract is checked: rule by rule, the first that is broken told in one sentence."""

import inspect
import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from mtl_search.internal.characters import cut

Case = TypeVar("Case")
LONGEST = 300
"""Characters of what was found, in a message."""


class BrokenRule(Exception):
    """A rule does not hold: with what input, and what was found instead."""

    def __init__(self, given: str, found: object) -> None:
        super().__init__(f"with {given}, found {cut(' '.join(str(found).split()), LONGEST)}")


def require(holds: bool, given: str, found: object) -> None:
    """Raise :class:`BrokenRule` unless something holds.

    :param given: The input, as the words behind "with".
    :param found: What was found, as the words behind "found".
    """
    if not holds:
        raise BrokenRule(given, found)


def require_equal(found: object, expected: object, given: str) -> None:
    """Raise :class:`BrokenRule` unless two things are equal, tensors bit for bit."""
    if isinstance(found, Tensor) and isinstance(expected, Tensor):
        holds = found.shape == expected.shape and torch.equal(found, expected)
        require(holds, given, _difference(found, expected))
    else:
        require(found == expected, given, f"{found} and not {expected}")


RTOL, ATOL = 1.3e-6, 1e-5
"""What ``torch.testing.assert_close`` takes for rounding in float32."""
NOT_LINEAR = 0.1
"""Of inputs of size 1, how far the response to a sum is from the sum of the responses, at least, where it is not
linear: rounding is 1e-6."""


def require_close(found: Tensor, expected: Tensor, given: str, rtol: float = RTOL, atol: float = ATOL) -> None:
    """Raise :class:`BrokenRule` unless two tensors of one shape agree to rounding, by default that of float32."""
    holds = found.shape == expected.shape and torch.allclose(found.to(expected), expected, rtol, atol)
    require(holds, given, _difference(found, expected))


def require_none_of(kind: type, methods: Sequence[str]) -> None:
    """Raise :class:`BrokenRule` if a class has a method of these names, which nobody would call."""
    found = [name for name in methods if any(name in vars(base) for base in kind.__mro__)]
    require(not found, "the class", f"the methods {found}")


def check_rules(name: str, rules: Sequence[Callable[[Case], None]], case: Case) -> None:
    """Check rules in turn. A rule is a function whose docstring begins with the sentence that it is.

    :param name: Name of what is checked, for the message.
    :param case: What the rules are given.
    :raises AssertionError: At the first rule that is broken, or at which an exception is raised.
    """
    for rule in rules:
        sentence = " ".join((inspect.getdoc(rule) or "").partition("\n\n")[0].split()).rstrip(".")
        try:
            rule(case)
        except BrokenRule as broken:
            raise AssertionError(f"`{name}` breaks a rule: {sentence}; {broken}.") from None
        except Exception as error:
            reason = cut(" ".join(str(error).split()), LONGEST)
            raise AssertionError(f"`{name}` breaks a rule: {sentence}; {type(error).__name__}: {reason}") from error


@contextmanager
def one_thread() -> Iterator[None]:
    """While this holds torch has one thread: networks this small gain nothing by a second one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def seeded(seed: int = 0) -> torch.Generator:
    """A generator of its own."""
    return torch.Generator().manual_seed(seed)


def shapes_of(outputs: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """Name -> shape, in their order."""
    return {name: tuple(output.shape) for name, output in outputs.items()}


def kept_by_json(value: Any) -> bool:
    """Whether something is plain data: the same after it was written as JSON and read."""
    try:
        return bool(json.loads(json.dumps(value)) == value)
    except (TypeError, ValueError):
        return False


def _difference(found: Tensor, expected: Tensor) -> str:
    if found.shape != expected.shape:
        return f"the shape {list(found.shape)} and not {list(expected.shape)}"
    apart = (found.detach().double() - expected.detach().double()).abs().nan_to_num(nan=torch.inf)
    return f"values that are up to {float(apart.max()) if apart.numel() else 0:.3g} apart"


def require_own_generator(draw: Callable[[], Tensor], given: str) -> None:
    """Require that what a generator draws is the same again, whatever the global ones hold, which are left alone."""
    drawn = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        before = torch.get_rng_state()
        drawn.append(draw())
        require(torch.equal(torch.get_rng_state(), before), given, "draws from torch's global generator")
    require_equal(drawn[1], drawn[0], f"{given} twice")

"""What is left to choose in one layer: its bank, its shared ratio, and the depth of its branches."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mtl_search.errors import FieldError
from mtl_search.spaces.architecture import LayerChoice

MOST_OPTIONS = 100
"""Of one question: as many as a sampler can tell apart in a long search."""
MOST_CHOICES = 1_000
"""For one layer: ways to combine its options. Five banks, ten ratios and three depths are 155."""
Choose = Callable[[str, Any], Any]
"""Answers a question: (its name, the options) -> one of the options. Asked only where there are two or more. A
:class:`~mtl_search.spaces.proposal.ProposalSpace` asks for numbers of a range, too."""


@dataclass(frozen=True)
class LayerSpace:
    """The options for one layer, or for several layers that choose together.

    :param bank: Banks or primitives to choose from.
    :param shared_ratio: Shared ratios to choose from, each 0 to 1; evenly from all shared to a quarter by default.
    :param branch_depth: Branch depths to choose from; asked for only where the chosen ratio is below 1.
    """

    bank: tuple[str, ...] = ("paper",)
    shared_ratio: tuple[float, ...] = (1.0, 0.75, 0.5, 0.25)
    branch_depth: tuple[int, ...] = (1,)

    def __post_init__(self) -> None:
        for name in ("bank", "shared_ratio", "branch_depth"):
            check_options(name, getattr(self, name))
        if len(self.bank) * len(self.shared_ratio) * len(self.branch_depth) > MOST_CHOICES:
            counts = len(self.bank), len(self.shared_ratio), len(self.branch_depth)
            rule = f"must leave at most {MOST_CHOICES:,} choices together with `shared_ratio` and `branch_depth`"
            raise FieldError("bank", rule, " x ".join(map(str, counts)))
        for bank in self.bank:
            LayerChoice(bank)
        for ratio in self.shared_ratio:
            LayerChoice(self.bank[0], ratio)
        for depth in self.branch_depth:
            LayerChoice(self.bank[0], 0.5, depth)

    def choices(self) -> list[LayerChoice]:
        """Every choice that can be made here, each once."""
        return [
            LayerChoice(bank, ratio, depth)
            for bank in self.bank
            for ratio in self.shared_ratio
            for depth in (self.branch_depth if ratio < 1 else (0,))
        ]

    @property
    def size(self) -> int:
        """Number of :meth:`choices`."""
        return len(self.bank) * sum(len(self.branch_depth) if ratio < 1 else 1 for ratio in self.shared_ratio)

    def contains(self, choice: LayerChoice) -> bool:
        """Whether ``choice`` can be made here."""
        return (
            choice.bank in self.bank
            and choice.shared_ratio in self.shared_ratio
            and (choice.shared_ratio == 1 or choice.branch_depth in self.branch_depth)
        )

    def resolve(self, key: str, choose: Choose) -> LayerChoice:
        """Ask for what is open, in the order bank, ratio, depth. The names of the questions begin with ``key``."""
        bank = ask(f"{key}.bank", self.bank, choose)
        ratio = ask(f"{key}.shared_ratio", self.shared_ratio, choose)
        depth = 0 if ratio == 1 else ask(f"{key}.branch_depth", self.branch_depth, choose)
        return LayerChoice(bank, ratio, depth)

    def neighbours(self, choice: LayerChoice) -> Iterator[LayerChoice]:
        """Choices one step away: another bank, the next ratio up or down, the next depth up or down.

        A step from a ratio of 1 to one below it opens a branch, which may have any depth on offer.
        """
        for bank in self.bank:
            if bank != choice.bank:
                yield replace(choice, bank=bank)
        for ratio in adjacent(self.shared_ratio, choice.shared_ratio):
            depths = self.branch_depth if choice.shared_ratio == 1 else (choice.branch_depth,)
            for depth in depths if ratio < 1 else (0,):
                yield LayerChoice(choice.bank, ratio, depth)
        if choice.shared_ratio < 1:
            for depth in adjacent(self.branch_depth, choice.branch_depth):
                yield replace(choice, branch_depth=depth)


def ask(name: str, options: Sequence[Any], choose: Choose) -> Any:
    """The answer to a question; the only option where there is one."""
    return options[0] if len(options) == 1 else choose(name, options)


def adjacent(options: Sequence[Any], value: Any) -> list[Any]:
    """The options next below and next above ``value``."""
    ordered = sorted(options)
    place = ordered.index(value)
    return ordered[max(0, place - 1) : place] + ordered[place + 1 : place + 2]


def check_options(name: str, options: Sequence[Any]) -> None:
    """:raises FieldError: If there are none, too many, or one twice."""
    if not options:
        raise FieldError(name, "must offer at least one option", options)
    if len(options) > MOST_OPTIONS:
        raise FieldError(name, f"must offer at most {MOST_OPTIONS} options", len(options))
    if len(set(options)) != len(options):
        raise FieldError(name, "must not offer the same option twice", list(options))

"""What a trial trains: an architecture, and the values of those training settings that were left open."""

import itertools
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mtl_search.errors import FieldError, UnknownNameError
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.layer_space import Choose
from mtl_search.spaces.ranges import Range, is_offered, neighbours, offer_text
from mtl_search.spaces.space import SearchSpace

TRAINING = "training."
"""What the names of the questions about training begin with, as the columns of ``trials.csv`` do."""


@dataclass(frozen=True)
class Proposal:
    """An architecture and the training values that go with it. Two that differ in either are different.

    :param architecture: The architecture to train.
    :param values: Name of a training setting and its value, each pair once, in the order of the space.
    """

    architecture: Architecture
    values: tuple[tuple[str, Any], ...] = ()

    @property
    def training(self) -> dict[str, Any]:
        """Training setting -> value, of those that were left open."""
        return dict(self.values)

    @property
    def id(self) -> str:
        """That of the architecture, and the values behind it; the same for equal proposals only."""
        return " ".join([self.architecture.id, *(f"{name}={value!r}" for name, value in self.values)])

    def __str__(self) -> str:
        return ", ".join([str(self.architecture), *(f"{name} {_shown(value)}" for name, value in self.values)])


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


class ProposalSpace:
    """All that a search may propose: the architectures of a space, each with every value that is offered.

    Like the space itself, but for the questions about training, which come last: ``training.learning_rate``, ...

    :param space: Space of the architectures.
    :param training: Name of a training setting -> what is offered for it.
    :param usual: Training setting -> the value of what is not answered by a point; the middle or the first option where
        that is not offered.
    """

    def __init__(
        self, space: SearchSpace, training: Mapping[str, Any] | None = None, usual: Mapping[str, Any] | None = None
    ) -> None:
        self.space, self.training = space, dict(training or {})
        self.usual = {name: _usual(offer, (usual or {}).get(name)) for name, offer in self.training.items()}

    @property
    def size(self) -> float:
        """Number of different proposals; infinite where a number of a range is open."""
        if any(isinstance(offer, Range) for offer in self.training.values()):
            return math.inf
        return self.space.size * math.prod(len(offer) for offer in self.training.values())

    def questions(self) -> dict[str, Any]:
        """Every question and what is offered: those of the space, then those about training."""
        return {**self.space.questions(), **{TRAINING + name: offer for name, offer in self.training.items()}}

    def answers(self, proposal: Proposal) -> dict[str, Any]:
        """The answers that lead to a proposal of the space; the inverse of :meth:`resolve`."""
        values = {TRAINING + name: value for name, value in proposal.values if not _is_settled(self.training[name])}
        return {**self.space.answers(proposal.architecture), **values}

    def features(self, proposal: Proposal) -> Iterator[float]:
        """Numbers that a model learns from: one for a question about numbers, 0 where it is not asked; for others one
        for each option.
        """
        answers = self.answers(proposal)
        for name, options in self.questions().items():
            if isinstance(options, Range):
                yield options.share(answers[name])
            elif len(options) > 1 and all(isinstance(option, int | float) for option in options):
                yield float(answers.get(name, 0))
            elif len(options) > 1:
                told = options if len(options) > 2 else options[1:]
                yield from (float(answers.get(name) == option) for option in told)

    def resolve(self, choose: Choose) -> Proposal:
        """Ask every question that applies, and return the proposal that the answers make."""
        architecture = self.space.resolve(choose)
        return self._with(
            architecture,
            {
                name: offer[0] if _is_settled(offer) else choose(TRAINING + name, offer)
                for name, offer in self.training.items()
            },
        )

    def point(self, answers: Mapping[str, Any]) -> Proposal:
        """The proposal that given answers make.

        :param answers: Name of the question -> answer, as :meth:`~mtl_search.spaces.space.SearchSpace.point` has them,
            and ``training.<setting>``.
        :raises UnknownNameError: If there is no such question.
        :raises FieldError: If an answer is not offered.
        """
        own = {name: value for name, value in answers.items() if str(name).startswith(TRAINING)}
        values = dict(self.usual)
        for question, value in own.items():
            name = question.removeprefix(TRAINING)
            if name not in self.training:
                raise UnknownNameError("question", question, self.questions())
            if not is_offered(self.training[name], value):
                raise FieldError(question, f"must be {_described(self.training[name])}", value)
            values[name] = value
        rest = {name: value for name, value in answers.items() if name not in own}
        return self._with(self.space.point(rest), values)

    def sample(self, seed: int) -> Proposal:
        """A proposal drawn by lot: each question is answered uniformly. The same seed draws the same."""
        lot = random.Random(seed)
        return self.resolve(lambda _, offer: offer.at(lot.random()) if isinstance(offer, Range) else lot.choice(offer))

    def contains(self, proposal: Proposal) -> bool:
        """Whether this search may try ``proposal``."""
        return (
            list(proposal.training) == list(self.training)
            and all(is_offered(self.training[name], value) for name, value in proposal.values)
            and self.space.contains(proposal.architecture)
        )

    def proposals(self) -> Iterator[Proposal]:
        """Every proposal of a space that is finite, each once."""
        for architecture in self.space.architectures():
            for values in itertools.product(*self.training.values()):
                yield self._with(architecture, dict(zip(self.training, values, strict=True)))

    def neighbours(self, proposal: Proposal) -> list[Proposal]:
        """Every proposal that differs by one step of one choice, or of one training value."""
        near = [replace(proposal, architecture=other) for other in self.space.neighbours(proposal.architecture)]
        for name, value in proposal.values:
            values = [{**proposal.training, name: other} for other in neighbours(self.training[name], value)]
            near += [self._with(proposal.architecture, one) for one in values]
        return near

    def _with(self, architecture: Architecture, values: Mapping[str, Any]) -> Proposal:
        return Proposal(architecture, tuple((name, values[name]) for name in self.training))


def _is_settled(offer: Any) -> bool:
    """Whether there is nothing to ask."""
    return not isinstance(offer, Range) and len(offer) == 1


def _usual(offer: Any, value: Any) -> Any:
    if is_offered(offer, value):
        return value
    return offer.at(0.5) if isinstance(offer, Range) else offer[0]


def _described(offer: Any) -> str:
    return f"from {offer_text(offer)}" if isinstance(offer, Range) else f"one of {offer_text(offer)}"

"""A search space: what is left to choose. An architecture is a search space with nothing left to choose.

Everything here rests on :meth:`SearchSpace.resolve`, which asks one question after the other, only those that apply,
and returns the architecture that the answers make. Samplers answer by suggesting, :meth:`SearchSpace.sample` by lot.
"""

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from mtl_search.errors import FieldError, UnknownNameError
from mtl_search.spaces.architecture import Architecture, LayerChoice, Routing, Specific
from mtl_search.spaces.backbone import Backbone
from mtl_search.spaces.layer_space import Choose, LayerSpace, adjacent, ask, check_options

Granularity = Literal["layer", "stage", "network"]


@dataclass(frozen=True)
class SearchSpace:
    """All architectures that a search may try.

    :param backbone: The backbone that all of them share.
    :param layers: The options of each layer of the backbone. Layers that choose together hold equal options.
    :param width_multiplier: Width multipliers to choose from.
    :param granularity: Which layers choose together: none (``layer``), those of a stage, or all (``network``).
    :param specific: How task-specific channels are made, as in :class:`~mtl_search.spaces.architecture.Architecture`;
        the same for all.
    :param routing: What a task's channels read, as in the class, too; the same for all.
    """

    backbone: Backbone
    layers: tuple[LayerSpace, ...]
    width_multiplier: tuple[float, ...] = (1.0,)
    granularity: Granularity = "layer"
    specific: Specific = "nlp"
    routing: Routing = "strict"

    def __post_init__(self) -> None:
        if len(self.layers) != self.backbone.layers:
            raise FieldError("layers", f"must hold {self.backbone.layers} spaces, one per layer", len(self.layers))
        check_options("width_multiplier", self.width_multiplier)
        for group in self.groups():
            if any(self.layers[layer] != self.layers[group[0]] for layer in group):
                raise FieldError("granularity", "joins layers whose options differ", self.granularity)

    def groups(self) -> list[range]:
        """The layers that choose together, as ranges of layer numbers from 0."""
        if self.granularity == "layer":
            return [range(layer, layer + 1) for layer in range(self.backbone.layers)]
        if self.granularity == "network":
            return [range(self.backbone.layers)]
        starts = [0]
        for stage in self.backbone.stages:
            starts.append(starts[-1] + stage.depth)
        return [range(*pair) for pair in itertools.pairwise(starts)]

    def questions(self) -> dict[str, tuple[Any, ...]]:
        """Every question and its options, those included that have one option; see :meth:`resolve`."""
        questions: dict[str, tuple[Any, ...]] = {"width_multiplier": self.width_multiplier}
        for index, group in enumerate(self.groups()):
            for field in ("bank", "shared_ratio", "branch_depth"):
                questions[f"{self._key(index)}.{field}"] = getattr(self.layers[group[0]], field)
        return questions

    def answers(self, architecture: Architecture) -> dict[str, Any]:
        """The answers that lead to an architecture of the space; the inverse of :meth:`resolve`."""
        layers = {self._key(index): group[0] for index, group in enumerate(self.groups())}
        answers: dict[str, Any] = {}

        def answer(name: str, options: Sequence[Any]) -> Any:
            key, _, field = name.partition(".")
            answers[name] = getattr(architecture.layers[layers[key]] if field else architecture, field or key)
            return answers[name]

        self.resolve(answer)
        return answers

    def resolve(self, choose: Choose) -> Architecture:
        """Ask every question that applies, and return the architecture that the answers make.

        Names of the questions: ``width_multiplier``, ``layer0.bank``, ``layer0.shared_ratio``, ``layer0.branch_depth``,
        ...; with granularity ``stage``, ``stage0.bank``, ...; with ``network``, ``network.bank``, ...
        """
        width = ask("width_multiplier", self.width_multiplier, choose)
        chosen: list[LayerChoice] = []
        for index, group in enumerate(self.groups()):
            chosen += [self.layers[group[0]].resolve(self._key(index), choose)] * len(group)
        return self._architecture(tuple(chosen), width)

    def point(self, answers: Mapping[str, Any]) -> Architecture:
        """The architecture that given answers make.

        :param answers: Question -> option: ``bank``, ``shared_ratio``, ``branch_depth`` for all layers that do not have
            their own (``layer0.bank``), and ``width_multiplier``. What is not answered has its first option.
        :raises UnknownNameError: If there is no such question.
        :raises FieldError: If an answer is no option.
        """
        options = self.questions()
        for name in answers:
            if name not in options and name not in ("bank", "shared_ratio", "branch_depth"):
                raise UnknownNameError("question", name, ["bank", "shared_ratio", "branch_depth", *options])

        def answer(name: str) -> Any:
            given = name if name in answers else name.rpartition(".")[2]
            if given in answers and answers[given] not in options[name]:
                raise FieldError(given, f"must be one of {list(options[name])} for {name}", answers[given])
            return answers.get(given, options[name][0])

        chosen: list[LayerChoice] = []
        for index, group in enumerate(self.groups()):
            bank, ratio = answer(f"{self._key(index)}.bank"), answer(f"{self._key(index)}.shared_ratio")
            depth = answer(f"{self._key(index)}.branch_depth") if ratio < 1 else 0
            chosen += [LayerChoice(bank, ratio, depth)] * len(group)
        return self._architecture(tuple(chosen), answer("width_multiplier"))

    def sample(self, seed: int) -> Architecture:
        """An architecture drawn by lot: each question is answered uniformly. The same seed draws the same."""
        lot = random.Random(seed)
        return self.resolve(lambda name, options: lot.choice(options))

    def contains(self, architecture: Architecture) -> bool:
        """Whether this search may try ``architecture``."""
        return (
            architecture.backbone == self.backbone
            and architecture.width_multiplier in self.width_multiplier
            and (architecture.specific, architecture.routing) == (self.specific, self.routing)
            and all(space.contains(choice) for space, choice in zip(self.layers, architecture.layers, strict=True))
            and all(len({architecture.layers[layer] for layer in group}) == 1 for group in self.groups())
        )

    @property
    def size(self) -> int:
        """Number of different architectures."""
        per_group = [self.layers[group[0]].size for group in self.groups()]
        return len(self.width_multiplier) * math.prod(per_group)

    def architectures(self) -> Iterator[Architecture]:
        """Every architecture of the space, each once; the space may be very large."""
        groups = self.groups()

        def extend(chosen: tuple[LayerChoice, ...], width: float) -> Iterator[Architecture]:
            if len(chosen) == self.backbone.layers:
                yield self._architecture(chosen, width)
                return
            group = next(group for group in groups if group[0] == len(chosen))
            for choice in self.layers[group[0]].choices():
                yield from extend(chosen + (choice,) * len(group), width)

        for width in self.width_multiplier:
            yield from extend((), width)

    def neighbours(self, architecture: Architecture) -> list[Architecture]:
        """Every architecture of the space that differs from ``architecture`` by one step of one choice.

        Ratios, depths and widths step to the next option up or down, banks to any other. The relation is symmetric.
        """
        found = [
            replace(architecture, width_multiplier=width)
            for width in adjacent(self.width_multiplier, architecture.width_multiplier)
        ]
        for group in self.groups():
            choices = self.layers[group[0]].neighbours(architecture.layers[group[0]])
            found += [_with_choice(architecture, group, choice) for choice in choices]
        return found

    def uniform(self) -> Iterator[Architecture]:
        """Every architecture of the space whose layers are all alike."""
        for width in self.width_multiplier:
            for choice in self.layers[0].choices():
                alike = self._architecture((choice,) * self.backbone.layers, width)
                if self.contains(alike):
                    yield alike

    def descend(
        self, start: Architecture, value: Callable[[Architecture], float], tries: int
    ) -> tuple[Architecture, bool]:
        """The architecture of least value that is found from ``start`` on by changing the width, then the layers that
        choose together, one group after the other; and whether that went on until nothing got less.

        :param tries: Architectures to try at most.
        """
        best = start
        while tries:
            before = best
            for change in itertools.islice(self._changes(), tries):
                best = min(best, change(best), key=value)
                tries -= 1
            if best == before:
                return best, tries > 0
        return best, False

    def _changes(self) -> Iterator[Callable[[Architecture], Architecture]]:
        """Every option of the width, then every choice of every group: what it makes of an architecture."""
        for width in self.width_multiplier:
            yield functools.partial(replace, width_multiplier=width)
        for group in self.groups():
            for choice in self.layers[group[0]].choices():
                yield functools.partial(_with_choice, group=group, choice=choice)

    def _key(self, group: int) -> str:
        """What the names of the questions of a group begin with."""
        return "network" if self.granularity == "network" else f"{self.granularity}{group}"

    def _architecture(self, layers: tuple[LayerChoice, ...], width: float) -> Architecture:
        return Architecture(self.backbone, layers, width, self.specific, self.routing)


def _with_choice(architecture: Architecture, group: range, choice: LayerChoice) -> Architecture:
    """The architecture with another choice in some layers."""
    layers = list(architecture.layers)
    layers[group.start : group.stop] = [choice] * len(group)
    return replace(architecture, layers=tuple(layers))

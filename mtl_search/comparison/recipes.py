"""Baselines: recipes that name a method and its options, read from YAML and checked.

A recipe may have variants, each of which changes some of it. A baseline is named by its recipe, and by the variant
behind an ``@`` where there are several: ``hard_sharing``, ``interrogate@0.3``.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, field_validator

from mtl_search.balancing import make_balancing
from mtl_search.errors import ExperimentError, FieldError, UnknownNameError, UserError
from mtl_search.evaluation import Entrant
from mtl_search.internal.characters import FORMULA
from mtl_search.internal.messages import explain
from mtl_search.internal.options import build
from mtl_search.internal.registry import METHODS
from mtl_search.methods import Method, make_method
from mtl_search.spaces.architecture import LEAST_MULTIPLIER, MOST_MULTIPLIER
from mtl_search.spaces.backbone import Backbone
from mtl_search.spaces.layer_space import MOST_OPTIONS
from mtl_search.spaces.ranges import Offer, Range
from mtl_search.spaces.section import LONGEST_TEXT, Section, by_name
from mtl_search.spaces.settings import BalancingSettings
from mtl_search.spaces.yaml_files import find_yaml, read_yaml, yaml_files

ALL = "all"
NAME = r"[A-Za-z0-9_+-][A-Za-z0-9_.+-]*"
NAME_RULE = "letters, digits and `_.+-`"
OTHERS = ("trial-", "control-")
"""What the keys of entrants begin with that are no baselines."""
MOST_VARIANTS = 100
"""Of a recipe, each of which is trained several times; a mistyped range of widths makes no more of them."""
Balanced = Annotated[BalancingSettings, BeforeValidator(by_name)]
Width = Annotated[float, Field(ge=LEAST_MULTIPLIER, le=MOST_MULTIPLIER)]


class Variant(Section):
    """What a variant changes.

    :param options: Options of the method, besides those of the recipe.
    """

    options: dict[str, Any] = Field(default_factory=dict)
    balancing: Balanced | None = None
    width_multiplier: Width | None = None


class Recipe(Section):
    """A baseline, as its YAML file says it.

    :param description: A line about it, which ``mtl-search list baselines`` shows.
    :param method: Name of a method.
    :param options: Option of the method -> value; an option that is left out has its default.
    :param balancing: How the tasks' losses become one step; as the experiment has it if left out.
    :param width_multiplier: Factor on every width of the backbone.
    :param curve: Whether the variants are points of one curve.
    :param tunable: Option of the method -> what may be tried for it where methods are tuned: the ends of a range, or a
        list of values. Variants share what is found, and cannot change it.
    :param variants: Name -> what it changes.
    """

    description: str = Field("", max_length=LONGEST_TEXT)
    method: str
    options: dict[str, Any] = Field(default_factory=dict)
    balancing: Balanced | None = None
    width_multiplier: Width = 1.0
    curve: bool = False
    tunable: dict[str, Any] = Field(default_factory=dict)
    variants: dict[str, Variant] = Field(default_factory=dict, max_length=MOST_VARIANTS)

    @field_validator("method")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        METHODS.check(name)
        return name

    @field_validator("variants", mode="before")
    @classmethod
    def _names_are_texts(cls, variants: Any) -> Any:
        """``0.5:`` is a number in YAML, but a name here."""
        return {str(name): value or {} for name, value in variants.items()} if isinstance(variants, dict) else variants

    @field_validator("variants")
    @classmethod
    def _names_are_words(cls, variants: dict[str, Variant]) -> dict[str, Variant]:
        for name in variants:
            if not re.fullmatch(NAME, name):
                raise ValueError(f"must have names that are {NAME_RULE}")
        return variants


@dataclass(frozen=True)
class Baseline:
    """One baseline to compare with.

    :param key: Name of the baseline: that of its recipe, with ``@`` and the variant where there are several.
    :param recipe: Name of its recipe.
    :param variant: Name of the variant; empty where there are none.
    :param description: A line about it.
    :param curve: Whether it is a point of the curve that its recipe's variants make.
    :param named: What its recipe names the method, by which it is found again.
    :param options: All options that were given.
    :param tunable: Option of the method -> what may be tried for it.
    """

    key: str
    recipe: str
    variant: str
    description: str
    curve: bool
    named: str
    method: Method
    options: Mapping[str, Any]
    balancing: BalancingSettings | None
    width_multiplier: float
    tunable: Mapping[str, Offer] = field(default_factory=dict)

    def entrant(self, backbone: Backbone) -> Entrant:
        """The baseline on a backbone, ready to be trained."""
        return Entrant(self.method, backbone, self.width_multiplier, balancing=self.balancing)


def load_baselines(names: Sequence[str]) -> list[Baseline]:
    """The baselines of these names, each once, in the order of the names.

    :param names: Recipes that come with the package, paths of YAML files, either with ``@`` and one variant; ``all``.
    :raises UserError: If there is no such recipe or variant, or a recipe breaks a rule; the message names the file.
    """
    wanted = [name for given in names for name in (sorted(yaml_files("baselines")) if given == ALL else [given])]
    found: dict[str, Baseline] = {}
    paths: dict[str, Path] = {}
    for name in wanted:
        recipe, at, variant = name.partition("@")
        path = find_yaml("baselines", "baseline", recipe)
        _check_name(path, paths.setdefault(path.stem, path))
        baselines = _read(path)
        if at and variant not in (known := [baseline.variant for baseline in baselines]):
            names = [name for name in known if name]
            if not names:
                raise UserError(f"the baseline `{recipe}` has no variants, but got `{name}`.")
            raise UnknownNameError(f"variant of baseline `{recipe}`:", variant, names)
        found |= {one.key: one for one in baselines if not at or one.variant == variant}
    return list(found.values())


def _check_name(path: Path, first: Path) -> None:
    """A baseline is named by its file: no two may have one name, nor that of a trial.

    :param first: Where a recipe of that name was found before, or the same path.
    :raises ExperimentError: If it is.
    """
    shipped = yaml_files("baselines").get(path.stem, path)
    for other in (first, shipped):
        if other.resolve() != path.resolve():
            raise ExperimentError(f"{path}: there is another recipe `{path.stem}`: give the file a name of its own.")
    if not re.fullmatch(NAME, path.stem) or path.stem.startswith((*OTHERS, *FORMULA)):
        raise ExperimentError(
            f"{path}: the name of a recipe must be {NAME_RULE}, and not begin with `trial-`, `control-`, `+` or `-`."
        )


def _read(path: Path) -> list[Baseline]:
    """All variants of a recipe."""
    try:
        recipe = Recipe.model_validate(read_yaml(path))
    except ValidationError as error:
        rule = explain(error, Recipe, "a recipe")
        raise ExperimentError(f"{path}: {rule}") from error
    try:
        return [_baseline(path.stem, recipe, *one) for one in (recipe.variants or {"": Variant()}).items()]
    except UserError as error:
        raise ExperimentError(f"{path}: {error}") from error


def _baseline(name: str, recipe: Recipe, variant: str, change: Variant) -> Baseline:
    options = {**recipe.options, **change.options}
    balancing = change.balancing or recipe.balancing
    if balancing is not None:
        make_balancing(balancing.name, balancing.options)
    return Baseline(
        key=f"{name}@{variant}" if variant else name,
        recipe=name,
        variant=variant,
        description=recipe.description,
        curve=recipe.curve,
        named=recipe.method,
        method=make_method(recipe.method, options),
        options=options,
        balancing=balancing,
        width_multiplier=change.width_multiplier or recipe.width_multiplier,
        tunable={option: _offer(recipe, option, change.options) for option in recipe.tunable},
    )


def _offer(recipe: Recipe, option: str, changed: Mapping[str, Any]) -> Offer:
    """What a recipe lets be tried for an option of its method.

    :param changed: Options that the variant changes.
    :raises UserError: If it is no range and no list of values, or one of them is none of the method's.
    """
    given, key = recipe.tunable[option], f"tunable.{option}"
    offer: Offer = tuple(given) if isinstance(given, list) else ()
    if isinstance(given, dict):
        offer = build(Range, given, key, "range")
    if option in changed:
        raise FieldError(key, "must be an option that variants do not change", changed[option])
    if isinstance(offer, Range):
        # 0.4: no end, and not the middle, which may be as special
        tried: Sequence[Any] = (offer.low, offer.at(0.4), offer.high)
    elif not 2 <= len(offer) <= MOST_OPTIONS or any(value in offer[:number] for number, value in enumerate(offer)):
        raise FieldError(key, f"must be a range, or 2 to {MOST_OPTIONS} values, none of them twice", given)
    else:
        tried = offer
    for value in tried:
        build(METHODS.get(recipe.method), {**recipe.options, **changed, option: value}, "tunable", recipe.method)
    return offer

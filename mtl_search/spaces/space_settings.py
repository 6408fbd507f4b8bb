"""The sections ``backbone`` and ``space`` of an experiment, with their limits."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from mtl_search.errors import UnknownNameError, UserError
from mtl_search.spaces.architecture import LEAST_MULTIPLIER, MOST_DEPTH, MOST_MULTIPLIER, Routing, Specific
from mtl_search.spaces.backbone import (
    DECODER,
    MOST_CHANNELS,
    MOST_LAYERS,
    MOST_POOL,
    MOST_STRIDE,
    Backbone,
    Kind,
    Stage,
)
from mtl_search.spaces.banks import check_bank, default_bank
from mtl_search.spaces.layer_space import MOST_OPTIONS, LayerSpace
from mtl_search.spaces.ranges import Offer, Range
from mtl_search.spaces.section import Section
from mtl_search.spaces.settings import check_setting
from mtl_search.spaces.space import Granularity, SearchSpace


def _as_list(value: Any) -> Any:
    """One option may be written without a list."""
    return value if isinstance(value, list | tuple) else [value]


FEW = Field(max_length=MOST_OPTIONS)
Ratio = Annotated[float, Field(ge=0, le=1)]
Banks = Annotated[tuple[str, ...], FEW, BeforeValidator(_as_list)]
Ratios = Annotated[tuple[Ratio, ...], FEW, BeforeValidator(_as_list)]
Depths = Annotated[tuple[Annotated[int, Field(ge=0, le=MOST_DEPTH)], ...], FEW, BeforeValidator(_as_list)]
Widths = Annotated[
    tuple[Annotated[float, Field(ge=LEAST_MULTIPLIER, le=MOST_MULTIPLIER)], ...], FEW, BeforeValidator(_as_list)
]

OPEN_SETTINGS = ("learning_rate", "weight_decay", "label_smoothing", "batch_size", "schedule", "balancing", "sampling")
"""Settings of ``training`` that may be left open: not ``epochs``, for all trials of a search have the same budget."""
NUMBERS = ("learning_rate", "weight_decay", "label_smoothing")
"""Those that may be any number of a range."""


class StageSettings(Section):
    """One stage: as :class:`~mtl_search.spaces.backbone.Stage`."""

    width: int = Field(ge=1, le=MOST_CHANNELS)
    depth: int = Field(1, ge=1, le=MOST_LAYERS)
    stride: int = Field(1, ge=1, le=MOST_STRIDE)
    dilation: int = Field(1, ge=1, le=MOST_STRIDE)


class BackboneSettings(Section):
    """As :class:`~mtl_search.spaces.backbone.Backbone`."""

    kind: Kind = "plain"
    stem: int = Field(0, ge=0, le=MOST_CHANNELS)
    stem_stride: int = Field(1, ge=1, le=MOST_STRIDE)
    stages: tuple[StageSettings, ...] = Field(min_length=1, max_length=MOST_LAYERS)
    head_pool: int = Field(1, ge=1, le=MOST_POOL)
    decoder: int = Field(DECODER, ge=1, le=MOST_CHANNELS)
    embedding: int = Field(0, ge=0, le=MOST_CHANNELS)

    def build(self) -> Backbone:
        """The backbone that these settings describe."""
        stages = tuple(Stage(stage.width, stage.depth, stage.stride, stage.dilation) for stage in self.stages)
        return Backbone(stages, self.kind, self.stem, self.stem_stride, self.head_pool, self.decoder, self.embedding)


class Options(Section):
    """The options of a layer; what is left out is taken from the experiment's ``space``."""

    bank: Banks | None = None
    shared_ratio: Ratios | None = None
    branch_depth: Depths | None = None

    @field_validator("bank")
    @classmethod
    def _banks_exist(cls, banks: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for bank in banks or ():
            check_bank(bank)
        return banks

    @field_validator("bank", "shared_ratio", "branch_depth")
    @classmethod
    def _offers_options(cls, options: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        if options is not None and (not options or len(set(options)) != len(options)):
            raise ValueError("must offer at least one option, none of them twice")
        return options


class SpaceSettings(Options):
    """What is left to choose.

    :param bank: Banks of primitives to choose from; by default ``paper``, for a ``vector`` backbone
        ``vector``, for a ``sequence`` one ``sequence``.
    :param layers: Options of single layers, by their number from 0, instead of the general ones.
    :param training: Settings of ``training`` that are chosen for each candidate: a list of values, or for a number
        ``{low, high}``, with ``log: true`` on a logarithmic scale. The values under ``training`` itself are then those
        of what the search does not choose for, and of ``search.points`` that do not say.
    """

    width_multiplier: Widths = (1.0,)
    granularity: Granularity = "layer"
    specific: Specific = "nlp"
    routing: Routing = "strict"
    layers: dict[int, Options] = Field(default_factory=dict)
    training: dict[str, Offer] = Field(default_factory=dict)

    @field_validator("training")
    @classmethod
    def _are_values_of_the_settings(cls, training: dict[str, Any]) -> dict[str, Any]:
        for name, offer in training.items():
            if name not in OPEN_SETTINGS:
                raise UnknownNameError("setting that may be left open:", name, OPEN_SETTINGS)
            for value in (offer.low, offer.high) if isinstance(offer, Range) else offer:
                check_setting(name, value)
            if isinstance(offer, Range) and name not in NUMBERS:
                raise UserError(f"`{name}` must be a list of values, but got a range")
        return training

    def build(self, backbone: Backbone) -> SearchSpace:
        """The space over ``backbone`` that these settings describe."""
        usual = default_bank(backbone.kind)
        layers = [self._layer(self.layers.get(number, Options()), usual) for number in range(backbone.layers)]
        return SearchSpace(
            backbone, tuple(layers), self.width_multiplier, self.granularity, self.specific, self.routing
        )

    def _layer(self, own: Options, bank: str) -> LayerSpace:
        given: dict[str, Any] = {"bank": (bank,)} | {
            name: value
            for name in ("bank", "shared_ratio", "branch_depth")
            if (value := getattr(own, name) or getattr(self, name)) is not None
        }
        return LayerSpace(**given)

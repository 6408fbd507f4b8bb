"""The sections of an experiment: what may stand under each key, with which limits."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from mtl_search.errors import UnknownNameError, UserError
from mtl_search.internal.messages import explain
from mtl_search.internal.options import is_switch_for_number
from mtl_search.internal.registry import BALANCINGS, DATASETS
from mtl_search.spaces.architecture import (
    DECODER,
    MOST_CHANNELS,
    MOST_DEPTH,
    MOST_LAYERS,
    MOST_POOL,
    MOST_STRIDE,
    Backbone,
    Kind,
    Routing,
    Specific,
    Stage,
)
from mtl_search.spaces.banks import check_bank, default_bank
from mtl_search.spaces.ranges import Offer, Range
from mtl_search.spaces.space import MOST_OPTIONS, Granularity, LayerSpace, SearchSpace


def _as_list(value: Any) -> Any:
    """One option may be written without a list."""
    return value if isinstance(value, list | tuple) else [value]


FEW = Field(max_length=MOST_OPTIONS)
Ratio = Annotated[float, Field(ge=0, le=1)]
Banks = Annotated[tuple[str, ...], FEW, BeforeValidator(_as_list)]
Ratios = Annotated[tuple[Ratio, ...], FEW, BeforeValidator(_as_list)]
Depths = Annotated[tuple[Annotated[int, Field(ge=0, le=MOST_DEPTH)], ...], FEW, BeforeValidator(_as_list)]
Widths = Annotated[tuple[Annotated[float, Field(ge=1e-3, le=1e3)], ...], FEW, BeforeValidator(_as_list)]

MOST = 1_000_000
"""Of what is counted one by one: epochs, trials, samples of a batch. No search has come near in any of them."""
LONGEST_EPOCH = 1_000
"""In passes over the training split, and the part of one that is the shortest. What is trained at equal compute differs
by factors of ten."""
MOST_RATE = 1e6
"""Of a learning rate and a weight decay: float32 holds their products with weights."""
MOST_HOURS = 1e6
"""A century."""
MOST_MACHINES = 10_000
"""Workers, processors and GPUs. The largest clusters of Ray have some thousands of machines."""
MOST_POINTS = 1_000
"""Architectures that are tried first."""
MOST_OBJECTIVES = 8
"""The cost of a hypervolume grows exponentially with them. Five are the most in use."""
LONGEST_NAME, LONGEST_TEXT = 100, 10_000
"""Characters of a name, which is part of the name of a folder, and of a description."""


class Section(BaseModel):
    """A part of an experiment: unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @field_validator("*", mode="wrap")
    @classmethod
    def _a_switch_is_no_number(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        found = check(value)
        if is_switch_for_number(value, found):
            raise ValueError("must be a number")
        return found


class StageSettings(Section):
    """One stage: as :class:`~mtl_search.spaces.architecture.Stage`."""

    width: int = Field(ge=1, le=MOST_CHANNELS)
    depth: int = Field(1, ge=1, le=MOST_LAYERS)
    stride: int = Field(1, ge=1, le=MOST_STRIDE)
    dilation: int = Field(1, ge=1, le=MOST_STRIDE)


class BackboneSettings(Section):
    """As :class:`~mtl_search.spaces.architecture.Backbone`."""

    kind: Kind = "plain"
    stem: int = Field(0, ge=0, le=MOST_CHANNELS)
    stem_stride: int = Field(1, ge=1, le=MOST_STRIDE)
    stages: tuple[StageSettings, ...] = Field(min_length=1, max_length=MOST_LAYERS)
    head_pool: int = Field(1, ge=1, le=MOST_POOL)
    decoder: int = Field(DECODER, ge=1, le=MOST_CHANNELS)

    def build(self) -> Backbone:
        """The backbone that these settings describe."""
        stages = tuple(Stage(stage.width, stage.depth, stage.stride, stage.dilation) for stage in self.stages)
        return Backbone(stages, self.kind, self.stem, self.stem_stride, self.head_pool, self.decoder)


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


OPEN_SETTINGS = ("learning_rate", "weight_decay", "label_smoothing", "batch_size", "schedule", "balancing", "sampling")
"""Settings of ``training`` that may be left open: not ``epochs``, for all trials of a search have the same budget."""
NUMBERS = ("learning_rate", "weight_decay", "label_smoothing")
"""Those that may be any number of a range."""


def check_setting(name: str, value: Any) -> None:
    """
    :raises UserError: If ``training`` could not have this value; the message has the rule that it breaks.
    """
    try:
        Training.model_validate({name: value})
    except ValidationError as error:
        raise UserError(explain(error, Training).rstrip(".")) from error


class SpaceSettings(Options):
    """What is left to choose.

    :param bank: By default ``paper``; for a ``vector`` backbone ``vector``.
    :param layers: Options of single layers, by their number from 0, instead of the general ones.
    :param training: Settings of ``training`` that are chosen for each candidate: a list of values, or for a number
        ``{low, high}``, with ``log: true`` on a logarithmic scale. The values under ``training`` itself are then those
        of what the search does not choose for, and of ``search.points`` that do not say.
    """

    width_multiplier: Widths = (1.0,)
    granularity: Granularity = "layer"
    specific: Specific = "nlp"
    routing: Routing = "strict"
    layers: dict[int, Options] = {}
    training: dict[str, Offer] = {}

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


class DatasetSettings(BaseModel):
    """A dataset by name; the other keys are options of that dataset."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @field_validator("name")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        DATASETS.check(name)
        return name

    @property
    def options(self) -> dict[str, Any]:
        """The keys besides ``name``."""
        return dict(self.model_extra or {})


class BalancingSettings(BaseModel):
    """How the tasks are balanced, by name; the other keys are options of that balancing."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str = "equal"

    @field_validator("name")
    @classmethod
    def _is_registered(cls, name: str) -> str:
        BALANCINGS.check(name)
        return name

    @property
    def options(self) -> dict[str, Any]:
        """The keys besides ``name``."""
        return dict(self.model_extra or {})


def by_name(value: Any) -> Any:
    """A mapping with a name may be written as the name alone."""
    return {"name": value} if isinstance(value, str) else value


def _defaults_for_true(value: Any) -> Any:
    """``true`` stands for a section with its defaults, ``false`` for none."""
    return {} if value is True else None if value is False else value


class AugmentationSettings(Section):
    """How training samples are moved at random, each anew in every epoch. Others never are.

    Maps of dense tasks move alike; what comes in has no target there.

    :param shift: Most pixels that a picture is moved by, up or down and left or right; what comes in is 0. A random
        crop after padding by so many is the same.
    :param flip: Whether left and right are exchanged half of the time: for tasks of which that changes no target.
    """

    shift: int = Field(0, ge=0, le=MOST)
    flip: bool = False

    @model_validator(mode="after")
    def _moves_something(self) -> "AugmentationSettings":
        if not (self.shift or self.flip):
            raise ValueError("must have a `shift` above 0 or `flip: true`, or be left out")
        return self


class Training(Section):
    """How one network is trained.

    :param epochs: Passes over the training split, where ``epoch_length`` is 1.
    :param epoch_length: Steps of an epoch, in those of a pass over the training split: with 0.5 each epoch sees half of
        the samples, others each time. Schedules, and the phases of methods that have several, are as long accordingly.
    :param batch_size: Samples per step; a last incomplete batch is left out.
    :param learning_rate: Highest learning rate of AdamW.
    :param weight_decay: Of AdamW, on weights; biases and norms are not decayed.
    :param schedule: ``one_cycle`` (Smith & Topin, 2018), ``cosine``, ``step`` (halved after half of them), ``poly``
        (falls to 0 as the 0.9th power of what is left; Chen et al., TPAMI 2018) or ``constant``; stepped every batch.
    :param label_smoothing: Of the cross entropy, 0 to below 1.
    :param balancing: How the losses or gradients of the tasks are combined: a name, or a mapping of ``name`` and its
        options, see ``mtl-search list balancings``.
    :param augmentation: How training samples are moved at random; not at all if left out.
    :param sampling: How often the parts of a dataset that is a ``union`` are drawn: ``by_size``, every sample once in
        an epoch; ``evenly``, as many samples of each part, of a small one some several times.
    :param device: ``auto`` takes CUDA where there is one.
    :param compile: Whether to train with ``torch.compile``, on CUDA with CUDA graphs. Each network is compiled anew,
        for a minute or more; on a processor its steps are no faster then.
    """

    epochs: int = Field(5, ge=1, le=MOST)
    epoch_length: float = Field(1.0, ge=1 / LONGEST_EPOCH, le=LONGEST_EPOCH)
    batch_size: int = Field(128, ge=2, le=MOST)
    learning_rate: float = Field(3e-3, gt=0, le=MOST_RATE)
    weight_decay: float = Field(1e-2, ge=0, le=MOST_RATE)
    schedule: Literal["one_cycle", "cosine", "step", "poly", "constant"] = "one_cycle"
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    balancing: Annotated[BalancingSettings, BeforeValidator(by_name)] = BalancingSettings()
    augmentation: AugmentationSettings | None = None
    sampling: Literal["by_size", "evenly"] = "by_size"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    compile: bool = False

    def changed(self, values: Mapping[str, Any]) -> "Training":
        """These settings with other values of some, checked."""
        return Training.model_validate({**self.model_dump(mode="json"), **values}) if values else self


class EarlyStopping(Section):
    """As :class:`~mtl_search.searching.early_stopping.SuccessiveHalving`.

    :param grace: Epochs that every trial gets.
    :param factor: One in so many trials goes on, and is compared again after so many times as many epochs.
    """

    grace: int = Field(3, ge=1, le=MOST)
    factor: float = Field(3, gt=1, le=MOST)


class Confirm(Section):
    """How what a search found is confirmed: its promising trials are trained again, with other seeds.

    Off unless it is asked for: at equal compute the trials that it takes from the search are worth more to what is
    found (``benchmarks/confirm.py``). It is for a number that can be told: without, the pick looks better than it is.

    :param top: How many trials: those that most likely are the best or the knee.
    :param seeds: How often each.
    """

    top: int = Field(3, ge=1, le=MOST)
    seeds: int = Field(1, ge=1, le=MOST)

    @property
    def trainings(self) -> int:
        """How many trainings that is."""
        return self.top * self.seeds


class Target(Section):
    """What is good enough: the search ends with the first complete trial that reaches it.

    :param metric: ``accuracy``, ``worst_task`` or ``<task>/<metric>``.
    :param value: Reached from below, for an error from above.
    """

    metric: str = "accuracy"
    value: float


class Search(Section):
    """How the space is searched. It ends with ``trials``, ``hours`` or ``target``, whichever comes first.

    :param trials: Candidates to train, to their end or until they are stopped early.
    :param hours: Time for the search, over all calls that go on with it. Trials under way are kept at their last epoch.
    :param target: A quality that is good enough.
    :param early_stopping: Whether to stop trials that others are ahead of: ``true``, or its settings.
    :param confirm: Whether the last of the trials go to confirming the promising ones: ``true``, or its settings. Of
        ``hours`` the same share is kept for it.
    :param learning_curves: Whether to score every epoch, into ``epochs.csv``, and not only those that decide something.
    :param points: Architectures that are tried first, each a mapping of questions to answers: of the keys of ``space``
        (``shared_ratio: 1.0``) or of one layer's (``layer0.shared_ratio: 1.0``). What is left out is its first option.
    :param retries: How often a trial goes on from its last checkpoint after the death of its worker.
    :param workers: Trials at the same time; ``auto``: as many as the processors allow; 0: in this process, one by one.
    :param sampler: What proposes candidates.
    :param seed: Seed of the sampler and of every training.
    :param cpus: Processors, and threads, of each trial.
    :param gpus: GPUs of each trial; a fraction puts several trials on one.
    """

    trials: int = Field(24, ge=1, le=MOST)
    hours: float | None = Field(None, gt=0, le=MOST_HOURS)
    target: Target | None = None
    workers: int | Literal["auto"] = "auto"
    sampler: Literal["bayesian", "tpe", "nsga2", "nsga3", "random", "qmc", "evolution"] = "bayesian"
    early_stopping: Annotated[EarlyStopping | None, BeforeValidator(_defaults_for_true)] = None
    confirm: Annotated[Confirm | None, BeforeValidator(_defaults_for_true)] = None
    learning_curves: bool = False
    points: tuple[dict[str, Any], ...] = Field((), max_length=MOST_POINTS)
    retries: int = Field(2, ge=0, le=MOST)
    seed: int = Field(0, ge=0, lt=2**31)
    cpus: int = Field(1, ge=1, le=MOST_MACHINES)
    gpus: float = Field(0, ge=0, le=MOST_MACHINES)

    @field_validator("workers", mode="before")
    @classmethod
    def _not_negative(cls, workers: Any) -> Any:
        if workers != "auto" and (not isinstance(workers, int) or not 0 <= workers <= MOST_MACHINES):
            raise ValueError(f"must be `auto` or a whole number from 0 to {MOST_MACHINES:,}")
        return workers

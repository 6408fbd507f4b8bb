"""An experiment: the YAML file that says what to search, on what data, with what budget.

Everything a user writes is checked here, once. A broken rule becomes one
:class:`~mtl_search.errors.ExperimentError` that names the file, the dotted key, the rule, what was found, and for an
unknown name the nearest valid one.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from mtl_search.architecture import (
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
from mtl_search.banks import check_bank, check_use, default_bank
from mtl_search.characters import cut, printable
from mtl_search.errors import ExperimentError, FieldError, UnknownNameError, UserError, no_such_file, suggestion
from mtl_search.messages import explain, short
from mtl_search.options import check_numbers, is_switch_for_number
from mtl_search.pareto import COSTS
from mtl_search.reading import DEPTH, read_text
from mtl_search.registry import BALANCINGS, DATASETS
from mtl_search.space import MOST_OPTIONS, Granularity, LayerSpace, SearchSpace
from mtl_search.yaml_text import as_yaml, parse_yaml

PACKAGE = Path(__file__).parent


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
    """One stage: as :class:`~mtl_search.architecture.Stage`."""

    width: int = Field(ge=1, le=MOST_CHANNELS)
    depth: int = Field(1, ge=1, le=MOST_LAYERS)
    stride: int = Field(1, ge=1, le=MOST_STRIDE)
    dilation: int = Field(1, ge=1, le=MOST_STRIDE)


class BackboneSettings(Section):
    """As :class:`~mtl_search.architecture.Backbone`."""

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


class SpaceSettings(Options):
    """What is left to choose.

    :param bank: By default ``paper``; for a ``vector`` backbone ``vector``.
    :param layers: Options of single layers, by their number from 0, instead of the general ones.
    """

    width_multiplier: Widths = (1.0,)
    granularity: Granularity = "layer"
    specific: Specific = "nlp"
    routing: Routing = "strict"
    layers: dict[int, Options] = {}

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

    :param epochs: Passes over the training split.
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


class Constraints(Section):
    """Upper limits, checked before anything is trained. ``null`` is no limit.

    :param latency_ms: Of a forward pass for one sample on the machine that runs the search, measured; the others are
        computed.
    """

    learnable_parameters: int | None = Field(None, ge=1)
    total_parameters: int | None = Field(None, ge=1)
    macs: int | None = Field(None, ge=1)
    latency_ms: float | None = Field(None, gt=0)

    def limits(self) -> dict[str, float]:
        """Name of the cost -> its limit, without those that have none."""
        return {name: limit for name, limit in self.model_dump().items() if limit is not None}


class EarlyStopping(Section):
    """As :class:`~mtl_search.scheduling.SuccessiveHalving`.

    :param grace: Epochs that every trial gets.
    :param factor: One in so many trials goes on, and is compared again after so many times as many epochs.
    """

    grace: int = Field(3, ge=1, le=MOST)
    factor: float = Field(3, gt=1, le=MOST)


class Target(Section):
    """What is good enough: the search ends with the first complete trial that reaches it.

    :param metric: ``accuracy`` or ``<task>/<metric>``.
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


class Experiment(Section):
    """Everything a search needs, checked.

    :param objectives: Two or more of ``accuracy`` (the mean quality over tasks), ``<task>/<metric>`` and the costs
        ``learnable_parameters``, ``fixed_parameters``, ``total_parameters``, ``macs``, ``latency_ms``; at least one
        quality and one cost.
    """

    name: str = Field("experiment", min_length=1, max_length=LONGEST_NAME)
    description: str = Field("", max_length=LONGEST_TEXT)
    dataset: DatasetSettings
    backbone: BackboneSettings
    space: SpaceSettings = SpaceSettings()
    training: Training = Training()
    objectives: tuple[str, ...] = Field(("accuracy", "learnable_parameters"), max_length=MOST_OBJECTIVES)
    constraints: Constraints = Constraints()
    search: Search = Search()
    _source: str | None = PrivateAttr(None)

    @field_validator("name")
    @classmethod
    def _can_be_shown(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("must hold no control characters")
        return name

    @field_validator("objectives")
    @classmethod
    def _objectives_are_known(cls, objectives: tuple[str, ...]) -> tuple[str, ...]:
        known = ["accuracy", *COSTS]
        for objective in objectives:
            if objective not in known and "/" not in objective:
                raise UnknownNameError("objective", objective, [*known, "<task>/<metric>"])
        qualities = [objective for objective in objectives if objective not in COSTS]
        if not qualities or len(qualities) == len(objectives) or len(set(objectives)) != len(objectives):
            raise ValueError("must name at least one quality and at least one cost, none of them twice")
        return objectives

    @model_validator(mode="after")
    def _layers_exist(self) -> "Experiment":
        try:
            layers = self.backbone.build().layers
        except FieldError as error:
            raise FieldError(f"backbone.{error.field}", error.rule, error.found) from error
        for number in self.space.layers:
            if not 0 <= number < layers:
                raise FieldError("space.layers", f"must use layer numbers from 0 to {layers - 1}", number)
        try:
            space = self.search_space
        except FieldError as error:
            raise FieldError(f"space.{error.field}", error.rule, error.found) from error
        if space.size == 1:
            raise ValueError("`space` leaves nothing to choose: give at least one key two options or more")
        for number, answers in enumerate(self.search.points):
            try:
                space.point(answers)
            except UnknownNameError as error:
                raise ValueError(f"`search.points.{number}`: {str(error).rstrip('.')}") from error
            except FieldError as error:
                raise FieldError(f"search.points.{number}.{error.field}", error.rule, error.found) from error
        return self

    @model_validator(mode="after")
    def _early_stopping_can_stop(self) -> "Experiment":
        stopping, epochs = self.search.early_stopping, self.training.epochs
        if stopping is not None and stopping.grace >= epochs:
            rule = f"must be below `training.epochs`, {epochs}, or no trial is ever stopped"
            raise FieldError("search.early_stopping.grace", rule, stopping.grace)
        return self

    def __eq__(self, other: object) -> bool:
        """Whether both ask for the same, wherever they were read from."""
        return isinstance(other, Experiment) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.to_yaml())

    @property
    def source(self) -> str | None:
        """Where it was read from, for messages; ``None`` where it was made in Python."""
        return self._source

    @property
    def measures_latency(self) -> bool:
        """Whether an objective or a constraint depends on the measured latency."""
        return self.constraints.latency_ms is not None or "latency_ms" in self.objectives

    @property
    def search_space(self) -> SearchSpace:
        """What is left to choose, over the backbone."""
        return self.space.build(self.backbone.build())

    def changed(self, sections: Mapping[str, Mapping[str, Any]]) -> "Experiment":
        """A copy with other values, section by section, checked. A dataset of another name replaces the section.

        :raises ExperimentError: If one of them breaks a rule.
        """
        data = self.to_dict()
        for section, values in sections.items():
            kept = {} if section == "dataset" else data.get(section, {})
            data[section] = {**kept, **values}
        return parse_experiment(data, self.source or self.name)

    def to_dict(self) -> dict[str, Any]:
        """As plain dictionaries and lists, every default written out."""
        data = self.model_dump(mode="json", exclude_none=True)
        data["space"]["layers"] = {number: options for number, options in data["space"]["layers"].items() if options}
        return data

    def to_yaml(self) -> str:
        """As YAML text, every default written out."""
        return as_yaml(self.to_dict())


def load_experiment(name: str | Path, changes: Sequence[str] = ()) -> Experiment:
    """Read an experiment.

    :param name: Path of a YAML file, or the name of one that comes with the package.
    :param changes: Changes to it, each ``dotted.key=value`` with the value in YAML.

    Files and folders of the dataset (``file``, ``root``) are relative to the YAML file; where they stand in
    ``changes``, or the experiment comes with the package, to the working directory.

    :raises ExperimentError: If there is no such file, something in it breaks a rule, or it names code that may not be
        loaded.
    """
    path = find_yaml("search_spaces", "experiment", name)
    data = read_yaml(path)
    try:
        if path not in experiment_names().values():
            _anchor(data.get("dataset"), path.parent)
        for change in changes:
            _apply(data, change)
        _anchor(data.get("dataset"), Path())
    except FieldError as error:
        raise ExperimentError(f"{printable(str(path))}: {error}") from error
    experiment = parse_experiment({"name": path.stem, **data}, str(path))
    try:
        _check_use(experiment)
    except UserError as error:
        raise ExperimentError(f"{printable(str(path))}: {error}") from error
    return experiment


def _check_use(experiment: Experiment) -> None:
    """Refuse at once what may not be loaded and options that are too large, before what takes seconds to load."""
    check_numbers(experiment.dataset.options, "dataset")
    check_numbers(experiment.training.balancing.options, "training.balancing")
    DATASETS.check_use(experiment.dataset.name)
    BALANCINGS.check_use(experiment.training.balancing.name)
    for layer in experiment.search_space.layers:
        for bank in layer.bank:
            check_use(bank)


def experiment_on(dataset: str) -> Experiment:
    """The experiment that comes with the package for a dataset: that of the same name, else the first one on it.

    :raises UnknownNameError: If there is no such dataset.
    :raises ExperimentError: If no experiment is on it.
    """
    DATASETS.check(dataset)
    names = sorted(yaml_files("search_spaces"), key=lambda name: (name != dataset, name))
    for name in names:
        if (found := load_experiment(name)).dataset.name == dataset:
            return found
    raise ExperimentError(
        f"no experiment that comes with the package is on `{dataset}`: say which backbone to use with "
        "`--like EXPERIMENT`."
    )


def load_space(name: str | Path) -> SearchSpace:
    """The search space of an experiment, by path or by name: ``load_space("quickstart")``.

    :raises ExperimentError: As :func:`load_experiment`.
    """
    return load_experiment(name).search_space


def experiment_of(space: SearchSpace, dataset: str, options: Mapping[str, Any]) -> Experiment:
    """The experiment that searches a bare space: everything besides space and dataset has its default."""
    layers = {
        number: {name: list(getattr(layer, name)) for name in ("bank", "shared_ratio", "branch_depth")}
        for number, layer in enumerate(space.layers)
    }
    data = {
        "name": dataset,
        "dataset": {"name": dataset, **options},
        "backbone": asdict(space.backbone),
        "space": {
            "width_multiplier": list(space.width_multiplier),
            "granularity": space.granularity,
            "specific": space.specific,
            "routing": space.routing,
            "layers": layers,
        },
    }
    return parse_experiment(data, "space")


def parse_experiment(data: Mapping[str, Any], source: str) -> Experiment:
    """Check plain data.

    :param source: What messages begin with: the path of the file.
    :raises ExperimentError: For the first rule that is broken.
    """
    try:
        experiment = Experiment.model_validate(data)
    except ValidationError as error:
        raise ExperimentError(f"{source}: {explain(error, Experiment)}") from error
    experiment._source = source
    return experiment


def experiment_names() -> dict[str, Path]:
    """The experiments that come with the package: name -> file."""
    return yaml_files("search_spaces")


def yaml_files(folder: str) -> dict[str, Path]:
    """The YAML files of a folder that comes with the package: inside it when installed, beside it in a checkout."""
    place = PACKAGE / folder if (PACKAGE / folder).is_dir() else PACKAGE.parent / folder
    return {path.stem: path for path in sorted(place.glob("*.yaml"))}


def find_yaml(folder: str, kind: str, name: str | Path) -> Path:
    """The file at a path, or the one of that name in ``folder``.

    :raises ExperimentError: If there is neither.
    """
    known = yaml_files(folder)
    if str(name) in known:
        return known[str(name)]
    path = Path(name)
    if os.path.exists(path):  # of a name that is too long, Path.exists raises an error
        return path
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        raise ExperimentError(f"{printable(cut(str(name), 300))}: {no_such_file(path)}")
    shown = printable(cut(str(name), 300))
    raise ExperimentError(f"there is no {kind} `{shown}`, and no file of that name.{suggestion(name, known)}")


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    :raises ExperimentError: If it cannot be read, is no YAML, has a key twice, or is not a mapping.
    """
    shown = printable(str(path))
    try:
        text = read_text(path)
    except UserError as error:
        raise ExperimentError(str(error)) from error
    try:
        data = parse_yaml(text)
    except UserError as error:
        raise ExperimentError(f"{shown}: {error}") from error
    if not isinstance(data, dict):
        raise ExperimentError(f"{shown}: must be a mapping with keys, but got {short(data)}.")
    return data


LONGEST_INDEX = 9
"""Digits of the number of an item or a layer in a dotted key."""
PATHS = ("file", "root", "cache")
"""Keys of a dataset, or of a part of one, that name a file or a folder."""

ADDRESS = r"[A-Za-z][A-Za-z0-9+.-]*://"
"""How the address of a file on the web, in a store of a cloud (``s3://``), or of this machine (``file://``) begins."""


def _anchor(dataset: Any, folder: Path, place: str = "dataset") -> None:
    """Write the paths of a dataset in full, so that a run can go on from wherever it is called.

    :param place: Where it stands, for messages.
    :raises FieldError: For an address, from which nothing is fetched.
    """
    if not isinstance(dataset, dict):
        return
    for key, value in dataset.items():
        if key in PATHS and isinstance(value, str) and value:
            if re.match(ADDRESS, value):
                rule = "must be a path on this machine: fetch what lies elsewhere first, and give the path of it here"
                raise FieldError(f"{place}.{key}", rule, value)
            dataset[key] = os.path.normpath(Path.cwd() / folder / Path(value).expanduser())
        else:
            _anchor(value, folder, f"{place}.{key}")


def _apply(data: dict[str, Any], change: str) -> None:
    """Set one value: ``dotted.key=value``."""
    key, equals, text = change.partition("=")
    parts, shown = key.strip().split("."), printable(cut(change))
    names: list[Any] = [int(name) if name.isdecimal() and len(name) <= LONGEST_INDEX else name for name in parts]
    if not equals or "" in names or len(names) > DEPTH:
        raise ExperimentError(f"--set {shown}: must be `dotted.key=value`.")
    try:
        value = parse_yaml(text)
    except UserError as error:
        raise ExperimentError(f"--set {shown}: the value: {error}") from error
    place: Any = data
    try:
        for name in names[:-1]:
            place = place[name] if isinstance(place, list) else place.setdefault(name, {})
        place[names[-1]] = value
    except (IndexError, TypeError, KeyError, AttributeError) as error:
        raise ExperimentError(f"--set {shown}: there is no such key in the experiment.") from error

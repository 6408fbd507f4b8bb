"""An experiment: the YAML file that says what to search, on what data, with what budget.

Everything a user writes is checked here, once. A broken rule becomes one
:class:`~mtl_search.errors.ExperimentError` that names the file, the dotted key, the rule, what was found, and for an
unknown name the nearest valid one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from mtl_search.errors import ExperimentError, FieldError, UnknownNameError, UserError
from mtl_search.internal.characters import printable
from mtl_search.internal.messages import explain
from mtl_search.internal.options import check_numbers
from mtl_search.internal.registry import BALANCINGS, DATASETS
from mtl_search.internal.yaml_text import as_yaml
from mtl_search.metrics.pareto import COSTS
from mtl_search.metrics.scores import MEANS, WORST_TASK
from mtl_search.spaces.banks import check_use
from mtl_search.spaces.changes import anchor, apply, detached
from mtl_search.spaces.constraints import Constraints
from mtl_search.spaces.proposal import ProposalSpace
from mtl_search.spaces.search_settings import SearchSettings
from mtl_search.spaces.section import LONGEST_NAME, LONGEST_TEXT, MOST, MOST_OBJECTIVES, Section
from mtl_search.spaces.settings import BalancingSettings, DatasetSettings, Training
from mtl_search.spaces.space import SearchSpace
from mtl_search.spaces.space_settings import BackboneSettings, SpaceSettings
from mtl_search.spaces.yaml_files import find_yaml, read_yaml, yaml_files

Weight = Annotated[float, Field(ge=0, le=MOST)]


class Experiment(Section):
    """Everything a search needs, checked.

    :param name: What the experiment is called, in reports and in the name of a run's folder; the file's if left out.
    :param description: A line about it, which ``mtl-search list spaces`` shows.
    :param dataset: What is learned from: the ``name`` of a dataset, and its options beside it.
    :param backbone: The network without any sharing decided: how wide, how deep, where it strides.
    :param space: What is left to choose, layer by layer or for all layers.
    :param training: How each network is trained.
    :param constraints: Limits on costs and on qualities.
    :param search: How the space is searched, and for how long.
    :param objectives: Two or more of ``accuracy`` (the mean quality over tasks), ``worst_task`` (the quality of the
        task that is done worst), ``<task>/<metric>`` and the costs ``learnable_parameters``, ``fixed_parameters``,
        ``total_parameters``, ``macs``, ``latency_ms``; at least one quality and one cost.
    :param task_weights: Task -> how much it counts in ``accuracy``; 1 for those that are not named.
    """

    name: str = Field("experiment", min_length=1, max_length=LONGEST_NAME)
    description: str = Field("", max_length=LONGEST_TEXT)
    dataset: DatasetSettings
    backbone: BackboneSettings
    space: SpaceSettings = SpaceSettings()
    training: Training = Training()
    objectives: tuple[str, ...] = Field(("accuracy", "learnable_parameters"), max_length=MOST_OBJECTIVES)
    task_weights: dict[str, Weight] = Field(default_factory=dict)
    constraints: Constraints = Constraints()
    search: SearchSettings = SearchSettings()
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
        known = [*MEANS, *COSTS]
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
            space = self.proposal_space
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

    @model_validator(mode="after")
    def _confirming_leaves_trials(self) -> "Experiment":
        confirm, trials = self.search.confirm, self.search.trials
        if confirm is not None and confirm.trainings >= trials:
            rule = (
                f"must be above `search.confirm.top` x `search.confirm.seeds`, {confirm.trainings}, which are of them"
            )
            raise FieldError("search.trials", rule, trials)
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
    def measures_worst_task(self) -> bool:
        """Whether an objective, a constraint or the target depends on the quality of the worst task."""
        target = self.search.target
        return WORST_TASK in (*self.objectives, *self.constraints.qualities(), target.metric if target else "")

    @property
    def search_space(self) -> SearchSpace:
        """What is left to choose, over the backbone."""
        return self.space.build(self.backbone.build())

    @property
    def proposal_space(self) -> ProposalSpace:
        """What is left to choose of architecture and training."""
        usual = {name: self.setting(name) for name in self.space.training}
        return ProposalSpace(self.search_space, self.space.training, usual)

    def setting(self, name: str) -> Any:
        """The value of a setting of ``training``; of a balancing its name."""
        value = getattr(self.training, name)
        return value.name if isinstance(value, BalancingSettings) else value

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

    def to_yaml(self, folder: Path | None = None) -> str:
        """As YAML text, every default written out.

        :param folder: Where the text is to stand: paths of the dataset inside of it are written relative to it.
        """
        data = self.to_dict()
        return as_yaml(data if folder is None else {**data, "dataset": detached(data["dataset"], folder)})


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
            anchor(data.get("dataset"), path.parent)
        for change in changes:
            apply(data, change)
        anchor(data.get("dataset"), Path())
    except FieldError as error:
        raise ExperimentError(f"{printable(str(path))}: {error}") from error
    experiment = parse_experiment({"name": path.stem, **data}, str(path))
    try:
        _check_use(experiment)
    except UserError as error:
        raise ExperimentError(f"{printable(str(path))}: {error}") from error
    return experiment


def read_experiment(path: Path) -> Experiment:
    """The experiment in the folder of a run, whose paths are relative to it; what it names is not looked for.

    :raises ExperimentError: If something in it breaks a rule.
    """
    data = read_yaml(path)
    try:
        anchor(data.get("dataset"), path.parent)
    except FieldError as error:
        raise ExperimentError(f"{printable(str(path))}: {error}") from error
    return parse_experiment(data, str(path))


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


def experiment_of(space: SearchSpace, name: str, dataset: Mapping[str, Any]) -> Experiment:
    """The experiment that searches a bare space: everything besides space and dataset has its default.

    :param name: What the experiment is called.
    :param dataset: Name and options of the dataset.
    """
    layers = {
        number: {name: list(getattr(layer, name)) for name in ("bank", "shared_ratio", "branch_depth")}
        for number, layer in enumerate(space.layers)
    }
    data = {
        "name": name,
        "dataset": dict(dataset),
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

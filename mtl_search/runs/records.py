"""What the JSON files of a run's folder must hold, checked once, where they are read.

Keys that are not named here are allowed, and what is checked is given on as it stands.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mtl_search.errors import RunFolderError, UserError
from mtl_search.internal.characters import FORMULA, printable
from mtl_search.internal.layout import FORMAT
from mtl_search.internal.messages import explain
from mtl_search.internal.reading import read_json
from mtl_search.runs.rows import LARGEST
from mtl_search.spaces.ranges import Range
from mtl_search.spaces.section import SEED_BITS
from mtl_search.spaces.settings import Training

MOST_SEEDS = 10_000
"""Trainings of one entrant that are believed: ten times those that can be asked for. More are a damaged file."""


def _is_a_time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _names_one_folder(text: str) -> str:
    if text.startswith(".") or "/" in text or "\0" in text or not text.strip():
        raise ValueError("must be the name of one folder")
    if text.startswith(tuple(FORMULA)):
        raise ValueError(f"must not begin with one of {FORMULA}")
    return text


MOST_SEED = 2**SEED_BITS + MOST_SEEDS
"""Seeds of a comparison follow that of its search."""

Time = Annotated[str, AfterValidator(_is_a_time)]
Key = Annotated[str, AfterValidator(_names_one_folder)]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]
Amount = Annotated[float, Field(ge=0, le=LARGEST)]
Share = Annotated[float, Field(ge=-0.001, le=1.001)]
Cosine = Annotated[float, Field(ge=-1.001, le=1.001)]
"""Shares and cosines may be off by rounding, which is far less than 0.001: half precision has that."""


class Record(BaseModel):
    """A mapping of which some keys must hold what they are read as."""

    model_config = ConfigDict(extra="allow", strict=True)


class Versioned(Record):
    """A file with the number of its format."""

    format: int = FORMAT

    @model_validator(mode="before")
    @classmethod
    def _is_not_newer(cls, data: Any) -> Any:
        found = data.get("format", FORMAT) if isinstance(data, dict) else FORMAT
        if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= FORMAT:
            newer = (
                " It is of a newer mtl_search: upgrade to read it." if isinstance(found, int) and found > FORMAT else ""
            )
            raise ValueError(f"`format` must be {FORMAT}, that of this version, but got {found!r}.{newer}")
        return data


class Session(Record):
    """One call that worked on a run."""

    started: Time
    finished: Time | None = None
    seconds: Amount | None = None
    epochs_before: Count = 0
    changes: list[str] = []
    source_revision: str | None = None
    source_digest: str | None = None
    versions: dict[str, str | None] = {}
    kernels: str | None = None


class TaskRecord(Record):
    """A task as it describes itself."""

    name: str


class Environment(Versioned):
    """``environment.json``."""

    command: str | None = None
    started: Time | None = None
    finished: Time | None = None
    source_revision: str | None = None
    source_digest: str | None = None
    python: str | None = None
    versions: dict[str, str | None] = {}
    kernels: str | None = None
    hardware: dict[str, Any] = {}
    data_digest: str | None = None
    experiment: dict[str, Any] = {}
    tasks: list[TaskRecord] = []
    sessions: list[Session] = []


class OfferRecord(Record):
    """The ends of a range."""

    model_config = ConfigDict(extra="forbid", strict=True)
    low: Number
    high: Number
    log: bool

    @model_validator(mode="after")
    def _is_a_range(self) -> "OfferRecord":
        Range(self.low, self.high, self.log)
        return self


class About(Record):
    """An entrant of a comparison."""

    key: Key
    kind: Literal["baseline", "pick", "architecture", "control"]
    method: str
    seeds: int = Field(ge=1, le=MOST_SEEDS)
    balancing: str | dict[str, Any]
    options: dict[str, Any] = {}
    width_multiplier: Number = 1.0
    recipe: str = ""
    variant: str = ""
    curve: bool = False
    description: str = ""
    trial: Count | None = None
    control: str = ""
    picks: list[str] = []
    twin_of: str = ""
    budget: Amount | None = None

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> "About":
        baseline = ["recipe", "variant", "options", "width_multiplier", "curve"]
        needed = {"pick": ["trial"], "baseline": baseline, "control": ["trial", "control", *baseline]}
        missing = [name for name in needed.get(self.kind, []) if name not in self.model_fields_set]
        if missing or (self.kind in ("pick", "control") and self.trial is None):
            raise ValueError(f"`{[*missing, 'trial'][0]}` is missing: a {self.kind} must have it")
        if isinstance(self.balancing, dict) and not isinstance(self.balancing.get("name"), str):
            raise ValueError("`balancing` must have a name")
        return self


class TunedRecord(Record):
    """What was chosen for a recipe or a pick."""

    key: str
    entrants: list[str]
    trained: str
    offers: dict[str, OfferRecord | list[str | Number | bool]]
    grown: list[str]
    usual: dict[str, str | Number | bool]
    chosen: dict[str, str | Number | bool]
    at_end: dict[str, Literal["low", "high"]]
    trainings: Count
    failed: Count
    seconds: Amount
    training_macs: Amount

    @model_validator(mode="after")
    def _tells_of_every_setting(self) -> "TunedRecord":
        if not set(self.offers) == set(self.usual) == set(self.chosen):
            raise ValueError("`offers`, `usual` and `chosen` must hold the same settings")
        return self


class TuningRecord(Record):
    """How the settings of a comparison were chosen."""

    trainings: Count
    seed: Count
    subjects: list[TunedRecord]


class BudgetRecord(Record):
    """What the twins of a comparison spend."""

    unit: Literal["macs"]
    macs: Amount
    factor: Amount


class ControlRecord(Record):
    """What a control found."""

    trials: Count
    complete: Count
    seconds: Amount
    limit: Count
    entrants: list[str]


class Request(Versioned):
    """``comparison.json``."""

    tuning: TuningRecord | None = None
    budget: BudgetRecord | None = None
    control: dict[str, ControlRecord] = {}

    seeds: int = Field(ge=1, le=MOST_SEEDS)
    first_seed: int = Field(0, ge=0, le=MOST_SEED)
    now: list[str]
    split: Literal["test", "val"]
    training: Training
    entrants: list[About]
    unresolved: dict[str, str]
    environment: Environment = Environment()
    revisions: list[str | None] = []

    @model_validator(mode="after")
    def _fits_together(self) -> "Request":
        keys = [about.key for about in self.entrants]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise ValueError(f"`entrants` must not hold `{printable(twice[0])}` twice")
        alone = [about.twin_of for about in self.entrants if about.twin_of and about.twin_of not in keys]
        if alone:
            raise ValueError(f"`entrants` must hold `{printable(alone[0])}`, of which another one is the twin")
        return self


class PhaseRecord(Record):
    """What a phase of a training took."""

    epochs: Amount = 0
    samples: Amount = 0
    seconds: Amount = 0
    macs: Amount = 0


class Details(Record):
    """``details.json`` of a training; the keys besides ``phases`` are those of single methods."""

    phases: dict[str, PhaseRecord]
    share: dict[str, dict[str, Share]] = {}
    cosines: list[dict[str, Cosine | None]] = []
    ties: list[str] = []


class BranchDetails(Details):
    """The details of a method that searches where tasks leave the trunk: they come together, or not at all.

    Trainings of earlier versions have no ``margins`` and no ``frozen``.
    """

    places: list[str] = Field(min_length=1)
    alpha: list[Annotated[list[Annotated[list[Share], Field(min_length=1)]], Field(min_length=1)]]
    margin: list[Number]
    margins: list[list[Number | None]] = []
    conflicts: list[dict[str, Share]]
    frozen: list[Share] = []
    branch_points: dict[str, int]

    @model_validator(mode="after")
    def _every_task_has_a_margin(self) -> "BranchDetails":
        if len(self.margin) != len(self.branch_points):
            raise ValueError("`margin` must have a number for each task in `branch_points`")
        if any(len(of_epoch) != len(self.margin) for of_epoch in self.margins):
            raise ValueError("`margins` must have an entry for each task in `branch_points`, epoch by epoch")
        return self


def read_record(path: Path, model: type[Record]) -> dict[str, Any]:
    """The JSON file at a path, checked.

    :param model: What it must hold.
    :raises RunFolderError: If it cannot be read, or breaks a rule; the message has the file, the dotted key, the rule
        and what was found.
    """
    try:
        data: dict[str, Any] = read_json(path, follow=False)
    except UserError as error:
        raise RunFolderError(f"{error} Put it back from a copy.") from error
    check_record(path, data, model)
    return data


def check_record(path: Path, data: Any, model: type[Record]) -> None:
    """Check what a JSON file holds.

    :raises RunFolderError: As :func:`read_record`.
    """
    try:
        model.model_validate(data)
    except ValidationError as error:
        raise RunFolderError(f"{path}: {explain(error, model)} Put it back from a copy.") from error

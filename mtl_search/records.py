"""What the JSON files of a run's folder must hold, checked once, where they are read.

Keys that are not named here are allowed, and what is checked is given on as it stands.
"""

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from mtl_search.errors import RunFolderError, UserError
from mtl_search.experiment import Training
from mtl_search.layout import FORMAT
from mtl_search.messages import explain
from mtl_search.reading import printable, read_json

MOST_SEEDS = 10_000
"""Trainings of one entrant that are believed."""


def _is_a_time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


def _names_one_folder(text: str) -> str:
    if text.startswith(".") or "/" in text or "\0" in text or not text.strip():
        raise ValueError("must be the name of one folder")
    return text


Time = Annotated[str, AfterValidator(_is_a_time)]
Key = Annotated[str, AfterValidator(_names_one_folder)]
Count = Annotated[int, Field(ge=0)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]


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
    seconds: Share | None = None
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


class About(Record):
    """An entrant of a comparison."""

    key: Key
    kind: Literal["baseline", "pick", "architecture"]
    method: str
    seeds: int = Field(ge=1, le=MOST_SEEDS)
    balancing: str | dict[str, Any]
    options: dict[str, Any] = {}
    width_multiplier: Number = 1.0
    description: str = ""
    trial: Count | None = None
    picks: list[str] = []

    @model_validator(mode="after")
    def _a_pick_names_its_trial(self) -> "About":
        if self.kind == "pick" and self.trial is None:
            raise ValueError("`trial` is missing: a pick must name it")
        if isinstance(self.balancing, dict) and not isinstance(self.balancing.get("name"), str):
            raise ValueError("`balancing` must have a name")
        return self


class Asked(Versioned):
    """``comparison.json``."""

    seeds: int = Field(ge=1, le=MOST_SEEDS)
    now: list[str]
    split: Literal["test", "val"]
    training: Training
    entrants: list[About]
    unresolved: dict[str, str]
    environment: Environment = Environment()
    revisions: list[str | None] = []

    @model_validator(mode="after")
    def _fits_together(self) -> "Asked":
        keys = [about.key for about in self.entrants]
        twice = [key for key in keys if keys.count(key) > 1]
        if twice:
            raise ValueError(f"`entrants` must not hold `{printable(twice[0])}` twice")
        return self


class PhaseRecord(Record):
    """What a phase of a training took."""

    epochs: Share = 0
    samples: Share = 0
    seconds: Share = 0
    macs: Share = 0


class Details(Record):
    """``details.json`` of a training; the keys besides ``phases`` are those of single methods."""

    phases: dict[str, PhaseRecord]
    share: dict[str, dict[str, Number]] = {}
    cosines: list[dict[str, Number | None]] = []
    places: list[str] = []
    alpha: list[list[list[Number]]] = []
    margin: list[Number] = []
    conflicts: list[dict[str, Number]] = []
    branch_points: dict[str, int] = {}
    paths: dict[str, list[int]] = {}

    @model_validator(mode="after")
    def _branch_points_are_told_whole(self) -> "Details":
        if self.alpha and not (self.places and self.branch_points and len(self.margin) == len(self.branch_points)):
            raise ValueError("`alpha` must come with `places`, and with `branch_points` and a `margin` of each task")
        return self


R = TypeVar("R", bound=Record)


def read_record(path: Path, model: type[R]) -> dict[str, Any]:
    """The JSON file at a path, checked.

    :param model: What it must hold.
    :raises RunFolderError: If it cannot be read, or breaks a rule; the message has the file, the dotted key, the rule
        and what was found.
    """
    try:
        data = read_json(path, follow=False)
        model.model_validate(data)
    except ValidationError as error:
        raise RunFolderError(f"{path}: {explain(error, model)} Put it back from a copy.") from error
    except UserError as error:
        raise RunFolderError(f"{error} Put it back from a copy.") from error
    found: dict[str, Any] = data
    return found

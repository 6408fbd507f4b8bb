"""The sections ``dataset`` and ``training`` of an experiment, with their limits."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from mtl_search.errors import UserError
from mtl_search.internal.layout import dataset_title
from mtl_search.internal.messages import explain
from mtl_search.internal.registry import BALANCINGS, DATASETS
from mtl_search.spaces.section import LONGEST_EPOCH, MOST, MOST_RATE, Section, by_name


class DatasetSettings(BaseModel):
    """A dataset by name; the other keys are options of that dataset.

    :param name: One that comes with the package (``mtl-search list datasets``), or ``my_package.module:Name``.
    """

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

    @property
    def title(self) -> str:
        """What it is called in reports: its name, or what it was called when it was in memory."""
        return dataset_title(self.name, self.options)


class BalancingSettings(BaseModel):
    """How the tasks are balanced, by name; the other keys are options of that balancing.

    :param name: One that comes with the package (``mtl-search list balancings``), or ``my_package.module:Name``.
    """

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

    :param epochs: Passes over the training split, where ``epoch_length`` is 1. The default 5 are for a first try.
    :param epoch_length: Steps of an epoch, in those of a pass over the training split: with 0.5 each epoch sees half of
        the samples, others each time. Schedules, and the phases of methods that have several, are as long accordingly.
    :param batch_size: Samples per step; a last incomplete batch is left out. Of larger ones than the default 128 a
        short training has too few steps.
    :param learning_rate: Highest learning rate of AdamW; the default is three times that of AdamW in torch, for
        schedules that begin and end low.
    :param weight_decay: Weight decay of AdamW, on weights; biases and norms are not decayed.
        The default is that of AdamW in torch.
    :param schedule: ``one_cycle`` (Smith & Topin, 2018), ``cosine``, ``step`` (halved after half of them), ``poly``
        (falls to 0 as the 0.9th power of what is left; Chen et al., TPAMI 2018) or ``constant``; stepped every batch.
    :param label_smoothing: Label smoothing of the cross entropy, 0 to below 1.
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


def check_setting(name: str, value: Any) -> None:
    """
    :raises UserError: If ``training`` could not have this value; the message has the rule that it breaks.
    """
    try:
        Training.model_validate({name: value})
    except ValidationError as error:
        raise UserError(explain(error, Training).rstrip(".")) from error

"""Limits on costs and on qualities, as an experiment names them."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from mtl_search.metrics.scores import MEANS, WORST_TASK
from mtl_search.spaces.section import Section

MOST_QUALITY = 1e6
"""Of a limit on a quality: errors have the unit of their targets."""


def _no_switch(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


SINGLE_TASK = "single_task"
"""In the place of a limit on ``worst_task``: what the task's own network reaches."""

LeastQuality = Annotated[float, BeforeValidator(_no_switch), Field(ge=-MOST_QUALITY, le=MOST_QUALITY)]


class Constraints(Section):
    """Limits on costs and on qualities. ``null`` is no limit.

    Those on costs are upper limits, checked before anything is trained. Other keys are qualities: ``accuracy``,
    ``worst_task`` or ``<task>/<metric>`` -> the least that it must be, of an error the largest. They are known after a
    training: the front is of the trials that keep them, and of all where none does. ``worst_task: single_task`` asks
    that no task be worse than by a network of its own; only a comparison that trains these can tell, and does.

    :param learnable_parameters: Numbers that training changes, of the whole network with its heads.
    :param total_parameters: Learnable parameters, and those of the primitives, which are fixed.
    :param macs: Multiply-accumulates of a forward pass for one sample, all tasks.
    :param latency_ms: Milliseconds of a forward pass for one sample on the machine that runs the search, measured; the
        others are computed.
    """

    learnable_parameters: int | None = Field(None, ge=1)
    total_parameters: int | None = Field(None, ge=1)
    macs: int | None = Field(None, ge=1)
    latency_ms: float | None = Field(None, gt=0)

    model_config = ConfigDict(extra="allow")
    other_keys: ClassVar[tuple[str, ...]] = (*MEANS, "<task>/<metric>")
    """Keys besides the fields, for messages."""
    __pydantic_extra__: dict[str, LeastQuality | Literal["single_task"] | None] = Field(init=False)

    @model_validator(mode="before")
    @classmethod
    def _names_costs_and_qualities(cls, given: Any) -> Any:
        for name in given if isinstance(given, dict) else ():
            if name not in (*cls.model_fields, *MEANS) and "/" not in str(name):
                wrong = InitErrorDetails(type="extra_forbidden", loc=(name,), input=given[name])
                raise ValidationError.from_exception_data(cls.__name__, [wrong])
            if isinstance(given[name], str) and (name == WORST_TASK) != (given[name] == SINGLE_TASK):
                own = f"must be a number, or `{SINGLE_TASK}`"
                rule = own if name == WORST_TASK else f"must be a number: `{SINGLE_TASK}` is for `{WORST_TASK}`"
                wrong = InitErrorDetails(
                    type="value_error", loc=(name,), input=given[name], ctx={"error": ValueError(rule)}
                )
                raise ValidationError.from_exception_data(cls.__name__, [wrong])
        return given

    def limits(self) -> dict[str, float]:
        """Name of the cost -> its limit, without those that have none."""
        return {name: limit for name in type(self).model_fields if (limit := getattr(self, name)) is not None}

    def qualities(self) -> dict[str, float]:
        """Name of the quality -> the least that it must be, of an error the largest; without those that have none."""
        return {name: limit for name, limit in (self.model_extra or {}).items() if isinstance(limit, float)}

    @property
    def no_task_below_its_own_network(self) -> bool:
        """Whether ``worst_task: single_task`` is asked for, which a comparison answers."""
        return (self.model_extra or {}).get(WORST_TASK) == SINGLE_TASK

"""Limits on costs and on qualities, as an experiment names them."""

from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails

from mtl_search.metrics.scores import MEANS
from mtl_search.spaces.section import Section

MOST_QUALITY = 1e6
"""Of a limit on a quality: errors have the unit of their targets."""


def _no_switch(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


LeastQuality = Annotated[float, BeforeValidator(_no_switch), Field(ge=-MOST_QUALITY, le=MOST_QUALITY)]


class Constraints(Section):
    """Limits on costs and on qualities. ``null`` is no limit.

    Those on costs are upper limits, checked before anything is trained. Other keys are qualities: ``accuracy``,
    ``worst_task`` or ``<task>/<metric>`` -> the least that it must be, of an error the largest. They are known after a
    training: the front is of the trials that keep them, and of all where none does.

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
    __pydantic_extra__: dict[str, LeastQuality | None] = Field(init=False)

    @model_validator(mode="before")
    @classmethod
    def _names_costs_and_qualities(cls, given: Any) -> Any:
        for name in given if isinstance(given, dict) else ():
            if name not in (*cls.model_fields, *MEANS) and "/" not in str(name):
                wrong = InitErrorDetails(type="extra_forbidden", loc=(name,), input=given[name])
                raise ValidationError.from_exception_data(cls.__name__, [wrong])
        return given

    def limits(self) -> dict[str, float]:
        """Name of the cost -> its limit, without those that have none."""
        return {name: limit for name in type(self).model_fields if (limit := getattr(self, name)) is not None}

    def qualities(self) -> dict[str, float]:
        """Name of the quality -> the least that it must be, of an error the largest; without those that have none."""
        return {name: limit for name, limit in (self.model_extra or {}).items() if limit is not None}

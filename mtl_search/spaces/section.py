"""What the sections of an experiment have in common, and the largest numbers that they take."""

from typing import Any

from pydantic import BaseModel, ConfigDict, ValidatorFunctionWrapHandler, field_validator

from mtl_search.internal.options import is_switch_for_number

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
SEED_BITS = 31
"""Bits of a seed that a user may give, or that a library is given: NumPy takes 32, others 31 and a sign."""
MOST_POINTS = 1_000
"""Architectures that are tried first: each is trained, so that a longer list is no start but a search of its own."""
MOST_OBJECTIVES = 8
"""The cost of a hypervolume grows exponentially with them. Five are the most in use."""
LONGEST_NAME, LONGEST_TEXT = 100, 10_000
"""Characters of a name, which is part of the name of a folder (file systems take 255 bytes), and of a description,
which is a page of text."""


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


def by_name(value: Any) -> Any:
    """A mapping with a name may be written as the name alone."""
    return {"name": value} if isinstance(value, str) else value


def defaults_for_true(value: Any) -> Any:
    """``true`` stands for a section with its defaults, ``false`` for none."""
    return {} if value is True else None if value is False else value

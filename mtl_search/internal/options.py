"""Options that users give by name to something registered: checked against the fields of its dataclass."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mtl_search.errors import UserError, suggestion
from mtl_search.internal.characters import cut, printable

Built = TypeVar("Built")

MOST = 2**32
"""Largest magnitude of a number. Seeds are below it, float32 holds its square, and no option has a use for more."""


def build(cls: type[Built], options: Mapping[str, Any], key: str, owner: str) -> Built:
    """An instance of a dataclass with these options; what is left out has its default.

    :param key: Where the options stand, for messages: ``dataset``.
    :param owner: What they are options of, for messages: its name.
    :raises UserError: If an option is unknown or breaks a rule.
    """
    key = printable(cut(key))
    valid = [field.name for field in dataclasses.fields(cls) if field.init]  # type: ignore[arg-type]
    for option in options:
        if option not in valid:
            shown = printable(cut(str(option)))
            raise UserError(f"`{key}.{shown}` is no option of `{owner}`.{_valid(option, valid)}")
    check_numbers(options, key)
    try:
        built = TypeAdapter(cls).validate_python(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        option = ".".join([key, *(printable(cut(str(part))) for part in first["loc"] if "[" not in str(part))])
        if first["type"] == "missing":
            raise UserError(f"`{option}` is missing.") from error
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, UserError):
            raise UserError(f"`{option}`: {cause}") from error
        rule = first["msg"].replace("Input should be", "must be").removeprefix("Value error, ")
        raise UserError(f"`{option}` {rule}, but got {cut(repr(first['input']))}.") from error
    for option, value in options.items():
        if is_switch_for_number(value, getattr(built, option)):
            raise UserError(f"`{key}.{option}` must be a number, but got {cut(repr(value))}.")
    return built


def check_numbers(options: Mapping[str, Any], key: str) -> None:
    """Check the numbers in options, wherever they stand in lists and mappings; needs not know what they are for.

    :param key: Dotted key under which the options stand, as for :func:`build`.
    :raises UserError: If one is not finite, or above :data:`MOST`.
    """
    for option, value in options.items():
        for number in _leaves(value):
            if isinstance(number, int | float) and not -MOST <= number <= MOST:
                shown = f"{key}.{printable(cut(str(option)))}"
                raise UserError(f"`{shown}` must be a finite number of at most {MOST:,}, but got {cut(repr(number))}.")


def is_switch_for_number(given: Any, found: Any) -> bool:
    """Whether ``true`` or ``false`` was given, or stands in a list or mapping, where ``found`` is a number."""
    if isinstance(given, Mapping) and isinstance(found, Mapping):
        return any(is_switch_for_number(one, found[key]) for key, one in given.items() if key in found)
    if isinstance(found, list | tuple):
        pairs = zip(given if isinstance(given, list | tuple) else [given], found, strict=False)
        return any(is_switch_for_number(one, other) for one, other in pairs)
    return isinstance(given, bool) and type(found) in (int, float)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _leaves(one)
    else:
        yield value


def _valid(option: str, valid: list[str]) -> str:
    return suggestion(option, valid) if valid else " It has none."

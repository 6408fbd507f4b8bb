"""Fields of plain dataclasses: what each may hold, and how an object is built from JSON."""

from dataclasses import fields
from typing import Any

from mtl_search.errors import FieldError, UserError, suggestion
from mtl_search.internal.characters import cut, printable


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """:raises FieldError: If a value is no whole number from ``least`` to ``most``."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise FieldError(name, f"must be a whole number of at least {least}", value)
    if value > most:
        raise FieldError(name, f"must be at most {most:,}", value)


def check_number(name: str, value: object, low: float, high: float) -> None:
    """:raises FieldError: If a value is no number from ``low`` to ``high``."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise FieldError(name, f"must be a number from {low:g} to {high:g}", value)


def check_one_of(name: str, value: object, valid: tuple[str, ...]) -> None:
    """:raises FieldError: If a value is none of those that are valid."""
    if value not in valid:
        raise FieldError(name, f"must be one of {', '.join(valid)}", value)


def build(cls: type, data: dict[str, Any], key: str) -> Any:
    """An object of a dataclass from a JSON object.

    :param key: Dotted key of the object in its file; empty for the whole file.
    :raises UserError: If a key is missing, unknown, or holds what breaks a rule; the message has the dotted key.
    """
    names = [field.name for field in fields(cls)]
    prefix = f"{key}." if key else ""
    for name in data:
        if name not in names:
            shown = printable(cut(str(name)))
            raise UserError(f"`{prefix}{shown}` is no key of an architecture.{suggestion(name, names)}")
    try:
        return cls(**data)
    except FieldError as error:
        raise UserError(f"`{prefix}{error.field}` {error.rule}, but got {cut(repr(error.found))}.") from error
    except UserError as error:
        raise UserError(f"`{key}`: {error}") from error
    except TypeError as error:
        missing = [field for field in names if field not in data]
        raise UserError(f"`{prefix}{missing[0]}` is missing.") from error


def build_each(cls: type, data: Any, key: str) -> tuple[Any, ...]:
    """Objects of a dataclass from a list of JSON objects; raises as :func:`build`."""
    if not isinstance(data, list) or not all(isinstance(item, dict) for item in data):
        raise UserError(f"`{key}` must be a list of objects, but got {cut(repr(data))}.")
    return tuple(build(cls, item, f"{key}.{index}") for index, item in enumerate(data))

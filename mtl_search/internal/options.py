"""Options that users give by name to something registered: checked against the fields of its dataclass."""

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from mtl_search.characters import cut, printable
from mtl_search.errors import UserError, suggestion

Built = TypeVar("Built")


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
    try:
        return TypeAdapter(cls).validate_python(dict(options))
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


def _valid(option: str, valid: list[str]) -> str:
    return suggestion(option, valid) if valid else " It has none."

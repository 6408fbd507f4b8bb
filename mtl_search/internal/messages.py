"""Turns what pydantic says of a broken rule into one sentence for the user."""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from mtl_search.errors import FieldError, UserError, suggestion
from mtl_search.internal.characters import cut, printable

SHOWN = 8
"""Items up to which a list is shown as it is in a message; a longer one would be cut off in its middle."""


def explain(error: ValidationError, model: type[BaseModel], what: str = "an experiment") -> str:
    """The first broken rule as one sentence: dotted key, rule, what was found, nearest valid name.

    An unknown key comes first: it may be a missing one, misspelt.

    :param model: What the data was checked against.
    :param what: What the data describes.
    """
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = tuple(part for part in first["loc"] if "[" not in str(part))  # pydantic's own words: [key], list[any]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, FieldError):
        return f"`{_dotted(place) or cause.field}` {cause.rule}, but got {short(cause.found)}."
    if isinstance(cause, UserError) and place:
        return f"`{_dotted(place)}`: {cause}"
    if first["type"] == "extra_forbidden":
        valid = _valid_keys(model, place[:-1])
        return f"`{_dotted(place)}` is no key of {what}.{suggestion(place[-1], valid)}"
    if first["type"] == "missing":
        return f"`{_dotted(place)}` is missing."
    if not place:
        return f"{cause or first['msg']}."
    found = f"but got {short(first['input'])}."
    if first["type"] == "literal_error":
        valid = re.findall(r"'([^']*)'", first["ctx"]["expected"])
        return f"`{_dotted(place)}` must be a valid name, {found}{suggestion(first['input'], valid)}"
    if first["type"] in ("too_long", "string_too_long"):
        items = "items" if first["type"] == "too_long" else "characters"
        return f"`{_dotted(place)}` must have at most {first['ctx']['max_length']:,} {items}, {found}"
    rule = str(cause) if cause else RULES.get(first["type"]) or first["msg"].replace("Input should", "must")
    return f"`{_dotted(place)}` {rule}, {found}"


RULES = {
    "model_type": "must be a mapping with keys",
    "dict_type": "must be a mapping with keys",
    "tuple_type": "must be a list",
    "list_type": "must be a list",
    "string_type": "must be a text",
    "invalid_key": "must be a text",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be `true` or `false`",
    "bool_parsing": "must be `true` or `false`",
    "too_short": "must hold at least one item",
}
"""Type of an error of pydantic -> the rule in the words of a YAML file."""


def _valid_keys(model: type[BaseModel], place: Sequence[Any]) -> list[str]:
    """The keys that may stand at a place, found by walking the models along it."""
    for part in place:
        if isinstance(part, int):
            continue
        annotation = model.model_fields[str(part)].annotation if str(part) in model.model_fields else None
        inner = [kind for kind in _types(annotation) if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if inner:
            model = inner[0]
    return [*model.model_fields, *getattr(model, "other_keys", ())]


def _types(annotation: Any) -> list[Any]:
    arguments = getattr(annotation, "__args__", ())
    return [annotation, *(kind for argument in arguments for kind in _types(argument))]


def _dotted(place: Sequence[Any]) -> str:
    return printable(".".join(cut(str(part)) for part in place))


def short(value: Any) -> str:
    """A value for a message, at most 80 characters."""
    return cut(f"a list of {len(value)}" if isinstance(value, list | tuple) and len(value) > SHOWN else repr(value))

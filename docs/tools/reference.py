"""Pages that are written from the code: keys of an experiment, options of what has a name, commands."""

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

import typer
from pydantic import BaseModel, TypeAdapter
from typer.main import get_command

from mtl_search.cli.application import app
from mtl_search.cli.commands import main as main  # registers the commands
from mtl_search.cli.listing import KINDS, listing
from mtl_search.comparison.recipes import Recipe
from mtl_search.datasets._declared import FOLLOW
from mtl_search.internal.registry import BALANCINGS, DATASETS, METHODS, TASKS
from mtl_search.searching.early_stopping import SuccessiveHalving
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.layer_space import LayerSpace
from mtl_search.spaces.space import SearchSpace
from roles import shown

Schema = Mapping[str, Any]

SAME = {
    "StageSettings": (Stage,),
    "BackboneSettings": (Backbone,),
    "SpaceSettings": (LayerSpace, SearchSpace),
    "Options": (LayerSpace,),
    "EarlyStopping": (SuccessiveHalving,),
}
"""Section of an experiment -> the classes that it stands for, whose docstrings describe its keys, too."""
LEARNED = "Learned from the data"
"""How the description of a field goes on that is no option."""
SECTIONS = ("spaces", "baselines", "datasets", "tasks", "balancings", "methods", "primitives")
REGISTRIES = {"datasets": DATASETS, "tasks": TASKS, "balancings": BALANCINGS, "methods": METHODS}


def described(*classes: type) -> dict[str, str]:
    """Name of each parameter that the docstrings of classes describe -> its description, in Markdown, on one line."""
    found: dict[str, str] = {}
    for one in classes:
        for base in one.__mro__:
            text = inspect.cleandoc(base.__dict__.get("__doc__") or "")
            for name, about in re.findall(r":param (\w+): *((?:.|\n)*?)(?=\n\s*:\w|\n\s*\n|\Z)", text):
                found.setdefault(name, marked(about))
    return found


def marked(text: str) -> str:
    """A text of a docstring in Markdown, on one line, for a cell of a table."""
    parts = " ".join(shown(text).replace("``", "`").split()).split("`")
    return "`".join(part if place % 2 else part.replace("|", "\\|") for place, part in enumerate(parts))


def introduction(one: type) -> str:
    """What a docstring says before its parameters, in Markdown."""
    text = inspect.cleandoc(one.__dict__.get("__doc__") or "").partition("\n:")[0]
    return shown(text).replace("``", "`").strip()


def holds(schema: Schema) -> str:
    """What a value may be, in words."""
    if "anyOf" in schema:
        kinds = [one for one in schema["anyOf"] if one.get("type") != "null"]
        return " or ".join(dict.fromkeys(holds(one) for one in kinds))
    if "$ref" in schema or schema.get("type") == "object":
        return "a mapping"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return "one of " + ", ".join(f"`{value}`" for value in schema["enum"])
    if schema.get("type") == "array":
        if "prefixItems" in schema:
            return f"a list of {len(schema['prefixItems'])}: each {holds(schema['prefixItems'][0])}"
        items = holds(schema.get("items", {}))
        return f"a list: each {items}" if items else "a list"
    words = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "`true` or `false`"}
    return words.get(str(schema.get("type")), "") + limits(schema)


def limits(schema: Schema) -> str:
    """The ends that a number has to keep."""
    ends = (
        ("minimum", "from {:,}"),
        ("exclusiveMinimum", "above {:,}"),
        ("maximum", "to {:,}"),
        ("exclusiveMaximum", "below {:,}"),
    )
    found = [text.format(schema[key]).removesuffix(".0") for key, text in ends if key in schema]
    return f" {', '.join(found)}".replace(", to", " to") if found else ""


def default(schema: Schema, required: bool) -> str:
    """What stands there if the key is left out."""
    if required:
        return "must be there"
    value = schema.get("default")
    if value is None or value in ([], {}, "") or isinstance(value, dict):
        return ""
    return f"`{written(value)}` if left out"


def written(value: Any) -> str:
    """A value on one line of YAML."""
    if isinstance(value, list):
        return f"[{', '.join(written(one) for one in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def rows(schema: Schema, about: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    """A table of the keys that a schema has.

    :raises ValueError: If a key has no description.
    """
    yield from ("| key | |", "|---|---|")
    for name, one in schema["properties"].items():
        if not about.get(name):
            raise ValueError(f"`{prefix}{name}` has no description: write a `:param {name}:`")
        needed = name in schema.get("required", ())
        facts = ", ".join(filter(None, [holds(one), default(one, needed)]))
        yield f"| `{name}` | {f'*{facts}*<br>' if facts else ''}{about[name]} |"


def experiment_page() -> str:
    """The keys of an experiment, section by section, from the models that check it."""
    schema = Experiment.model_json_schema()
    lines = [
        "# Keys of an experiment",
        "",
        "An experiment is one YAML file. Whatever is left out has its default; a run's `experiment.yaml` has all of "
        "them written out. On the command line a key is changed by its dotted name: `--set training.epochs=3`. "
        "A list of one option may be written without brackets.",
        "",
        *rows(schema, described(Experiment)),
    ]
    for place, model in sections(Experiment, ""):
        lines += ["", f"## {place}", "", *section(model, place)]
    lines += ["", "## A recipe", "", "The YAML file of a baseline, which `--baselines` takes.", ""]
    lines += rows(Recipe.model_json_schema(), described(Recipe))
    return "\n".join(lines) + "\n"


def section(model: type[BaseModel], place: str) -> Iterator[str]:
    """What a page says of one section."""
    about = described(model, *SAME.get(model.__name__, ()))
    text = introduction(model)
    if not text.startswith("As `"):
        yield from (text, "")
    yield from rows(model.model_json_schema(), about, f"{place}.")
    if model.model_config.get("extra") == "allow" and hasattr(model, "other_keys"):
        yield from ("", f"Other keys: {', '.join(f'`{key}`' for key in model.other_keys)}.")


def sections(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """The models in the fields of a model, and in theirs, each with its dotted key."""
    for name, field in model.model_fields.items():
        for inner in models_in(field.annotation):
            several = "list" if "tuple" in str(field.annotation) else "dict" if "dict" in str(field.annotation) else ""
            place = prefix + name + {"list": ".N", "dict": ".N", "": ""}[several]
            yield place, inner
            yield from sections(inner, f"{place}.")


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The models that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [one for argument in getattr(annotation, "__args__", ()) for one in models_in(argument)]


def options_page() -> str:
    """What has a name: a line about each, and its options."""
    lines = [
        "# Options of what has a name",
        "",
        "What `mtl-search list` names, with the options of each. Options stand beside the name: "
        "`dataset: {name: multi_mnist, train: 2000}`, `balancing: {name: cagrad, c: 0.2}`.",
    ]
    assert set(SECTIONS) == set(KINDS)
    for kind in SECTIONS:
        lines += ["", f"## {kind.capitalize()}"]
        if kind == "tasks":
            lines += ["", "Of data of your own: `column` or `columns`, `missing`, and for maps `values` and `scale`, "]
            lines += ["too, as [own data](own-data.md) says; numbers of classes and names then follow from the data."]
        if kind in REGISTRIES:
            for name in REGISTRIES[kind].names():
                lines += ["", *thing(name, REGISTRIES[kind].get(name))]
        else:
            lines += ["", "| name | |", "|---|---|"]
            lines += [f"| `{name}` | {about.replace('|', chr(92) + '|')} |" for name, about in listing(kind).items()]
    return "\n".join(lines) + "\n"


def thing(name: str, one: type) -> Iterator[str]:
    """What is said of one class with a name."""
    yield from (f"### `{name}` {{ #{one.__module__.split('.')[1]}-{name} }}", "", introduction(one))
    schema, about = TypeAdapter(one).json_schema(), described(one)
    own = schema.get("properties", {})
    dropped = {key for key in own if LEARNED in about.get(key, "") or (key in ("name", "names") and key not in about)}
    if one.__module__.startswith("mtl_search.tasks"):
        dropped |= {"name", *(key for key in own if key in FOLLOW)}
    if left := {key: value for key, value in own.items() if key not in dropped}:
        yield ""
        yield from rows({**schema, "properties": left}, about, f"{name}.")


def commands_page() -> str:
    """The commands, with their arguments and options."""
    group = get_command(app)
    lines = ["# Commands", "", "`mtl-search COMMAND --help` says the same. `-h` stands for `--help`.", ""]
    lines += [
        "Exit status: 0 done, 1 ended short of what was asked, 2 the input is wrong, 130 interrupted.",
    ]
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        with typer.Context(command, info_name=f"mtl-search {name}") as context:
            usage = " ".join(command.get_usage(context).removeprefix("Usage: ").split())
        lines += ["", f"## {name}", "", f"`{usage}`", "", *inspect.cleandoc(command.help).splitlines(), ""]
        lines += ["| | |", "|---|---|", *(parameter(one) for one in command.params if one.name != "help")]
    return "\n".join(lines) + "\n"


def parameter(one: Any) -> str:
    """A row of a table about an argument or an option."""
    about = " ".join((one.help or "").split()).replace("|", "\\|").replace("<", "&lt;")
    if one.param_type_name == "argument":
        return f"| `{one.metavar}` | {about} |"
    value = "" if one.is_flag else f" {one.metavar or one.name.upper()}"
    fallback = one.default if isinstance(one.default, int | str) and not one.is_flag and one.default != "" else None
    return f"| `{', '.join(one.opts)}{value}` | {about}{f' Default: `{fallback}`.' if fallback is not None else ''} |"


PAGES = {
    "reference-experiment.md": experiment_page,
    "reference-options.md": options_page,
    "reference-commands.md": commands_page,
}
"""Name of a page -> what writes it."""

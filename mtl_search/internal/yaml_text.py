"""YAML: the only place that reads and writes it. What is read is plain data within limits that are checked first."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

from mtl_search.errors import UserError
from mtl_search.internal.characters import cut, is_broken, printable, quoted
from mtl_search.internal.reading import DEPTH

WIDTH = 110
"""Characters of a line of YAML that is written: what is chosen for a layer stands in one."""
NODES = 100_000
"""Values of a document, those behind an alias counted each time. The rows of a split are the longest list in use."""
LONGEST = 80
"""Characters of a number: 64 bits written as ones and zeros, with room for their underscores."""
LARGEST = 2**63 - 1
"""Largest whole number: what 64 bits hold, so that nothing after us stumbles over it."""
TIME, INTEGER, FLOAT, MERGE, TEXT = (
    f"tag:yaml.org,2002:{kind}" for kind in ("timestamp", "int", "float", "merge", "str")
)


def parse_yaml(text: str) -> Any:
    """The plain data that a YAML text describes.

    :raises UserError: If it is no YAML, or is too large or nested too deep, its aliases counted as what they stand for;
        has a key twice, a number that is not finite or too long, a date or a tag.
    """
    if is_broken(text):
        raise UserError("is not YAML: it holds half of a pair of characters.")
    try:
        _check_size(text)
        return yaml.load(text, Loader=_Loader)
    except _RefusedError as error:
        raise UserError(f"line {error.line}: {error.problem}.") from error
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        context = f"{error.context}, " if error.context else ""
        raise UserError(f"is not YAML: {where}{_one_line(f'{context}{error.problem}')}.") from error
    except yaml.YAMLError as error:
        raise UserError(f"is not YAML: {_one_line(str(error))}.") from error


def as_yaml(data: Any) -> str:
    """Plain data as a YAML text."""
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, default_flow_style=None, width=WIDTH)
    return text


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


@dataclass
class _Open:
    """A map or a list that has begun: what it holds so far, and how deep that is nested."""

    anchor: str | None
    nodes: int = 1
    depth: int = 1

    def add(self, nodes: int, depth: int) -> None:
        self.nodes += nodes
        self.depth = max(self.depth, depth + 1)


def _check_size(text: str) -> None:
    """Go through a document and count, without building anything."""
    outer = _Open(None)
    opened, anchors = [outer], {}
    for event in yaml.parse(text, Loader=_Loader):
        tag = getattr(event, "tag", None)
        as_text = tag == TEXT and isinstance(event, yaml.ScalarEvent)
        if tag not in (None, "!") and not as_text:
            raise _too_much(event, f"plain data only, but the tag is {quoted(str(tag))}")
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(_Open(event.anchor))
        elif isinstance(event, yaml.CollectionEndEvent):
            ended = opened.pop()
            anchors[ended.anchor] = ended
            opened[-1].add(ended.nodes, ended.depth)
        elif isinstance(event, yaml.ScalarEvent):
            anchors[event.anchor] = _Open(None, 1, 0)
            opened[-1].add(1, 0)
        elif isinstance(event, yaml.AliasEvent):
            if any(one.anchor == event.anchor for one in opened):
                raise _too_much(event, "no alias inside of what it stands for")
            meant = anchors.get(event.anchor, _Open(None))
            opened[-1].add(meant.nodes, meant.depth)
        if len(opened) - 1 + opened[-1].depth - 1 > DEPTH:
            raise _too_much(event, f"at most {DEPTH} maps or lists inside each other")
        if sum(one.nodes for one in opened) > NODES:
            raise _too_much(event, f"at most {NODES:,} values, those of aliases counted each time")


def _too_much(event: Any, rule: str) -> UserError:
    return UserError(f"line {event.start_mark.line + 1}: must hold {rule}.")


class _Loader(yaml.CSafeLoader):
    """The safe loader, refusing what it would pass over in silence, or take for something else than is written."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """A map, no key of which stands twice."""
        keys = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _RefusedError(key, "a key must be a text or a number")
            if key.tag == MERGE:
                continue
            value = self.construct_object(key, deep=True)
            if value in keys:
                raise _RefusedError(key, f"key `{printable(cut(str(value)))}` stands twice")
            keys.add(value)
        return super().construct_mapping(node, deep)

    def number(self, node: yaml.ScalarNode) -> int | float:
        """A number of a size that others can take."""
        if len(node.value) > LONGEST:
            raise _RefusedError(node, f"a number must have at most {LONGEST} characters, but got {len(node.value):,}")
        try:
            build = self.construct_yaml_int if node.tag == INTEGER else self.construct_yaml_float
            value: int | float = build(node)
        except ValueError as error:  # "0b" and "-_" look like numbers to YAML
            raise _RefusedError(node, f"{quoted(node.value)} is no number: write a text between quotes") from error
        if not math.isfinite(value) or (isinstance(value, int) and abs(value) > LARGEST):
            raise _RefusedError(node, f"a number must be finite and below 2^63, but got {quoted(node.value)}")
        return value

    def time(self, node: yaml.ScalarNode) -> None:
        """YAML would make a date of it, which no setting is."""
        raise _RefusedError(node, f"{quoted(node.value)} is read as a date: write it between quotes")


class _RefusedError(yaml.YAMLError):
    """What is YAML, and still is not taken."""

    def __init__(self, node: Any, problem: str) -> None:
        super().__init__(problem)
        self.line = node.start_mark.line + 1
        self.problem = problem


_Loader.add_constructor(INTEGER, _Loader.number)
_Loader.add_constructor(FLOAT, _Loader.number)
_Loader.add_constructor(TIME, _Loader.time)

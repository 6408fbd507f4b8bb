"""Changes to what a YAML or JSON file says: values, keys and whole branches of its tree."""

import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from random import Random
from typing import Any

import nasty
import yaml

NAMING = {"name", "method", "kind", "bank", "sampler", "balancing", "dataset"}
"""Keys whose values name what is loaded."""

Place = tuple[Any, ...]
"""Keys and numbers that lead from the root of a tree to a value."""


def changed_json(data: bytes, other: bytes, random: Random) -> bytes:
    """A JSON text with one or two changes."""
    tree, raw = _changed(json.loads(data), json.loads(other), nasty.JSON, random)
    text = json.dumps(tree, indent=2)
    for mark, value in raw.items():
        text = text.replace(json.dumps(mark), value)
    return text.encode(errors="surrogatepass")


def changed_yaml(data: bytes, other: bytes, random: Random) -> bytes:
    """A YAML text with one or two changes."""
    tree, raw = _changed(yaml.safe_load(data), yaml.safe_load(other), nasty.YAML, random)
    text = yaml.dump(tree, Dumper=_Plain, sort_keys=False, allow_unicode=random.random() < 0.5, width=10**6)
    for mark, value in raw.items():
        text = text.replace(mark, value)
    return text.encode(errors="surrogatepass")


class _Plain(yaml.SafeDumper):
    """Writes what is used twice twice, not as an alias."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _changed(tree: Any, other: Any, values: tuple[str, ...], random: Random) -> tuple[Any, Mapping[str, str]]:
    """A changed tree, and what is to stand in the text in the place of its marks."""
    tree, raw = deepcopy(tree), dict[str, str]()
    for number in range(random.choice((1, 1, 1, 2))):
        places = [place for place in _places(tree) if place]
        if not places:
            break
        mark = f"MARK{number}MARK"
        place = random.choice(places)
        change = random.choice((_replace, _replace, _replace, _remove, _rename, _double, _add, _graft, _wrap, _retype))
        change(tree, place, mark, other, random)
        raw[mark] = random.choice(values) if change in (_replace, _add) else str(place[-1])
    return tree, raw


def _places(tree: Any, before: Place = ()) -> Iterator[Place]:
    yield before
    inside = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in inside:
        yield from _places(value, (*before, key))


def _at(tree: Any, place: Place) -> Any:
    for key in place:
        tree = tree[key]
    return tree


def _replace(tree: Any, place: Place, mark: str, other: Any, random: Random) -> None:
    """A value becomes a nasty one, as it stands or as a text; what names something often names somebody's code."""
    texts = nasty.CODE if place[-1] in NAMING and random.random() < 0.5 else nasty.TEXTS
    _at(tree, place[:-1])[place[-1]] = mark if random.random() < 0.7 else random.choice(texts)


def _remove(tree: Any, place: Place, mark: str, other: Any, random: Random) -> None:
    del _at(tree, place[:-1])[place[-1]]


def _rename(tree: Any, place: Place, mark: str, other: Any, random: Random) -> None:
    """A key becomes a nasty text, or another key of the same tree."""
    keys = [str(one[-1]) for one in _places(tree) if one]
    _put_key(tree, place, random.choice((*nasty.TEXTS, *keys)), keep=False)


def _double(tree: Any, place: Place, mark: str, other: Any, random: Random) -> None:
    """A key stands twice: the mark becomes its text."""
    _put_key(tree, place, mark, keep=True)


def _put_key(tree: Any, place: Place, key: str, keep: bool) -> None:
    above = _at(tree, place[:-1])
    if isinstance(above, list):
        above.insert(place[-1], deepcopy(above[place[-1]]))
        return
    items = list(above.items())
    above.clear()
    for name, value in items:
        if name != place[-1] or keep:
            above[name] = value
        if name == place[-1]:
            above[key] = deepcopy(value)


def _add(tree: Any, place: Place, mark: str, other: Any, random: Random) -> None:
    """A value more."""
    above = _at(tree, place[:-1])
    if isinstance(above, list):
        above.insert(place[-1], mark)
    else:
        above[random.choice(("more", "name", "kind", "file", "options"))] = mark


def _graft(tree: Any, place: Place, mark: str, other: Any, random: Random) -> None:
    """A branch of another place or of another tree in the place of a value."""
    donor = random.choice((tree, other))
    _at(tree, place[:-1])[place[-1]] = deepcopy(_at(donor, random.choice(list(_places(donor)))))


def _wrap(tree: Any, place: Place, mark: str, other: Any, random: Random) -> None:
    value = _at(tree, place)
    _at(tree, place[:-1])[place[-1]] = random.choice(([value], [value, value], {"a": value}, [[value]] * 100))


def _retype(tree: Any, place: Place, mark: str, other: Any, random: Random) -> None:
    """A number as a text, a list as a mapping and so on."""
    value = _at(tree, place)
    if isinstance(value, dict):
        made: Any = list(value) if random.random() < 0.5 else list(value.values())
    elif isinstance(value, list):
        made = dict(enumerate(value)) if random.random() < 0.5 else str(value)
    else:
        made = random.choice((str(value), bool(value), [value] * 2, None))
    _at(tree, place[:-1])[place[-1]] = made

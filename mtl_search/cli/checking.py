"""What an experiment and its data hold, as text for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from textwrap import wrap
from typing import Any

from mtl_search.internal.characters import cut, printable
from mtl_search.reporting.text import count
from mtl_search.searching.check import CheckedExperiment

WIDTH = 80
"""Columns of a terminal that the text fits into."""
INDENT = 16
"""Columns before the texts: two blanks, the longest of the names, `architectures`, and one blank."""
LISTED = 12
"""Classes and labels of a task that are listed; of more the first ones."""
NOTED = 6
"""Columns of a table of which is told what was done to their cells; of more the first ones."""
COSTS = (("learnable_parameters", "learnable"), ("fixed_parameters", "fixed"), ("macs", "MACs"))
LEFT, RIGHT = 44, 12
"""Columns of the text that rows of a table begin with, and of each of its numbers."""


def check_text(found: CheckedExperiment) -> str:
    """What :func:`~mtl_search.searching.check.check` found, for a terminal of 80 columns."""
    lines = [
        f"{found.name}: valid",
        *_entry("dataset", f"{found.dataset}, {', '.join(f'{n:,} {name}' for name, n in found.samples.items())}"),
        *_entry("inputs", _inputs_text(found.inputs)),
        *(line for text in _notes(found.inputs) for line in _entry("", text)),
        *_entry("architectures", f"{found.architectures:,}"),
        *(line for name, text in found.training.items() for line in _entry(name.replace("_", " "), text)),
        *(line for name, title in COSTS for line in _entry(title, _range_text(found, name))),
        *(_entry("embedding", f"{_range_text(found, 'embedding_parameters')}, besides") if _embeds(found) else ()),
        *_entry("search", f"{found.trials} trials of {found.epochs} epochs, {found.sampler}"),
    ]
    lines += [line for text in found.remarks for line in _entry("remark", text)]
    for task in found.tasks:
        lines += ["", *_task_lines(task, found.samples)]
    return "\n".join(lines)


def _entry(name: str, text: str) -> list[str]:
    """A line with a name before it, wrapped."""
    first, *more = wrap(printable(text), WIDTH - INDENT, break_on_hyphens=False) or [""]
    return [f"  {name:{INDENT - 3}} {first}", *(" " * INDENT + line for line in more)]


def _embeds(found: CheckedExperiment) -> bool:
    return found.embedding_parameters[1] > 0


def _range_text(found: CheckedExperiment, name: str) -> str:
    low, high = getattr(found, name)
    return f"{'about ' if found.costs_are_about else ''}{low:,}{f' to {high:,}' if high > low else ''}"


def _inputs_text(inputs: Mapping[str, Any]) -> str:
    if inputs["kind"] == "image":
        channels, height, width = inputs["shape"]
        return f"images of {width} x {height} pixels, {count(channels, 'channel', 'channels')}, {inputs['type']}"
    if inputs["kind"] == "sequence":
        return _sequences_text(inputs)
    features = inputs.get("features", [])
    shown = f": {', '.join(features[:LISTED])}" if features else ""
    more = f" and {len(features) - LISTED} more" if len(features) > LISTED else ""
    return f"{inputs['shape'][0]} features{shown}{more}"


def _sequences_text(inputs: Mapping[str, Any]) -> str:
    shortest, median, longest = inputs["lengths"]
    long = f"{shortest} to {longest} positions, {median:g} in the middle"
    if "tokens" not in inputs:
        return f"sequences of {long}, {count(inputs['shape'][1], 'channel', 'channels')}"
    unseen = inputs["unseen_tokens"]
    more = f", of which {unseen:,} in no training sample" if unseen else ""
    return f"sequences of {long}, {inputs['tokens']:,} different tokens{more}"


def _notes(inputs: Mapping[str, Any]) -> Iterator[str]:
    """What was done to the columns of a table, and what the dataset remarks on."""
    filled, unknown = inputs.get("filled", {}), inputs.get("unknown_categories", {})
    for name, value in islice(filled.items(), NOTED):
        yield f"empty cells of {name} are filled with {value:.6g}"
    if len(filled) > NOTED:
        yield f"and those of {len(filled) - NOTED:,} more columns alike"
    for name, rows in islice(unknown.items(), NOTED):
        yield f"{rows:,} rows hold a category of {name} that no training row has"
    if len(unknown) > NOTED:
        yield f"and so do rows of {len(unknown) - NOTED:,} more columns"
    yield from inputs.get("notes", ())


def _task_lines(task: Mapping[str, Any], samples: Mapping[str, int]) -> Iterator[str]:
    """A small table of a task: a column for each split."""
    yield _row(f"  {task['name']}: {task['kind']}{' (found)' if task['kind_found'] else ''}", list(samples))
    rows = task.get("classes") or task.get("labels") or []
    of_labels = "labels" in task
    totals = {split: samples[split] if of_labels else sum(row[split] for row in rows) for split in samples}
    for row in rows[:LISTED]:
        yield _row(f"    {row['name']}", [_share(row[split], totals[split], task["dense"]) for split in samples])
    if len(rows) > LISTED:
        yield f"    and {len(rows) - LISTED} more"
    ranges = task.get("ranges", {})
    for number, what in enumerate(("lowest", "highest") if ranges else ()):
        yield _row(f"    {what}", [f"{ranges[split][number]:.6g}" if ranges[split] else "-" for split in samples])
    if any(task["missing"].values()):
        what = "missing pixels" if task["dense"] else "missing"
        yield _row(f"    {what}", [f"{task['missing'][split]:,}" for split in samples])


def _row(name: str, cells: Sequence[str]) -> str:
    shown = cut(printable(name), LEFT)
    return f"{shown:{LEFT}}{''.join(f'{cell:>{RIGHT}}' for cell in cells)}"


def _share(part: int, total: int, dense: bool) -> str:
    """How many, and in percent; of pixels in percent alone."""
    share = f"{part / total:>4.0%}" if total else "   -"
    return share if dense else f"{part:,} {share}"

"""Writes what the tables say into docs/tables.md: every number of it comes from the tables, bit for bit.

python benchmarks/tables/page.py            # writes the page and its figures
python benchmarks/tables/page.py --check    # status 1 where they are not what the tables say
"""

import argparse
import itertools
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from mtl_search.metrics.intervals import Interval, interval
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.tables import Table, load_table, table_names
from mtl_search.tables.trainings import Array

PAGE = Path(__file__).parents[2] / "docs" / "tables.md"
BEGIN = "<!-- What follows is written by benchmarks/tables/page.py from the tables. -->"
TOP = 0.25
"""Share of the architectures, the best ones, among which an order is hardest to tell."""
Pair = tuple[int, int]
"""Places of two architectures that differ in one choice."""


@dataclass(frozen=True)
class Effect:
    """What changing one choice does, everything else equal.

    :param place: Where: a layer or a stage, or the whole network.
    :param change: What, from an option to another.
    :param pairs: The architectures before and after.
    :param gain: In quality, in points; mean and 95 % interval over the pairs.
    :param parameters: Factor on the learnable parameters, the geometric mean.
    """

    place: str
    change: str
    pairs: tuple[Pair, ...]
    gain: Interval
    parameters: float


def effects(table: Table) -> list[Effect]:
    """The effects of all single changes: from each option to the next one, from every bank to every later one."""
    found: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    places = {architecture: place for place, architecture in enumerate(table.architectures)}
    for architecture, place in places.items():
        for where, change, other in _changes(table, architecture):
            if other in places:
                found[where, change].append((place, places[other]))
    return [_effect(table, where, change, pairs) for (where, change), pairs in sorted(found.items())]


def _changes(table: Table, architecture: Architecture) -> Iterator[tuple[str, str, Architecture]]:
    """Where, what, and the architecture after it."""
    space = table.space
    for before, after in itertools.pairwise(sorted(space.width_multiplier)):
        if architecture.width_multiplier == before:
            yield "all", f"width ×{before:g} → ×{after:g}", replace(architecture, width_multiplier=after)
    for number, group in enumerate(space.groups()):
        options, choice = space.layers[group[0]], architecture.layers[group[0]]
        where = f"{number + 1} of {len(space.groups())}"
        for change, other in _other_choices(options.bank, options.shared_ratio, options.branch_depth, choice):
            layers = list(architecture.layers)
            layers[group.start : group.stop] = [other] * len(group)
            yield where, change, replace(architecture, layers=tuple(layers))


def _other_choices(
    banks: Sequence[str], ratios: Sequence[float], depths: Sequence[int], choice: LayerChoice
) -> Iterator[tuple[str, LayerChoice]]:
    for bank in banks[banks.index(choice.bank) + 1 :]:
        yield f"bank {choice.bank} → {bank}", replace(choice, bank=bank)
    for before, after in itertools.pairwise(sorted(ratios, reverse=True)):
        if choice.shared_ratio == before:
            depth = choice.branch_depth or min(depths)
            yield f"shared {before:.0%} → {after:.0%}", LayerChoice(choice.bank, after, depth)
    for before, after in itertools.pairwise(sorted(depths)):
        if choice.shared_ratio < 1 and choice.branch_depth == before:
            yield f"depth {before} → {after}", replace(choice, branch_depth=after)


def _effect(table: Table, where: str, change: str, pairs: Sequence[Pair]) -> Effect:
    before, after = np.array(pairs).T
    parameters = np.log(table.values("learnable_parameters")[:, 0])
    return Effect(
        where,
        change,
        tuple(pairs),
        interval((100 * (table.mean[after] - table.mean[before])).tolist()),
        float(np.exp((parameters[after] - parameters[before]).mean())),
    )


def separating(table: Table) -> dict[str, tuple[float, float]]:
    """Task -> its mean cosine with the others before it is given features of its own, and what that gains, in points.

    Over all pairs of architectures of which one shares all of a layer that the other shares in part.
    """
    pairs = [pair for effect in effects(table) if effect.change.startswith("shared 100%") for pair in effect.pairs]
    before, after = np.array(pairs).T
    found = {}
    for task in table.tasks:
        quality = table.trainings.qualities[task.name][..., -1].mean(axis=1)
        cosines = [values for names, values in table.trainings.cosines.items() if task.name in names]
        mean = np.nanmean(np.stack(cosines), axis=(0, 2))
        found[task.name] = float(mean[before].mean()), float(100 * (quality[after] - quality[before]).mean())
    return found


def orders(table: Table) -> list[tuple[int, float, float, float]]:
    """After each epoch Kendall's tau with the means of the other seeds at the end.

    :returns: Epoch; of single trainings among all, and among the best quarter by these means; of means over seeds of
        that epoch with means over seeds at the end, which they share the noise of.
    """
    last, rows = table.values("accuracy"), []
    others = [np.delete(last, n, axis=1).mean(axis=1) for n in range(last.shape[1])]
    for epoch in range(1, table.epochs + 1):
        now = table.values("accuracy", epoch)
        taus = [_taus(now[:, n], means) for n, means in enumerate(others)]
        single, best = (statistics.fmean(column) for column in zip(*taus, strict=True))
        rows.append((epoch, single, best, _tau(now.mean(axis=1), last.mean(axis=1))))
    return rows


def _taus(values: Array, means: Array) -> tuple[float, float]:
    """Among all architectures, and among the best."""
    best = np.argsort(-means, kind="stable")[: max(3, round(TOP * len(means)))]
    return _tau(values, means), _tau(values[best], means[best])


def _tau(first: Array, second: Array) -> float:
    return float(kendalltau(first, second).statistic)


# The page


def numbers(tables: Sequence[Table]) -> str:
    """The part of the page that is written from the tables."""
    parts = [BEGIN, "", "## What they say", ""]
    for table in tables:
        parts += [f"### `{table.name}`", "", *_summary(table), "", f"![Its front]({_figure_path(table)})", ""]
        parts += [*_effect_rows(table), ""]
        parts += [*_separating_rows(table), "", *_order_rows(table), ""]
    return "\n".join(parts).rstrip() + "\n"


def _summary(table: Table) -> list[str]:
    best, noise = table.mean.max(), table.noise
    front = table.true_front()
    return [
        f"{len(table.architectures)} architectures, {len(table.seeds)} seeds. The best mean quality is {best:.2%},",
        f"the worst {table.mean.min():.2%}; {len(front)} architectures are on the front of quality and parameters.",
        f"One training has a standard deviation of {100 * noise:.2f} points around its architecture's mean.",
    ]


def _effect_rows(table: Table) -> Iterator[str]:
    yield "What one choice changes, all others equal. Intervals are over the pairs: how much it depends on the others."
    yield ""
    yield "| place | change | pairs | quality, points | parameters |"
    yield "|---|---|---|---|---|"
    for effect in effects(table):
        gain = _shown(effect.gain)
        yield f"| {effect.place} | {effect.change} | {len(effect.pairs)} | {gain} | ×{effect.parameters:.2f} |"


def _separating_rows(table: Table) -> Iterator[str]:
    found = separating(table)
    cosines, gains = (np.array(column) for column in zip(*found.values(), strict=True))
    yield "Where a layer that was shared whole is shared in part, task by task: the mean cosine of the task's gradient"
    yield "with the others' before, and what the task gains."
    yield ""
    yield "| task | cosine | gain, points |"
    yield "|---|---|---|"
    for task, (cosine, gain) in found.items():
        yield f"| {task} | {cosine:+.3f} | {gain:+.2f} |"
    if len(found) > 2:
        yield ""
        yield f"Kendall's tau between the two columns: {_tau(cosines, gains):+.2f}, over {len(found)} tasks; below 0 if"
        yield "conflicts tell who gains."


def _order_rows(table: Table) -> Iterator[str]:
    yield "Kendall's tau with the end's means over the other seeds, after each epoch, of single trainings: among all,"
    yield "and among the best quarter. Last column: of the epoch's means over all seeds with the end's."
    yield ""
    yield "| epoch | one training | among the best | mean over seeds |"
    yield "|---|---|---|---|"
    for epoch, single, best, mean in orders(table):
        yield f"| {epoch} | {single:.2f} | {best:.2f} | {mean:.2f} |"


def _shown(found: Interval) -> str:
    if found.low is None or found.high is None:
        return f"{found.mean:+.2f}"
    return f"{found.mean:+.2f} ({found.low:+.2f} to {found.high:+.2f})"


# The figures

WIDTH, HEIGHT, MARGIN = 640, 400, 56
COLOURS = ("#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#8c564b")


def figure(table: Table) -> str:
    """Quality over learnable parameters, means over seeds, and their front, as SVG, coloured by the last ratio."""
    points = table.points()
    low, high = points.min(axis=0), points.max(axis=0)
    unit = (points - low) / np.where(high > low, high - low, 1.0)
    x, y = MARGIN + unit[:, 1] * (WIDTH - 2 * MARGIN), HEIGHT - MARGIN - unit[:, 0] * (HEIGHT - 2 * MARGIN)
    shared = [architecture.layers[-1].shared_ratio for architecture in table.architectures]
    ratios = sorted(set(shared), reverse=True)
    front = [table.place(architecture) for architecture in table.true_front()]
    line = " ".join(f"{x[place]:.1f},{y[place]:.1f}" for place in front)
    dots = [
        f'<circle cx="{x[n]:.1f}" cy="{y[n]:.1f}" r="3" fill="{COLOURS[ratios.index(ratio)]}" fill-opacity="0.6"/>'
        for n, ratio in enumerate(shared)
    ]
    texts = [
        *_ends([f"{10**end:,.0f}" for end in (low[1], high[1])], [f"{end:.1%}" for end in (low[0], high[0])]),
        _text(WIDTH / 2, HEIGHT - 12, f"{table.name}: learnable parameters, logarithmic", "middle"),
        *(
            _text(WIDTH - MARGIN, HEIGHT - MARGIN - 12 - 16 * n, f"shares {ratio:.0%}", "end", COLOURS[n])
            for n, ratio in enumerate(ratios)
        ),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif">'
    drawn = f'<polyline points="{line}" fill="none" stroke="#444444"/>'
    frame = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
    return "\n".join([head, frame, drawn, *dots, *texts, "</svg>"]) + "\n"


def _ends(of_x: Sequence[str], of_y: Sequence[str]) -> Iterator[str]:
    """What stands at the ends of the axes."""
    yield _text(MARGIN, HEIGHT - MARGIN + 20, of_x[0], "middle")
    yield _text(WIDTH - MARGIN, HEIGHT - MARGIN + 20, of_x[1], "middle")
    yield _text(MARGIN - 10, HEIGHT - MARGIN, of_y[0], "end")
    yield _text(MARGIN - 10, MARGIN, of_y[1], "end")


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#444444") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="13" fill="{colour}">{text}</text>'


def files(tables: Sequence[Table]) -> dict[Path, str]:
    """What is written: the page, and a figure for each table."""
    drawn = {PAGE.parent / _figure_path(table): figure(table) for table in tables}
    return {PAGE: written(PAGE.read_text(encoding="utf-8"), tables), **drawn}


def _figure_path(table: Table) -> str:
    return f"tables/{table.name}.svg"


def written(page: str, tables: Sequence[Table]) -> str:
    """The page with the numbers of the tables."""
    kept = page.partition(BEGIN)[0].rstrip() + "\n"
    return kept + "\n" + numbers(tables) if tables else kept


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; status 1 where the page is another")
    given = parser.parse_args(arguments)
    told = files([load_table(name) for name in table_names()])
    if given.check:
        return int(any(not path.exists() or path.read_text(encoding="utf-8") != text for path, text in told.items()))
    for path, text in told.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

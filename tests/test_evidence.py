"""The numbers of the README and of the page about evidence are those in results/examples."""

import csv
import re
import statistics
from pathlib import Path

import pytest

from made_pages import page

EXAMPLES = Path(__file__).parents[1] / "results" / "examples"
ENTRANTS = {
    "hard sharing, 1.5 times as wide": "hard_sharing_widths@1.5",
    "InterroGate, target 0.5": "interrogate@0.5",
    "InterroGate, target 0.05": "interrogate@0.05",
    "InterroGate, target 0.3": "interrogate@0.3",
    "cross-stitch": "cross_stitch",
    "single-task networks": "single_task",
    "Learning to Branch": "learning_to_branch",
    "hard sharing with CAGrad": "balanced@cagrad",
    "hard sharing": "hard_sharing",
    "fixed ETR-NLP, ratio 0.8": "etr_nlp@0.8",
    "CoNAL, which finds no branch": "conal",
    "CoNAL, which parts them all": "conal",
}
"""What an entrant is called in a table -> its name; picks are named by the number of their trial."""
COLUMNS = {
    "test accuracy": ("accuracy", 100),
    "quality": ("accuracy", 100),
    "Delta_m": ("delta_m", 1),
    "learnable parameters": ("learnable_parameters", 1),
    "MACs": ("macs", 1e-6),
    "segmentation, mIoU": ("segmentation/miou", 100),
    "depth, m": ("depth/abs_error", 1),
    "normals": ("normals/mean_angle", 1),
    "edges, F": ("edges/ods_f_score", 100),
}
"""Column of a table -> column of ``baselines.csv``, and the factor to what is shown."""
TRAINING = "training"
"""How the column begins that is in MACs of hard sharing."""
Table = list[dict[str, str]]


def tables(text: str) -> list[Table]:
    """The tables of a page whose first column names entrants."""
    found = []
    for block in re.findall(r"^\| \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, flags=re.MULTILINE):
        head = text[: text.index(block)].rstrip().splitlines()[-2]
        names = [cell.strip() for cell in head.strip("|").split("|")]
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([dict(zip(names, row, strict=True)) for row in rows])
    return [table for table in found if "MACs" in table[0]]


def means(example: str) -> dict[str, dict[str, float]]:
    """Entrant -> the mean over seeds of each number of its trainings."""
    with open(EXAMPLES / example / "baselines.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    found: dict[str, dict[str, float]] = {}
    for entrant in {row["entrant"] for row in rows}:
        own = [row for row in rows if row["entrant"] == entrant]
        numbers = [name for name in own[0] if all(re.fullmatch(r"-?[\d.]+(e-?\d+)?", row[name]) for row in own)]
        found[entrant] = {name: statistics.mean(float(row[name]) for row in own) for name in numbers}
    return found


def entrants(label: str) -> list[str]:
    """The names of the entrants that a row is of: one, or two that are alike."""
    trial = re.search(r"\(trial (\d+)\)", label)
    return [f"trial-{trial[1]}"] if trial else [ENTRANTS[one] for one in label.split("; ")]


def assert_shows(cell: str, values: list[float], place: str) -> None:
    """A cell holds values, each rounded to the digits that it has; one for all, or one for each."""
    parts = cell.split("; ")
    for part, value in zip(parts, values, strict=False):
        number = re.sub(r"[ %M°,+]", "", part)
        half = 0.5 * 10 ** -len(number.partition(".")[2])
        assert abs(float(number) - value) <= half * (1 + 1e-6), f"{place}: {part} is {value}"


@pytest.mark.parametrize(
    ("name", "number", "example"),
    [
        ("README.md", 0, "multi_fashion"),
        ("docs/evidence.md", 0, "multi_fashion"),
        ("docs/evidence.md", 1, "fashion_scenes"),
        ("docs/evidence.md", 2, "qm9"),
    ],
)
def test_a_table_is_of_the_example(name: str, number: int, example: str) -> None:
    known = means(example)
    for row in tables(page(name))[number]:
        label = row[""]
        of = [known[entrant] for entrant in entrants(label.replace("pick of the search", "pick"))]
        for column, cell in row.items():
            if column in COLUMNS:
                source, factor = COLUMNS[column]
                assert_shows(cell, [one[source] * factor for one in of], f"{label}, {column}")
            elif column.startswith(TRAINING):
                unit = known["hard_sharing"]["training_macs"]
                assert_shows(cell, [one["training_macs"] / unit for one in of], f"{label}, {column}")


def test_a_number_that_is_off_is_found_out() -> None:
    assert_shows("85.6 %", [85.64], "x")
    with pytest.raises(AssertionError, match=r"x: 85\.7"):
        assert_shows("85.7 %", [85.64], "x")

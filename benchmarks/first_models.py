"""Seven sets of data that are no part of the package, each taken from its files to predictions with defaults alone.

Each set is written to files as a user would have them, 15 % of it for validation and 15 % for the test. Then run
``init``, ``search``, ``compare``, ``export`` and ``predict``, with no option but the names of the tasks. What is
predicted for the test rows is compared with the best constant, and with scikit-learn's perceptron: a network for each
task with two hidden layers, which have as many parameters together as the exported network has learnable ones, with
everything else by default but for 1,000 iterations, trained on the training rows and on those of validation, too.
It is not tuned, where ours is the best of 40 trainings on the validation rows: what is compared is what each gives
without a word from the user, not two methods at equal tuning.

- ``ours``: of the exported network, one training, chosen on the validation rows, trained on the training rows;
- ``MLP``: mean of five seeds, and ``+-`` their standard deviation;
- ``constant``: of the most frequent class, label or pixel, or the mean;
- ``se``: standard error of a score from so many test rows (of an accuracy; by resampling for the others).

Scores are accuracy for classes, R2 for numbers, F1 over all labels for tags, and the mean over classes of intersection
over union for masks, in percent.

    python benchmarks/first_models.py [NAME ...] --out FOLDER [--csv FOLDER]

The same command again goes on where it stopped.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn import datasets as sets
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from measured import Table, add_option

SEEDS = 5
COLUMNS = {
    "data": "",
    "task": "",
    "rows": "",
    "parameters": ",",
    "ours": ".1f",
    "MLP": ".1f",
    "+-": ".1f",
    "constant": ".1f",
    "se": ".1f",
}
Values = NDArray[Any]
Truth = dict[str, Values]
"""Task -> labels of all rows: texts or numbers, NaN or empty where missing; of tags lists of 0 and 1; of masks maps."""


class Data:
    """A set as it is written, and its labels.

    :param inputs: ``[samples, ...]``, for the perceptron.
    :param truth: Labels of all rows.
    :param kinds: Task -> ``class``, ``number``, ``tags`` or ``mask``.
    """

    def __init__(self, inputs: Values, truth: Truth, kinds: dict[str, str]) -> None:
        self.inputs, self.truth, self.kinds = inputs, truth, kinds
        rng = np.random.default_rng(0)
        self.split = np.array(["train", "val", "test"])[
            np.searchsorted([0.7, 0.85], rng.permutation(len(inputs)) / len(inputs), side="right")
        ]


def wine(folder: Path) -> tuple[Data, Path]:
    """178 wines: their grower, and their alcohol."""
    found = sets.load_wine(as_frame=True)
    frame = found.frame.rename(columns={"target": "grower"}).assign(grower=lambda table: "g" + table.grower.astype(str))
    return _table(folder, frame, {"grower": "class", "alcohol": "number"})


def diabetes(folder: Path) -> tuple[Data, Path]:
    """442 patients: the progression of diabetes after a year, and their blood pressure."""
    found = sets.load_diabetes(as_frame=True, scaled=False)
    frame = found.frame.rename(columns={"target": "progression"})
    return _table(folder, frame, {"progression": "number", "bp": "number"})


def cancer(folder: Path) -> tuple[Data, Path]:
    """569 tumours: benign or not, and their worst area; 40 % and 20 % of the labels are missing."""
    found, rng = sets.load_breast_cancer(as_frame=True), np.random.default_rng(1)
    frame = found.frame.drop(columns=["area error", "mean area"])
    frame = frame.rename(columns={"target": "diagnosis", "worst area": "worst_area"})
    frame["diagnosis"] = np.where(
        rng.random(len(frame)) < 0.4, "", np.where(frame.diagnosis == 1, "benign", "malignant")
    )
    frame["worst_area"] = frame.worst_area.where(rng.random(len(frame)) > 0.2)
    return _table(folder, frame, {"diagnosis": "class", "worst_area": "number"})


def tags(folder: Path) -> tuple[Data, Path]:
    """1,000 made rows: which of five tags they have, in one cell, and how many."""
    inputs, labels = sets.make_multilabel_classification(1000, 20, n_classes=5, n_labels=2, random_state=0)
    frame = pd.DataFrame(inputs, columns=[f"word {number}" for number in range(20)])
    names = np.array(["cat", "bird", "fish", "dog", "ant"])
    frame["seen"] = ["|".join(names[row == 1]) or "|" for row in labels]
    frame["many"] = np.where(labels.sum(axis=1) > 2, "yes", "no")
    data, path = _table(folder, frame, {"seen": "tags", "many": "class"})
    data.truth["seen"] = labels[:, np.argsort(names)]
    return data, path


def digits(folder: Path) -> tuple[Data, Path]:
    """1,797 pictures of digits: which, whether even, and how much ink; in an npz file."""
    found = sets.load_digits()
    truth = {"digit": found.target, "even": found.target % 2, "ink": found.images.mean(axis=(1, 2)).astype(np.float32)}
    data = Data(
        found.images.reshape(len(found.images), -1), truth, {"digit": "class", "even": "class", "ink": "number"}
    )
    pictures = (found.images * 15).astype(np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "digits.npz", images=pictures, **{**truth, "split": data.split})  # type: ignore[arg-type]
    np.savez(folder / "new.npz", images=pictures[data.split == "test"])
    return data, folder / "digits.npz"


def pictures(folder: Path) -> tuple[Data, Path]:
    """900 pictures of a digit on a rough ground: which digit, and where it is; files, masks and a table."""
    found, rng = sets.load_digits(), np.random.default_rng(2)
    shown, masks, rows = [], [], []
    for part in ("photos/masks", "new"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for number in range(900):
        ink = np.kron(found.images[number] / 16, np.ones((2, 2)))
        top, left = rng.integers(0, 8, 2)
        picture, mask = rng.normal(0.35, 0.08, (24, 24)), np.zeros((24, 24), np.uint8)
        picture[top : top + 16, left : left + 16] += 0.5 * ink
        mask[top : top + 16, left : left + 16] = ink > 0.4
        shown.append(np.uint8(255 * picture.clip(0, 1)))
        masks.append(mask)
        rows.append((f"{number}.png", f"masks/{number}.png", found.target[number]))
    data = Data(
        np.array(shown).reshape(900, -1) / 255,
        {"digit": found.target[:900], "mask": np.array(masks)},
        {"digit": "class", "mask": "mask"},
    )
    for number, part in enumerate(data.split):
        Image.fromarray(shown[number]).save(folder / f"photos/{number}.png")
        Image.fromarray(masks[number]).save(folder / f"photos/masks/{number}.png")
        if part == "test":
            Image.fromarray(shown[number]).save(folder / f"new/{number:04}.png")
    frame = pd.DataFrame(rows, columns=["file", "mask", "digit"]).assign(part=data.split)
    frame.to_csv(folder / "photos/labels.csv", index=False)
    return data, folder / "photos"


def friedman(folder: Path) -> tuple[Data, Path]:
    """1,200 made rows, two of Friedman's functions of them, as a dataset of torch."""
    inputs, first = sets.make_friedman1(1200, noise=1.0, random_state=0)
    second = np.arctan(4 * inputs[:, 0] - inputs[:, 3] / (0.2 + inputs[:, 1])) + inputs[:, 9]
    return Data(inputs, {"first": first, "second": second}, {"first": "number", "second": "number"}), folder


def _table(folder: Path, frame: pd.DataFrame, kinds: dict[str, str]) -> tuple[Data, Path]:
    """A CSV file of all rows with their splits, and one of the test rows without labels."""
    folder.mkdir(parents=True, exist_ok=True)
    inputs = frame.drop(columns=list(kinds))
    data = Data(inputs.to_numpy(float), {name: frame[name].to_numpy() for name in kinds}, kinds)
    frame.assign(part=data.split).to_csv(folder / f"{folder.name}.csv", index=False)
    inputs[data.split == "test"].to_csv(folder / "new.csv", index=False)
    return data, folder / f"{folder.name}.csv"


SETS: dict[str, Callable[[Path], tuple[Data, Path]]] = {
    one.__name__: one for one in (wine, diabetes, cancer, tags, digits, pictures, friedman)
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SETS)}; all if left out")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    add_option(parser)
    arguments = parser.parse_args()
    table = Table(COLUMNS, arguments.csv)
    for name in arguments.names or SETS:
        folder = arguments.out / name
        data, path = SETS[name](folder / "data" / name)
        if not (folder / "predictions.csv").is_file():
            train(folder, name, data, path)
        compare(table, folder, name, data)


def train(folder: Path, name: str, data: Data, path: Path) -> None:
    """From files to predictions, by the commands of a user; the dataset of torch by Python."""
    run, tasks = folder / "run", ",".join(data.kinds)
    if run.is_dir():
        _command("resume", run)
    elif name == "friedman":
        code = f"import first_models; first_models.search_in_memory({str(path)!r}, {str(run)!r})"
        _call([sys.executable, "-c", code], Path(__file__).parent)
        np.savez(folder / "data/new.npz", inputs=data.inputs[data.split == "test"].astype(np.float32))
    else:
        (folder / f"{name}.yaml").unlink(missing_ok=True)
        _command("init", path, "--tasks", tasks, "--out", folder / f"{name}.yaml")
        _command("check", folder / f"{name}.yaml")
        _command("search", folder / f"{name}.yaml", "--out", run)
    _command("compare", run)
    _command("export", run)
    new = next(path for path in (folder / "data").rglob("new*"))
    _command("predict", next((run / "exports").iterdir()), new, "--out", folder / "predictions.csv")


def search_in_memory(folder: str, run: str) -> None:
    """Search on a dataset of torch, as a user would from Python."""
    import torch
    from torch.utils.data import Dataset

    from mtl_search import dataset_from, search

    class Rows(Dataset[Any]):
        def __init__(self, part: str) -> None:
            self.rows = np.flatnonzero(data.split == part)

        def __len__(self) -> int:
            return len(self.rows)

        def __getitem__(self, place: int) -> tuple[torch.Tensor, dict[str, float]]:
            row = self.rows[place]
            return torch.tensor(data.inputs[row]), {name: float(values[row]) for name, values in data.truth.items()}

    data, _ = friedman(Path(folder))
    search(dataset=dataset_from({part: Rows(part) for part in ("train", "val", "test")}, name="friedman"), out=run)


def _command(*words: object) -> None:
    _call([sys.executable, "-m", "mtl_search.cli", *map(str, words)])


def _call(command: list[str], folder: Path | None = None) -> None:
    print("$", " ".join(command[1:]), file=sys.stderr, flush=True)
    subprocess.run(command, check=True, stdout=sys.stderr, cwd=folder)


def compare(table: Table, folder: Path, name: str, data: Data) -> None:
    """Scores of the predictions, of the perceptron and of the best constant on the test rows."""
    predicted = pd.read_csv(folder / "predictions.csv", keep_default_na=False)
    card = json.loads(next((folder / "run/exports").rglob("model_card.json")).read_text(encoding="utf-8"))
    parameters = card["cost"]["learnable_parameters"]
    for task, kind in data.kinds.items():
        truth, test = data.truth[task], data.split == "test"
        there = _there(truth)
        fitted = _scaled(data.inputs, ~test), truth, ~test & there
        expected, ours = truth[test & there], _read(predicted, task, kind, folder)[there[test]]
        each = parameters // len(data.kinds)
        others = [_perceptron(*fitted, kind, each, seed, test & there) for seed in range(SEEDS)]
        scores = [score(kind, expected, other) for other in others]
        constant = _constant(kind, truth[~test & there], len(expected))
        table.add(
            name,
            task,
            str(len(expected)),
            parameters,
            score(kind, expected, ours),
            float(np.mean(scores)),
            float(np.std(scores, ddof=1)),
            score(kind, expected, constant),
            _error(kind, expected, ours),
        )


def _there(truth: Values) -> Values:
    """Which labels are not missing."""
    return np.ones(len(truth), bool) if truth.ndim > 1 else ~pd.isna(truth) & (truth != "")


def score(kind: str, truth: Values, predicted: Values) -> float:
    """In percent."""
    if kind == "number":
        return 100 * float(r2_score(truth.astype(float), predicted.astype(float)))
    if kind == "tags":
        return 100 * float(f1_score(truth, predicted, average="micro", zero_division=0))
    if kind == "mask":
        return 100 * float(jaccard_score(truth.ravel(), predicted.ravel(), average="macro", zero_division=0))
    return 100 * float(accuracy_score(truth.astype(str), predicted.astype(str)))


def _error(kind: str, truth: Values, predicted: Values) -> float:
    """Standard error of the score, by drawing the test rows again."""
    rng = np.random.default_rng(0)
    drawn = [rng.integers(0, len(truth), len(truth)) for _ in range(100)]
    return float(np.std([score(kind, truth[rows], predicted[rows]) for rows in drawn], ddof=1))


def _read(predicted: pd.DataFrame, task: str, kind: str, folder: Path) -> Values:
    """What was predicted for the test rows, as the labels are."""
    cells = predicted[task].to_numpy()
    if kind == "tags":
        names = sorted(column.split("/")[1] for column in predicted if column.startswith(f"{task}/"))
        return np.array([[int(name in str(cell).split("|")) for name in names] for cell in cells])
    if kind == "mask":
        return np.array([np.asarray(Image.open(folder / cell)) for cell in cells])
    return cells.astype(float) if kind == "number" else cells


def _scaled(inputs: Values, rows: Values) -> Values:
    scaled: Values = StandardScaler().fit(inputs[rows]).transform(inputs)
    return scaled


def _perceptron(
    inputs: Values, truth: Values, rows: Values, kind: str, parameters: int, seed: int, asked: Values
) -> Values:
    """Predictions of a perceptron of so many parameters for the rows that are asked about."""
    outputs = truth[0].size if kind in ("tags", "mask") else len(set(truth[rows].tolist())) if kind == "class" else 1
    width = _width(inputs.shape[1], outputs, parameters)
    options = {"hidden_layer_sizes": (width, width), "max_iter": 1000, "random_state": seed}
    if kind == "number":
        mean, deviation = truth[rows].astype(float).mean(), truth[rows].astype(float).std()
        network = MLPRegressor(**options).fit(inputs[rows], (truth[rows].astype(float) - mean) / deviation)
        return np.asarray(network.predict(inputs[asked]) * deviation + mean)
    target = truth[rows].reshape(rows.sum(), -1) if kind == "mask" else truth[rows]
    found = MLPClassifier(**options).fit(inputs[rows], target).predict(inputs[asked])
    return np.asarray(found).reshape(-1, *truth.shape[1:])


def _width(inputs: int, outputs: int, parameters: int) -> int:
    """Units of each of two hidden layers, so that the network has about as many parameters; at least 2."""
    width = 2
    while (inputs + 1 + width + 1 + 1 + outputs) * (width + 1) + outputs <= parameters:
        width += 1
    return width


def _constant(kind: str, truth: Values, count: int) -> Values:
    """The best answer that is the same for all rows: for tags and masks that of each label and pixel."""
    if kind == "number":
        return np.full(count, truth.astype(float).mean())
    if kind == "class":
        values, counts = np.unique(truth.astype(str), return_counts=True)
        return np.full(count, values[np.argmax(counts)])
    return np.repeat((truth.mean(axis=0) > 0.5)[None].astype(int), count, axis=0)


if __name__ == "__main__":
    main()
